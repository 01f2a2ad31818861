// What estimates of the hypergradient leave as it was, and what they cost: passes and memory.
#include <algorithm>
#include <cmath>

#include "engine/op.h"
#include "engine/ops.h"
#include "engine/storage.h"
#include "nas/curvature.h"
#include "nas/hypergradient.h"
#include "nas/unroll.h"
#include "tests/support/catch.h"
#include "tests/support/step.h"
#include "tests/support/toys.h"

namespace oche::nas {
namespace {

// A search that has taken two steps.
struct SmallSearch {
  SmallSearch() {
    for (int64_t i = 0; i < 2; ++i) state.step(batch(2 * i), batch(2 * i + 1), 0.025, i);
    problem = state.bilevel(batch(4), batch(5), 2);
    step = state.inner_step(0.025);
  }
  static Batch batch(uint64_t seed) { return test::random_batch(4, 8, seed); }
  static SearchConfig config() {
    SearchConfig c;
    c.layers = 3;
    c.channels = 2;
    c.steps = c.multiplier = 1;
    return c;
  }

  SearchState state{config(), 3, 10};
  Bilevel problem;
  InnerStep step;
};

// The identity, which counts products with second derivatives: only they go back through what the
// first gradient has recorded.
struct Counted final : Op {
  Counted(int64_t* products, bool first) : products(products), first(first) {}
  int64_t* products;
  bool first;  // of a gradient; else of a gradient's backward pass

  std::string_view name() const override { return "counted"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    std::copy_n(in[0].data<double>(), in[0].numel(), Tensor(out[0]).mutable_data<double>());
  }
  Gradients backward(Inputs, Outputs, const Gradients& g, const Needs&) const override {
    if (first) return {apply_op<Counted>({g[0]}, products, false)};
    ++*products;
    return {g[0]};
  }
};

// A problem of four weights and two alphas that counts what is asked of it.
struct CountingProblem {
  Parameter w{.value = Tensor::from(Vector{0.3, -0.2, 0.5, 0.1}, {4}).set_requires_grad(true)};
  Parameter a{.value = Tensor::from(Vector{0.2, -0.4}, {2}).set_requires_grad(true)};
  int64_t losses = 0, products = 0;
  InnerStep step{.rate = Tensor::full({}, 0.1, DType::kFloat64), .weight_decay = 0.1};
  Bilevel problem{
      .weights = Weights({{"w", &w}}),
      .alphas = Alphas({{"a", &a}}),
      .train_loss =
          [this] {
            ++losses;
            const Tensor x = apply_op<Counted>({w.value}, &products, true);
            const Tensor d = x - reshape(concat({a.value, a.value * a.value}, 0), {4});
            return sum(Tensor::from(Vector{1, 2, 3, 4}, {4}) * d * d) + sum(d * d * d * d);
          },
      .validation_loss =
          [this] {
            ++losses;
            return sum((w.value - 1.0) * (w.value - 1.0)) + sum(a.value * a.value);
          }};

