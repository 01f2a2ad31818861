// Decisions: from scores of candidates to a genotype.
#include "nas/decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <stdexcept>

#include "engine/autograd.h"
#include "nas/named_parts.h"

namespace oche::nas {
namespace {

std::vector<Choice> without_none(std::vector<Choice> choices) {
  std::erase_if(choices, [](const Choice& c) { return c.op == kNone; });
  return choices;
}

// The first of each edge.
std::vector<Choice> best_of_edges(const std::vector<Choice>& choices) {
  std::vector<Choice> best;
  for (const Choice& c : choices) {
    if (std::ranges::find(best, c.from, &Choice::from) == best.end()) best.push_back(c);
  }
  return best;
}

std::vector<Choice> first_two(std::vector<Choice> choices) {
  choices.resize(std::min<size_t>(choices.size(), 2));
  return choices;
}

class Top2 : public Decision {
 public:
  std::string_view name() const override { return "top2"; }
  std::vector<Choice> choose(const std::vector<Choice>& all) const override {
    return first_two(best_of_edges(without_none(all)));
  }
};

class Top2Pairs final : public Decision {
 public:
  std::string_view name() const override { return "top2-pairs"; }
  std::vector<Choice> choose(const std::vector<Choice>& all) const override {
    return first_two(without_none(all));
  }
};

class AllEdges final : public Decision {
 public:
  std::string_view name() const override { return "all-edges"; }
  std::vector<Choice> choose(const std::vector<Choice>& all) const override {
    return without_none(best_of_edges(all));
  }
};

class Threshold final : public Top2 {
 public:
  explicit Threshold(double threshold) : threshold_(threshold) {}
  std::string_view name() const override { return "threshold"; }
  std::vector<Choice> choose(const std::vector<Choice>& all) const override {
    std::vector<Choice> kept = Top2::choose(all);
    std::erase_if(kept, [&](const Choice& c) { return c.score < threshold_; });
    return kept;
  }
  bool drops_empty_nodes() const override { return true; }

 private:
  double threshold_;
};

template <typename T>
std::unique_ptr<Decision> make(const DecisionOptions&) {
  return std::make_unique<T>();
}
template <>
std::unique_ptr<Decision> make<Threshold>(const DecisionOptions& options) {
  return std::make_unique<Threshold>(options.threshold);
}
struct Row {
  std::string_view name;
  std::unique_ptr<Decision> (*make)(const DecisionOptions&);
};
constexpr Row kRows[] = {{"top2", make<Top2>},
                         {"top2-pairs", make<Top2Pairs>},
                         {"all-edges", make<AllEdges>},
                         {"threshold", make<Threshold>}};
constexpr auto kNames = names_of(kRows);

Mixture discrete_mixture(const CellGenotype& cell, const CellSpace& space, DType dtype) {
  const int64_t columns = space.columns();
  std::vector<double> weights(space.rows() * columns, 0);
  std::vector<bool> run(weights.size(), false);
  for (const GenotypeEdge& e : cell.edges) {
    const auto edge = std::ranges::find_if(
        space.edges, [&](const SpaceEdge& s) { return s.from == e.from && s.to == e.to; });
    const auto column = edge == space.edges.end()
                            ? columns
                            : std::ranges::find(edge->candidates, e.op) - edge->candidates.begin();
    if (column == columns) {
      throw std::invalid_argument(fmt::format(
          "genotype edge ({}, {} -> {}) is not in this search space", e.op, e.from, e.to));
    }
    if (e.op == kNone) continue;
    const int64_t place = (edge - space.edges.begin()) * columns + column;
    weights[place] = 1;
    run[place] = true;
  }
  if (weights.empty()) return {};
  return {cast(Tensor::from(weights, {space.rows(), columns}), dtype), run};
}

}  // namespace

CellGenotype Decision::derive(const Tensor& scores,
                              const CellSpace& space,
                              int64_t steps,
                              int64_t multiplier) const {
  const Shape expected{space.rows(), space.columns()};
  CellGenotype cell;
  if (space.rows() == 0) return cell;
  if (scores.shape() != expected) {
    throw std::invalid_argument(fmt::format("{}: scores have shape {}; expected {} for {} steps",
                                            name(),
                                            to_string(scores.shape()),
                                            to_string(expected),
                                            steps));
  }
  const NoGrad no_grad;
  const std::vector<double> table = cast(scores, DType::kFloat64).to_vector<double>();
  std::vector<bool> is_there(kCellInputs + steps, !drops_empty_nodes());
  std::fill_n(is_there.begin(), kCellInputs, true);
  size_t row = 0;
  for (int to = kCellInputs; to < kCellInputs + steps; ++to) {
    std::vector<Choice> all;
    for (; row < space.edges.size() && space.edges[row].to == to; ++row) {
      const auto& [from, node, candidates] = space.edges[row];
      for (size_t k = 0; k < candidates.size(); ++k)
        all.push_back({from, candidates[k], table[row * candidates.size() + k]});
    }
    std::ranges::stable_sort(all, std::ranges::greater(), &Choice::score);
    for (const Choice& c : choose(all)) {
      if (!is_there[c.from]) continue;  // edges lead forwards: what is gone is known by now
      cell.edges.push_back({std::string(c.op), c.from, to});
      is_there[to] = true;
    }
    if (to >= kCellInputs + steps - multiplier && is_there[to]) cell.concat.push_back(to);
  }
  if (cell.concat.empty()) cell.edges.clear();  // they lead nowhere
  return cell;
}

std::unique_ptr<Decision> make_decision(std::string_view name, const DecisionOptions& options) {
  if (!(options.threshold >= 0 && options.threshold <= 1)) {
    throw std::invalid_argument(fmt::format(
        "decision.threshold: {} is not allowed; expected a number from 0 to 1", options.threshold));
  }
  return find_named("decision", name, kRows).make(options);
}

std::span<const std::string_view> decision_names() {
  return kNames;
}

Genotype derive(const Decision& decision,
                const Relaxation& relaxation,
                const AlphaTables& alphas,
                const Space& space,
                int64_t multiplier) {
  const NoGrad no_grad;
  const auto cell = [&](const Tensor& alpha, const Tensor& beta, const CellSpace& cell_space) {
    Tensor scores;
    if (alpha) scores = relaxation.scores(cast(alpha, DType::kFloat64));
    if (beta) {
      const Tensor q = node_softmax(cast(beta, DType::kFloat64), cell_space.edges_into_nodes());
      scores = scores * reshape(q, {q.numel(), 1});
    }
    return decision.derive(scores, cell_space, space.steps, multiplier);
  };
  return {.space = space.name,
          .normal = cell(alphas.normal, alphas.normal_edges, space.normal),
          .reduce = cell(alphas.reduce, alphas.reduce_edges, space.reduce)};
}

CellMixtures discrete_mixtures(const Genotype& genotype, const Space& space, DType dtype) {
  return {discrete_mixture(genotype.normal, space.normal, dtype),
          discrete_mixture(genotype.reduce, space.reduce, dtype)};
}

}  // namespace oche::nas
