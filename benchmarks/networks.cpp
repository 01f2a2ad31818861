// Rows of the search network, its loss, and whole search steps, on random 32x32 images.
#include <fmt/format.h>

#include <memory>

#include "benchmarks/engine_case.h"
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "nas/search.h"

namespace oche::bench {
namespace {

using nas::Batch;
using nas::SearchConfig;
using nas::SearchState;

constexpr int64_t kSide = 32, kColors = 3, kClasses = 10;

Batch random_batch(int64_t n, DType dtype, uint32_t seed) {
  return {sample({n, kSide, kSide, kColors}, dtype, -1, 1, seed), sample_labels(n, kClasses, seed)};
}

SearchConfig config(const Arguments& a, DType dtype, std::string_view gradient) {
  SearchConfig c;
  c.layers = a["layers"];
  c.channels = a["channels"];
  c.batch = a["batch"];
  c.dtype = dtype;
  c.gradient = gradient;
  c.fuse = a["fuse"] != 0;
  const Precision precision = row_precision(a);
  if (dtype == DType::kFloat32) c.precision = kPrecisionNames[static_cast<size_t>(precision)];
  // Alphas that differ, and alike in both precisions.
  c.alpha_init = 0.1;
  return c;
}

Compute network(const Arguments& a, DType dtype) {
  const auto s = std::make_shared<SearchState>(config(a, dtype, "first-order"), kColors, kClasses);
  const Batch batch = random_batch(a["batch"], dtype, 1);
  if (a["backward"] == 0) {
    return [=]() -> std::vector<Tensor> {
      const NoGrad no_grad;
      return {s->network.forward(batch.images, s->arch.mixtures(), {})};
    };
  }
  return [=] {
    const Frozen frozen(s->arch.alphas());
    const Tensor loss =
        cross_entropy(s->network.forward(batch.images, s->arch.mixtures(), {}), batch.labels);
    std::vector<Tensor> results = grad(loss, s->network.weights().tensors());
    results.push_back(loss.detach());
    return results;
  };
}

Compute loss(const Arguments& a, DType dtype) {
  const Tensor logits = sample({a["batch"], a["classes"]}, dtype, -4, 4);
  const Tensor labels = sample_labels(a["batch"], a["classes"], 1);
  logits.set_requires_grad(true);
  const bool backward = a["backward"] != 0;
  return [=]() -> std::vector<Tensor> {
    if (!backward) {
      const NoGrad no_grad;
      return {cross_entropy(logits, labels)};
    }
    const Tensor value = cross_entropy(logits, labels);
    return {value.detach(), grad(value, std::vector{logits}).front()};
  };
}

// Parameters and momentum are read and written, both batches are read.
double step_elements(const SearchConfig& c) {
  const DryRun dry_run;
  SearchState s(c, kColors, kClasses);
  return static_cast<double>(4 * s.network.weights().numel() +
                             2 * c.batch * kSide * kSide * kColors);
}

// A difference quotient in float32 is rounding for the most part: it agrees with none in float64.
bool is_quotient(const SearchConfig& c) {
  return c.gradient == "finite-difference";
}

// The gradient of the alphas, unless it is such a quotient, and the losses and the weight
// gradient's norm of a first step.
std::vector<Tensor> first_step(const SearchConfig& c) {
  const Batch train = random_batch(c.batch, c.dtype, 1),
              validation = random_batch(c.batch, c.dtype, 2);
  SearchState s(c, kColors, kClasses);
  std::vector<Tensor> results;
  if (!is_quotient(c)) {
    results = nas::make_arch_gradient(c.gradient)
                  ->compute(s.bilevel(train, validation, 0), s.inner_step(c.lr))
                  .gradients;
  }
  const SearchState::StepResult step = s.step(train, validation, c.lr, 0);
  for (const double value : {step.train_loss, step.validation_loss, step.gradient_norm}) {
    results.push_back(Tensor::full({}, value, DType::kFloat64));
  }
  return results;
}

Case search_step(const Arguments& a, DType dtype, std::string_view gradient) {
  const SearchConfig c = config(a, dtype, gradient);
  validate(c);
  struct State {
    explicit State(const SearchConfig& c)
        : search(c, kColors, kClasses),
          train(random_batch(c.batch, c.dtype, 1)),
          validation(random_batch(c.batch, c.dtype, 2)) {}
    SearchState search;
    Batch train, validation;
    int64_t index = 0;
  };
  const auto s = std::make_shared<State>(c);
  const double flops = count_flops([&] {
    State dry(c);
    dry.search.step(dry.train, dry.validation, c.lr, 0);
  });
  return {.run = [=] { s->search.step(s->train, s->validation, c.lr, s->index++); },
          .check = [=]() -> Check {
            SearchConfig other = c;
            const bool single = dtype == DType::kFloat32;
            other.dtype = single ? DType::kFloat64 : DType::kFloat32;
            other.precision = kPrecisionNames[0];
            return {relative_difference(first_step(c), first_step(other)),
                    is_reduced(a) ? kReducedTolerance : kBackwardTolerance,
                    fmt::format("{}losses and gradient norm of a step in {}",
                                is_quotient(c) ? "" : "alpha gradient, ",
                                single ? "float64" : "float32")};
          },
          .bytes = step_elements(c) * static_cast<double>(size_of(dtype)),
          .flops = flops,
          .launches = Launches::kOwnGraphs,
          .most_copies = 1};
}

const std::vector<Parameter> kNetwork = {{"layers", 8}, {"channels", 16}, {"batch", 64}};

// fuse:1: cells as one op each, fuse:0: in small ops
std::vector<Parameter> network_parameters(const std::vector<Parameter>& more = {}) {
  std::vector<Parameter> all = kNetwork;
  all.insert(all.end(), more.begin(), more.end());
  all.push_back({"fuse", 1, 0});
  all.push_back(kPrecisionParameter);
  return all;
}

double network_elements(const Arguments& a) {
  const DryRun dry_run;
  SearchState s(config(a, DType::kFloat32, "first-order"), kColors, kClasses);
  const int64_t weights = s.network.weights().numel();
  return static_cast<double>((a["backward"] == 0 ? 1 : 2) * weights +
                             a["batch"] * (kSide * kSide * kColors + kClasses));
}

}  // namespace

std::vector<Family> network_families() {
  const auto both_ways = [](const std::vector<Instance>& instances) {
    return product(instances, {{{"fuse", 1}}, {{"fuse", 0}}});
  };
  const auto and_reduced = [](std::vector<Instance> instances, const Instance& base) {
    append(instances, product({base}, {{{"precision", 1}}, {{"precision", 2}}}));
    return instances;
  };
  const Instance small = {{"layers", 5}, {"channels", 8}, {"batch", 32}};
  return {
      {.name = "cross_entropy",
       .group = "network",
       .summary = "the loss; backward:1 adds its gradient",
       .parameters = {{"batch", 64}, {"classes", 10, 2}, {"backward", 0, 0}},
       .instances = {{}, {{"backward", 1}}},
       .make = engine_case(loss,
                           [](const Arguments& a) {
                             return static_cast<double>(a["batch"] * a["classes"] *
                                                        (a["backward"] == 0 ? 1 : 2));
                           }),
       .batch = "batch"},
      {.name = "network",
       .group = "network",
       .summary = "logits; backward:1: the loss and the gradients of all weights",
       .parameters = network_parameters({{"backward", 0, 0}}),
       .instances = and_reduced(
           both_ways({{}, {{"backward", 1}}, small, product({small}, {{{"backward", 1}}})[0]}),
           {{"backward", 1}}),
       .make = engine_case(network, network_elements),
       .batch = "batch"},
      {.name = "search_step",
       .group = "search step",
       .summary = "an alpha and a weight step; order:1 first order, order:2 by finite difference",
       .parameters = network_parameters({{"order", 1}}),
       .instances = and_reduced(
           both_ways({{}, {{"order", 2}}, small, product({small}, {{{"order", 2}}})[0]}), {}),
       .make =
           [](const Arguments& a, DType dtype) {
             if (a["order"] > 2) throw std::invalid_argument("search_step: order is 1 or 2");
             return search_step(a, dtype, a["order"] == 1 ? "first-order" : "finite-difference");
           },
       .batch = "batch"},
      {.name = "search_step_exact",
       .group = "search step",
       .summary = "the second order by an exact mixed product",
       .parameters = network_parameters(),
       .instances = both_ways({small}),
       .make = [](const Arguments& a,
                  DType dtype) { return search_step(a, dtype, "exact-unrolled"); },
       .batch = "batch"},
  };
}

}  // namespace oche::bench