  int64_t passes(std::string_view name, const EstimatorNumbers& numbers) {
    const Estimator& e = find_estimator(name);
    EstimatorNumbers all = e.defaults();
    for (const auto& [key, value] : numbers) all.at(key) = value;
    losses = products = 0;
    return e.estimate(problem, step, all).passes;
  }
};

}  // namespace

TEST_CASE("passes are the losses asked for and two for each product, as the documentation says") {
  CountingProblem p;
  struct Row {
    std::string_view name;
    EstimatorNumbers numbers;
    int64_t passes;
  };
  const int64_t kWeights = 4, kAlphas = 2;
  for (const auto& [name, numbers, passes] : std::vector<Row>{
           {"first-order", {}, 1},
           {"exact-unrolled", {}, 5},
           {"finite-difference", {}, 4},
           {"finite-difference", {{"points", 1}}, 4},
           {"finite-difference", {{"points", 4}}, 6},
           {"finite-difference", {{"doublings", 3}}, 4 * 4},
           {"finite-difference", {{"radius", 1e-20}, {"doublings", 2}}, 4},  // none but the fault's
           {"unrolled", {{"steps", 1}}, 4 * 1 + 1},
           {"unrolled", {{"steps", 2}}, 4 * 2 + 1},
           {"unrolled", {{"steps", 4}}, 4 * 4 + 1 + 2},    // pairs, one of each taken again
           {"unrolled", {{"steps", 10}}, 4 * 10 + 1 + 6},  // 3 + 3 + 3 + 1
           {"truncated", {{"steps", 10}, {"last", 1}}, 10 + 1 + 3 * 1},
           {"truncated", {{"steps", 10}, {"last", 4}}, 10 + 1 + 3 * 4 + 2},
           {"truncated", {{"steps", 10}, {"last", 0}}, 10 + 1},
           {"forward-mode", {{"steps", 3}}, 1 + 3 * (1 + 2 * kAlphas)},
           {"neumann", {{"terms", 0}}, 4},
           {"neumann", {{"terms", 7}}, 4 + 2 * 7},
           {"cg", {{"iterations", 1}}, 4 + 2 * 1},
           {"cg", {{"iterations", 3}}, 4 + 2 * 3},
           {"minres", {{"iterations", 3}}, 4 + 2 * 3},
           {"identity", {}, 4},
           {"amended", {}, 6},
           {"nystrom", {{"iterations", 3}}, 4 + 2 * (3 + 1)},
           {"zero-order", {{"samples", 3}, {"steps", 5}}, 3 * 2 * (5 + 1)},
           {"zero-order", {{"samples", 1}, {"steps", 0}}, 2},
           {"dense-implicit", {}, 6 + 2 * kWeights}}) {
    CAPTURE(name, numbers);
    CHECK(p.passes(name, numbers) == passes);
    CHECK(p.losses + 2 * p.products == passes);
  }
  const int64_t passes = p.passes("bilevel-difference", {});
  CHECK(passes > 100);
  CHECK(p.losses + 2 * p.products == passes);
}

TEST_CASE("the memory of unrolled steps grows with the root of their number, by weights alone") {
  const SmallSearch search;
  const auto held = [&](int64_t steps, int64_t last) {
    const int64_t before = memory_stats().live;
    reset_peak_memory();
    unroll_reverse(search.problem, search.step, steps, last);
    CHECK(memory_stats().live == before);
    return static_cast<double>(memory_stats().peak - before);
  };
  const InnerState start = inner_start(search.problem, search.step);
  double state = 0;  // bytes of weights and buffers
  for (const Tensor& w : start.weights) state += 2 * sizeof(float) * static_cast<double>(w.numel());
  const int64_t before = memory_stats().live;
  double graph = 0;  // bytes of one step's
  {
    const Curvature curvature(search.problem, start.weights, search.step.weight_decay);
    graph = static_cast<double>(memory_stats().live - before);
  }
  const double one = held(1, 1);
  CHECK(one > graph);
  for (const int64_t steps : {4, 16, 25}) {
    CAPTURE(steps, state, graph);
    // A mark at the start of each of sqrt(T) stretches, and what lies within the one gone through.
    const double root = std::sqrt(static_cast<double>(steps));
    const double more = held(steps, steps) - one;
    CHECK(more > 0);
    CHECK(more < 1.01 * 2 * (root - 1) * state);
    if (steps > 4) CHECK(more < 0.1 * static_cast<double>(steps - 1) * graph);
  }
  CHECK(held(16, 16) < 1.5 * held(4, 4));
  CHECK(held(16, 1) < one + 1.01 * state);  // steps that are not gone back through leave nothing
}

TEST_CASE("no estimator changes a weight, an alpha or a gradient by a bit") {
  for (const Estimator& e : estimators()) {
    CAPTURE(e.name);
    // References take a product for each weight, or solve the inner problem.
    const ToyProblem toy = make_toy_problem(e.reference ? "ridge" : "toy");
    std::vector<const void*> places;
    std::vector<double> values;
    const auto look = [&] {
      std::vector<Tensor> all = toy.bilevel.weights.tensors();
      for (const Tensor& a : toy.bilevel.alphas.tensors()) all.push_back(a);
      places.clear();
      for (const Tensor& t : all) {
        CHECK(!t.grad());
        CHECK(t.requires_grad());
        places.push_back(t.data<double>());
      }
      values = flatten(all);
    };
    look();
    const std::vector<const void*> where = places;
    const std::vector<double> before = values;
    e.estimate(toy.bilevel, toy.step, e.defaults());
    look();
    CHECK(places == where);
    CHECK(values == before);
  }
}

TEST_CASE("no estimator changes what a search has learned by a bit") {
  SmallSearch search;
  CHECK_THROWS_WITH(solve_inner(search.problem, 0),
                    Catch::Contains("weights; expected at most 4096"));
  const test::Snapshot before = test::snapshot(search.state);
  for (const Estimator& e : estimators()) {
    if (e.reference) continue;  // too many weights
    CAPTURE(e.name);
    EstimatorNumbers few = e.defaults();
    for (const char* name : {"terms", "iterations", "samples", "doublings"})
      if (few.contains(name)) few.at(name) = 1;
    // Enough that steps are kept, and taken again; forward mode takes a product for each alpha.
    if (few.contains("steps")) few.at("steps") = e.name == "forward-mode" ? 2 : 5;
    if (few.contains("last")) few.at("last") = 4;
    CHECK(norm(flatten(e.estimate(search.problem, search.step, few).gradients)) > 0);
    CHECK(test::snapshot(search.state) == before);
  }
}

}  // namespace oche::nas
