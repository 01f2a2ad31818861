// What a run records of the edges under search: which they are, the candidates on each, how these
// are weighted, and how decided that is.
#pragma once

#include <string>
#include <vector>

#include "nas/search_state.h"

namespace oche::nas {

struct SearchedEdge {
  int from, to;                         // states as in a genotype
  std::vector<std::string> candidates;  // names, in the order of the edge's row of alphas
};

// In the order of the rows; none of a cell type that has no alphas.
struct SearchedEdges {
  std::vector<SearchedEdge> normal, reduce;
};
SearchedEdges searched_edges(const SearchConfig& config);

// Numbers of one cell type: for each edge one for each of its candidates.
using EdgeRows = std::vector<std::vector<double>>;

// The relaxation's scores of the present alphas, in float64.
struct CandidateWeights {
  EdgeRows normal, reduce;
};
CandidateWeights candidate_weights(const SearchState& state);

// The entropy in nats of each row divided by its sum, as the mean over the rows: 0 where each edge
// has one candidate left, ln n where n of them weigh the same. A row without any weight counts as
// 0, and so do no rows; NaN where there is a weight that is not finite.
double mean_entropy(const EdgeRows& weights);

}  // namespace oche::nas
