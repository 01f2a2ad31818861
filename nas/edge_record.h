// What a run records of the edges under search: which they are, the candidates on each, how these
// are weighted, and how decided that is.
#pragma once

#include <string>
#include <vector>

#include "nas/search_state.h"

namespace oche::nas {

// In the order of the rows of alphas; none of a cell type that has no alphas.
struct SearchedEdges {
  std::vector<SpaceEdge> normal, reduce;
};
// Those that a search begins with; stages leave some of them.
SearchedEdges searched_edges(const SearchConfig& config);

// The relaxation's scores of the present alphas, in float64.
struct CandidateWeights {
  EdgeRows normal, reduce;
  // Where edges have weights of their own: the softmax of these over the edges into a node.
  std::vector<double> normal_edges = {}, reduce_edges = {};
};
CandidateWeights candidate_weights(const SearchState& state);

// Rows for the edges of `space`, once more for those of `all`, which has its edges and more
// candidates on them: NaN for what is gone.
EdgeRows spread_rows(const EdgeRows& rows,
                     const CellSpace& space,
                     const std::vector<SpaceEdge>& all);

// The entropy in nats of each row divided by its sum, as the mean over the rows: 0 where each edge
// has one candidate left, ln n where n of them weigh the same. A row without any weight counts as
// 0, and so do no rows; NaN where there is a weight that is not finite.
double mean_entropy(const EdgeRows& weights);

}  // namespace oche::nas
