// The edges under search and the weights of their candidates.
#include "nas/edge_record.h"

#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "nas/genotype.h"

namespace oche::nas {
namespace {

EdgeRows rows_of(const Relaxation& relaxation, const Tensor& alpha) {
  const NoGrad no_grad;
  const std::vector<double> values =
      relaxation.scores(cast(alpha, DType::kFloat64)).to_vector<double>();
  EdgeRows rows;
  for (auto row = values.begin(); row != values.end(); row += alpha.size(1))
    rows.emplace_back(row, row + alpha.size(1));
  return rows;
}

double entropy(const std::vector<double>& weights) {
  double sum = 0, result = 0;
  for (const double w : weights) sum += w;
  for (const double w : weights) {
    if (w != 0) result -= w / sum * std::log(w / sum);
  }
  return result;
}

}  // namespace

SearchedEdges searched_edges(const SearchConfig& config) {
  const std::vector<std::string> names(darts_primitives().begin(), darts_primitives().end());
  std::vector<SearchedEdge> edges;
  for (int node = 0; node < config.steps; ++node) {
    for (int from = 0; from < kCellInputs + node; ++from)
      edges.push_back({from, kCellInputs + node, names});
  }
  return {edges, edges};
}

CandidateWeights candidate_weights(const SearchState& state) {
  return {rows_of(state.relaxation(), state.arch.normal()),
          rows_of(state.relaxation(), state.arch.reduce())};
}

double mean_entropy(const EdgeRows& weights) {
  if (weights.empty()) return 0;
  double sum = 0;
  for (const std::vector<double>& row : weights) sum += entropy(row);
  return sum / static_cast<double>(weights.size());
}

}  // namespace oche::nas
