// From architecture parameters to a genotype.
#include "nas/decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "engine/autograd.h"

namespace oche::nas {
namespace {

struct Choice {
  int from;
  size_t candidate;
  double score;
};

Choice best_candidate(const std::vector<double>& p, int64_t edge, int from) {
  const size_t candidates = darts_primitives().size();
  Choice best{from, 0, -1};
  for (size_t k = 0; k < candidates; ++k) {
    const double score = p[edge * candidates + k];
    if (darts_primitives()[k] != kNone && score > best.score) best = {from, k, score};
  }
  return best;
}

Mixture discrete_mixture(const CellGenotype& cell, int64_t steps, DType dtype) {
  const auto candidates = static_cast<int64_t>(darts_primitives().size());
  std::vector<double> weights(edge_count(steps) * candidates, 0);
  std::vector<bool> run(weights.size(), false);
  for (const GenotypeEdge& e : cell.edges) {
    const auto op = std::find(darts_primitives().begin(), darts_primitives().end(), e.op);
    if (op == darts_primitives().end() || e.to >= kCellInputs + steps) {
      throw std::invalid_argument(
          fmt::format("genotype edge ({}, {} -> {}) is not in a search space of {} steps",
                      e.op,
                      e.from,
                      e.to,
                      steps));
    }
    if (*op == kNone) continue;
    const int64_t place =
        (first_edge(e.to - kCellInputs) + e.from) * candidates + (op - darts_primitives().begin());
    weights[place] = 1;
    run[place] = true;
  }
  return {cast(Tensor::from(weights, {edge_count(steps), candidates}), dtype), run};
}

}  // namespace

CellGenotype top2(const Relaxation& relaxation,
                  const Tensor& alpha,
                  int64_t steps,
                  int64_t multiplier) {
  const Shape expected{edge_count(steps), static_cast<int64_t>(darts_primitives().size())};
  if (alpha.shape() != expected) {
    throw std::invalid_argument(fmt::format("top2: alpha has shape {}; expected {} for {} steps",
                                            to_string(alpha.shape()),
                                            to_string(expected),
                                            steps));
  }
  const NoGrad no_grad;
  const std::vector<double> p = relaxation.scores(cast(alpha, DType::kFloat64)).to_vector<double>();
  CellGenotype cell;
  for (int64_t node = 0; node < steps; ++node) {
    std::vector<Choice> choices;
    for (int j = 0; j < kCellInputs + node; ++j)
      choices.push_back(best_candidate(p, first_edge(node) + j, j));
    std::stable_sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
      return a.score > b.score;
    });
    for (size_t i = 0; i < 2; ++i) {
      cell.edges.push_back({std::string(darts_primitives()[choices[i].candidate]),
                            choices[i].from,
                            static_cast<int>(kCellInputs + node)});
    }
  }
  cell.concat.resize(multiplier);
  std::iota(
      cell.concat.begin(), cell.concat.end(), static_cast<int>(kCellInputs + steps - multiplier));
  return cell;
}

Genotype top2(const Relaxation& relaxation,
              const AlphaTables& alphas,
              int64_t steps,
              int64_t multiplier) {
  return {.normal = top2(relaxation, alphas.normal, steps, multiplier),
          .reduce = top2(relaxation, alphas.reduce, steps, multiplier)};
}

CellMixtures discrete_mixtures(const Genotype& genotype, int64_t steps, DType dtype) {
  return {discrete_mixture(genotype.normal, steps, dtype),
          discrete_mixture(genotype.reduce, steps, dtype)};
}

}  // namespace oche::nas
