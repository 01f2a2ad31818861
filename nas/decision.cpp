// Decisions: from scores of candidates to a genotype.
#include "nas/decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <type_traits>

#include "engine/autograd.h"
#include "nas/named_parts.h"

namespace oche::nas {
namespace {

std::vector<Choice> without_none(std::vector<Choice> choices) {
  std::erase_if(choices, [](const Choice& c) { return c.op == kNone; });
  return choices;
}

// The best of each edge; of equals the first, or the last.
enum class Equals { kFirst, kLast };
std::vector<Choice> best_of_edges(const std::vector<Choice>& choices,
                                  Equals equals = Equals::kFirst) {
  std::vector<Choice> best;
  for (const Choice& c : choices) {
    const auto known = std::ranges::find(best, c.from, &Choice::from);
    if (known == best.end()) {
      best.push_back(c);
    } else if (equals == Equals::kLast && c.score == known->score) {
      *known = c;
    }
  }
  return best;
}

std::vector<Choice> first_two(std::vector<Choice> choices) {
  choices.resize(std::min<size_t>(choices.size(), 2));
  return choices;
}

// visit(choices, to): the candidates of the edges into each node, best first; those that score the
// same by predecessor, then in the order of the candidates.
template <typename Visit>
void for_each_node(const std::vector<double>& scores, const CellSpace& space, const Visit& visit) {
  for (size_t row = 0; row < space.edges.size();) {
    const int to = space.edges[row].to;
    std::vector<Choice> all;
    for (; row < space.edges.size() && space.edges[row].to == to; ++row) {
      const auto& [from, node, candidates] = space.edges[row];
      for (size_t k = 0; k < candidates.size(); ++k)
        all.push_back({from, candidates[k], scores[row * candidates.size() + k]});
    }
    std::ranges::stable_sort(all, std::ranges::greater(), &Choice::score);
    visit(all, to);
  }
}

// Where the score of a choice lies.
size_t place_of(const CellSpace& space, const Choice& c, int to) {
  const auto edge = std::ranges::find_if(
      space.edges, [&](const SpaceEdge& e) { return e.from == c.from && e.to == to; });
  const auto column = std::ranges::find(edge->candidates, c.op) - edge->candidates.begin();
  return (edge - space.edges.begin()) * edge->candidates.size() + column;
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

class Progressive final : public Decision {
 public:
  explicit Progressive(int64_t skips) : skips_(skips) {}
  std::string_view name() const override { return "progressive"; }

 private:
  std::vector<Choice> choose(const std::vector<Choice>& all) const override {
    // Its code drops the first of the least until one is left.
    std::vector<Choice> best = best_of_edges(without_none(all), Equals::kLast);
    const auto later = [](const Choice& a, const Choice& b) {
      return a.score != b.score ? a.score > b.score : a.from > b.from;
    };
    std::ranges::stable_sort(best, later);
    best = first_two(std::move(best));
    std::ranges::sort(best, {}, &Choice::from);
    return best;
  }
  void prepare(std::vector<double>& scores, const CellSpace& space, CellType type) const override {
    if (type != CellType::kNormal) return;
    for (;;) {
      const std::vector<double*> skips = chosen_skips(scores, space);
      if (std::ssize(skips) <= skips_) return;
      **std::ranges::min_element(skips, {}, [](const double* score) { return *score; }) = 0;
    }
  }
  // The scores of the skip connections that would be kept; those that are 0 already are not.
  std::vector<double*> chosen_skips(std::vector<double>& scores, const CellSpace& space) const {
    std::vector<double*> skips;
    for_each_node(scores, space, [&](const std::vector<Choice>& all, int to) {
      for (const Choice& c : choose(all)) {
        if (c.op != kSkipConnect || c.score == 0) continue;
        skips.push_back(&scores[place_of(space, c, to)]);
      }
    });
    return skips;
  }

  int64_t skips_;
};

template <typename T>
std::unique_ptr<Decision> make(const DecisionOptions& o) {
  if constexpr (std::is_same_v<T, Threshold>) {
    return std::make_unique<T>(o.threshold);
  } else if constexpr (std::is_same_v<T, Progressive>) {
    return std::make_unique<T>(o.skips);
  } else {
    return std::make_unique<T>();
  }
}
struct Row {
  std::string_view name;
  std::unique_ptr<Decision> (*make)(const DecisionOptions&);
};
constexpr Row kRows[] = {
    {"top2", make<Top2>},
    {"top2-pairs", make<Top2Pairs>},
    {"all-edges", make<AllEdges>},
    {"threshold", make<Threshold>},
    {"progressive", make<Progressive>},
};
constexpr auto kNames = names_of(kRows);

Mixture discrete_mixture(const CellGenotype& cell,
                         const CellSpace& space,
                         DType dtype,
                         bool bypasses) {
  const int64_t columns = space.columns();
  std::vector<double> weights(space.rows() * columns, 0);
  std::vector<bool> run(weights.size(), false);
  std::vector<double> edges(space.rows(), 0);
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
    const int64_t row = edge - space.edges.begin(), place = row * columns + column;
    weights[place] = 1;
    run[place] = true;
    edges[row] = 1;
  }
  if (weights.empty()) return {};
  Mixture mixture{cast(Tensor::from(weights, {space.rows(), columns}), dtype), run};
  if (bypasses) mixture.edge_weights = cast(Tensor::from(edges, {space.rows()}), dtype);
  return mixture;
}

}  // namespace

CellGenotype Decision::derive(const Tensor& scores,
                              const CellSpace& space,
                              int64_t steps,
                              int64_t multiplier,
                              CellType type) const {
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
  std::vector<double> table = cast(scores, DType::kFloat64).to_vector<double>();
  prepare(table, space, type);
  std::vector<bool> is_there(kCellInputs + steps, !drops_empty_nodes());
  std::fill_n(is_there.begin(), kCellInputs, true);
  for_each_node(table, space, [&](const std::vector<Choice>& all, int to) {
    for (const Choice& c : choose(all)) {
      if (!is_there[c.from]) continue;  // edges lead forwards: what is gone is known by now
      cell.edges.push_back({std::string(c.op), c.from, to});
      is_there[to] = true;
    }
  });
  for (auto to = static_cast<int>(kCellInputs + steps - multiplier); to < kCellInputs + steps;
       ++to) {
    if (is_there[to]) cell.concat.push_back(to);
  }
  if (cell.concat.empty()) cell.edges.clear();  // they lead nowhere
  return cell;
}

std::unique_ptr<Decision> make_decision(std::string_view name, const DecisionOptions& options) {
  if (!(options.threshold >= 0 && options.threshold <= 1)) {
    throw std::invalid_argument(fmt::format(
        "decision.threshold: {} is not allowed; expected a number from 0 to 1", options.threshold));
  }
  if (options.skips < 0) {
    throw std::invalid_argument(
        fmt::format("decision.skips: {} is not allowed; expected 0 or more", options.skips));
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
  const auto cell =
      [&](const Tensor& alpha, const Tensor& beta, const CellSpace& cell_space, CellType type) {
        Tensor scores;
        if (alpha) scores = relaxation.scores(cast(alpha, DType::kFloat64));
        if (beta) {
          const Tensor q = node_softmax(cast(beta, DType::kFloat64), cell_space.edges_into_nodes());
          scores = scores * reshape(q, {q.numel(), 1});
        }
        return decision.derive(scores, cell_space, space.steps, multiplier, type);
      };
  return {.space = space.name,
          .normal = cell(alphas.normal, alphas.normal_edges, space.normal, CellType::kNormal),
          .reduce = cell(alphas.reduce, alphas.reduce_edges, space.reduce, CellType::kReduce)};
}

CellMixtures discrete_mixtures(const Genotype& genotype,
                               const Space& space,
                               DType dtype,
                               bool bypasses) {
  return {discrete_mixture(genotype.normal, space.normal, dtype, bypasses),
          discrete_mixture(genotype.reduce, space.reduce, dtype, bypasses)};
}

}  // namespace oche::nas
