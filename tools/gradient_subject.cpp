// Makes subjects of searches and of problems with known answers.
#include "tools/gradient_subject.h"

#include <fmt/format.h>

#include "engine/ops.h"
#include "nas/decision.h"
#include "nas/toy_problems.h"

namespace oche::tools {

Subject subject_of(std::shared_ptr<FrozenSearch> search, int64_t train_batches) {
  nas::SearchState& state = search->state();
  Subject s{.source = search->source(),
            .epoch = search->epoch(),
            .step = search->step(),
            .dtype = search->config().dtype,
            .rate = search->rate(),
            .batch = search->config().batch,
            .own_batches = search->most_pairs().has_value(),
            .train_batches = train_batches,
            .fused = search->config().fuse && !SmoothRelu::active(),
            .fault = {},
            .entries = nas::alpha_entries(state),
            .alphas = {},
            .weights = state.network.weights().numel(),
            .closed_form = {},
            .problem = {},
            .inner_step = {},
            .derive = {}};
  if (state.relaxation().straight_through())
    s.fault = search->config().relaxation +
              ": the gradient of straight-through weights is nobody's derivative";
  const Alphas alphas = state.arch.alphas();
  for (size_t i = 0; i < alphas.size(); ++i)
    s.alphas.emplace_back(alphas.name(i), alphas[i].value.shape());
  s.problem = [search, train_batches](int64_t pair, int64_t batch) {
    const auto on = [search, batch](int64_t k, int64_t index) {
      const FrozenSearch::Pair p = search->pair(k, batch);
      return search->state().bilevel(p.train, p.validation, index);
    };
    const int64_t index = search->step() + pair;
    nas::Bilevel problem = on(pair, index);
    if (train_batches > 1)
      problem.train_loss_of = [on, pair, index, train_batches](int64_t t) {
        return on(pair + t % train_batches, index + t).train_loss();
      };
    return problem;
  };
  s.inner_step = [search](double rate) { return search->state().inner_step(rate); };
  s.derive = [search](const Vector& move) {
    nas::SearchState& state = search->state();
    const nas::SearchConfig& c = search->config();
    const Alphas alphas = state.arch.alphas();
    Vector values = flatten(alphas.tensors());
    add(values, 1, move);
    const Substitution moved(alphas, unflatten(values, alphas.tensors()));
    const auto decision =
        nas::make_decision(c.decision, {.threshold = c.threshold, .skips = c.skips});
    return nas::derive(*decision, state.relaxation(), state.alphas(), state.space, c.multiplier);
  };
  return s;
}

Subject toy_subject(std::string_view problem, DType dtype) {
  const auto toy = std::make_shared<nas::ToyProblem>(nas::make_toy_problem(problem, dtype));
  Subject s{.source = toy->name,
            .epoch = 0,
            .step = 0,
            .dtype = dtype,
            .rate = toy->step.rate.item(),
            .batch = 0,
            .own_batches = true,
            .fused = {},
            .fault = {},
            .entries = {},
            .alphas = {},
            .weights = toy->bilevel.weights.numel(),
            .closed_form = toy->hypergradient,
            .problem = [toy](int64_t, int64_t) { return toy->bilevel; },
            .inner_step =
                [toy, dtype](double rate) {
                  nas::InnerStep step = toy->step;
                  step.rate = Tensor::full({}, rate, dtype);
                  return step;
                },
            .derive = {}};
  const Alphas& alphas = toy->bilevel.alphas;
  for (size_t i = 0; i < alphas.size(); ++i) {
    const auto columns = std::ssize(toy->candidates);
    s.alphas.emplace_back(alphas.name(i), alphas[i].value.shape());
    for (int64_t e = 0; e < alphas[i].value.numel(); ++e)
      s.entries.push_back({alphas.name(i),
                           columns ? fmt::format("edge {}", e / columns) : "",
                           columns ? toy->candidates[e % columns] : fmt::format("entry {}", e)});
  }
  return s;
}

}  // namespace oche::tools
