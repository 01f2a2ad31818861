// The edges under search and the weights of their candidates.
#include "nas/edge_record.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "nas/edge.h"
#include "nas/genotype.h"

namespace oche::nas {
namespace {

EdgeRows rows_of(const Relaxation& relaxation, const Tensor& alpha) {
  if (!alpha) return {};
  const NoGrad no_grad;
  const std::vector<double> values =
      relaxation.scores(cast(alpha, DType::kFloat64)).to_vector<double>();
  EdgeRows rows;
  for (auto row = values.begin(); row != values.end(); row += alpha.size(1))
    rows.emplace_back(row, row + alpha.size(1));
  return rows;
}

std::vector<double> own_weights(const Tensor& beta, const CellSpace& cell) {
  if (!beta) return {};
  const NoGrad no_grad;
  return node_softmax(cast(beta, DType::kFloat64), cell.edges_into_nodes()).to_vector<double>();
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
  const Space space = make_space(config.space, config.steps);
  return {space.normal.edges, space.reduce.edges};
}

EdgeRows spread_rows(const EdgeRows& rows,
                     const CellSpace& space,
                     const std::vector<SpaceEdge>& all) {
  EdgeRows spread;
  for (size_t e = 0; e < rows.size(); ++e) {
    const std::vector<std::string>& names = space.edges[e].candidates;
    std::vector<double> row;
    for (const std::string& name : all[e].candidates) {
      const auto at = std::ranges::find(names, name) - names.begin();
      row.push_back(at < std::ssize(names) ? rows[e][at] : std::nan(""));
    }
    spread.push_back(std::move(row));
  }
  return spread;
}

CandidateWeights candidate_weights(const SearchState& state) {
  return {rows_of(state.relaxation(), state.arch.normal()),
          rows_of(state.relaxation(), state.arch.reduce()),
          own_weights(state.arch.normal_edges(), state.space.normal),
          own_weights(state.arch.reduce_edges(), state.space.reduce)};
}

double mean_entropy(const EdgeRows& weights) {
  if (weights.empty()) return 0;
  double sum = 0;
  for (const std::vector<double>& row : weights) sum += entropy(row);
  return sum / static_cast<double>(weights.size());
}

}  // namespace oche::nas
