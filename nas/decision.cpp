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
  std::erase_if(choices, [](const Choice& c) { return darts_primitives()[c.candidate] == kNone; });
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

CellGenotype Decision::derive(const Tensor& scores, int64_t steps, int64_t multiplier) const {
  const auto candidates = static_cast<int64_t>(darts_primitives().size());
  const Shape expected{edge_count(steps), candidates};
  if (scores.shape() != expected) {
    throw std::invalid_argument(fmt::format("{}: scores have shape {}; expected {} for {} steps",
                                            name(),
                                            to_string(scores.shape()),
                                            to_string(expected),
                                            steps));
  }
  const NoGrad no_grad;
  const std::vector<double> table = cast(scores, DType::kFloat64).to_vector<double>();
  CellGenotype cell;
  std::vector<bool> is_there(kCellInputs + steps, !drops_empty_nodes());
  std::fill_n(is_there.begin(), kCellInputs, true);
  for (int64_t node = 0; node < steps; ++node) {
    const auto to = static_cast<int>(kCellInputs + node);
    std::vector<Choice> all;
    for (int from = 0; from < to; ++from) {
      const double* row = table.data() + (first_edge(node) + from) * candidates;
      for (int64_t k = 0; k < candidates; ++k)
        all.push_back({from, static_cast<size_t>(k), row[k]});
    }
    std::ranges::stable_sort(all, std::ranges::greater(), &Choice::score);
    for (const Choice& c : choose(all)) {
      if (!is_there[c.from]) continue;  // edges lead forwards: what is gone is known by now
      cell.edges.push_back({std::string(darts_primitives()[c.candidate]), c.from, to});
      is_there[to] = true;
    }
    if (node >= steps - multiplier && is_there[to]) cell.concat.push_back(to);
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
                int64_t steps,
                int64_t multiplier) {
  const NoGrad no_grad;
  const auto cell = [&](const Tensor& alpha) {
    return decision.derive(relaxation.scores(cast(alpha, DType::kFloat64)), steps, multiplier);
  };
  return {.normal = cell(alphas.normal), .reduce = cell(alphas.reduce)};
}

CellMixtures discrete_mixtures(const Genotype& genotype, int64_t steps, DType dtype) {
  return {discrete_mixture(genotype.normal, steps, dtype),
          discrete_mixture(genotype.reduce, steps, dtype)};
}

}  // namespace oche::nas
