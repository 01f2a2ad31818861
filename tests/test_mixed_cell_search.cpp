// Networks whose cells are fused against the same network in small ops: losses, gradients and
// products of any order, statistics, whole steps, and what they keep in memory.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "nas/arch_gradient.h"
#include "nas/decision.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using test::random_batch;

namespace {

SearchConfig config(bool fuse, DType dtype, const std::string& gradient = "first-order") {
  SearchConfig c;
  c.layers = 3;
  c.channels = 4;
  c.steps = 3;
  c.multiplier = 2;
  c.batch = 4;
  c.gradient = gradient;
  c.alpha_init = 0.5;
  c.dtype = dtype;
  c.fuse = fuse;
  return c;
}

struct Ops final : OpObserver {
  void on_op(std::string_view op, std::span<const Tensor>) override { names.emplace_back(op); }
  int64_t count(std::string_view op) const { return std::ranges::count(names, op); }
  std::vector<std::string> names;
};

// All that a step may change, and the numbers it reports.
std::vector<Tensor> after_steps(SearchState& s, int64_t steps) {
  std::vector<double> reported;
  for (int64_t i = 0; i < steps; ++i) {
    const auto seed = static_cast<uint64_t>(2 * i);
    const DType dtype = s.arch.normal().dtype();
    const auto r =
        s.step(random_batch(4, 16, seed, dtype), random_batch(4, 16, seed + 1, dtype), 0.025, i);
    reported.insert(reported.end(), {r.train_loss, r.validation_loss, r.gradient_norm});
  }
  std::vector<Tensor> all{Tensor::from(reported, {static_cast<int64_t>(reported.size())})};
  for (const Tensor& t : s.arch.alphas().tensors()) all.push_back(t);
  for (const auto& [name, p] : s.network.named_parameters()) all.push_back(p->value);
  for (const auto& b : s.network.named_buffers()) all.push_back(b.tensor);
  for (const Tensor& t : s.sgd.momentum_buffers()) all.push_back(t);
  return all;
}

double worst_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, difference(a[i], b[i], 0.1));
  return worst;
}

}  // namespace

TEST_CASE("cells are fused where batch statistics are used and nothing looks at each op") {
  const Batch batch = random_batch(4, 16, 1);
  const auto cells_fused = [&](bool fuse, const Pass& pass) {
    SearchState s(config(fuse, DType::kFloat32), 3, 10);
    Ops ops;
    s.network.forward(batch.images, s.mixtures(), pass);
    return ops.count("mixed_cell");
  };
  CHECK(cells_fused(true, {}) == 3);
  CHECK(cells_fused(false, {}) == 0);
  CHECK(cells_fused(true, {.statistics = Statistics::kRunning}) == 0);
  const FiniteChecks checks;
  CHECK(cells_fused(true, {}) == 0);
}

TEST_CASE("a step with fused cells is the step without, for every estimator", "[large]") {
  for (const std::string_view gradient : arch_gradient_names()) {
    for (const DType dtype : {DType::kFloat64, DType::kFloat32}) {
      CAPTURE(gradient, to_string(dtype));
      const std::string name(gradient);
      SearchState fused(config(true, dtype, name), 3, 10), plain(config(false, dtype, name), 3, 10);
      const double d = worst_difference(after_steps(fused, 2), after_steps(plain, 2));
      CHECK(d <= (dtype == DType::kFloat64 ? 1e-12 : 1e-4));
    }
  }
}

TEST_CASE("running statistics move as they do without fusing") {
  const Batch batch = random_batch(4, 16, 1, DType::kFloat64);
  const auto updates = [&](bool fuse) {
    SearchState s(config(fuse, DType::kFloat64), 3, 10);
    std::vector<BufferUpdate> list;
    s.network.forward(batch.images, s.mixtures(), {.updates = &list});
    return list;
  };
  const std::vector<BufferUpdate> fused = updates(true), plain = updates(false);
  REQUIRE(fused.size() == plain.size());
  for (size_t i = 0; i < fused.size(); ++i) {
    CAPTURE(i);
    CHECK(fused[i].share == plain[i].share);
    CHECK(difference(fused[i].batch, plain[i].batch) <= 1e-12);
  }
}

TEST_CASE("the mixed product through fused cells is that of the small ops") {
  const Batch batch = random_batch(4, 16, 1, DType::kFloat64);
  const auto product = [&](bool fuse) {
    SearchState s(config(fuse, DType::kFloat64), 3, 10);
    const Tensor loss =
        cross_entropy(s.network.forward(batch.images, s.mixtures(), {}), batch.labels);
    const std::vector<Tensor> w = s.network.weights().tensors(), alpha = s.arch.alphas().tensors();
    std::vector<Tensor> v;
    for (size_t i = 0; i < w.size(); ++i) {
      const auto values = random_values(w[i].numel(), -1, 1, static_cast<uint32_t>(i));
      v.push_back(Tensor::from(values, w[i].shape()));
    }
    std::vector<Tensor> both = mixed_product(loss, w, v, alpha, {.retain_graph = true});
    for (const Tensor& t : hessian_vector_product(loss, w, v)) both.push_back(t);
    return both;
  };
  const std::vector<Tensor> fused = product(true), plain = product(false);
  REQUIRE(fused.size() == plain.size());
  for (size_t i = 0; i < fused.size(); ++i) {
    CAPTURE(i);
    CHECK(difference(fused[i], plain[i]) <= 1e-10);
  }
}

TEST_CASE("a short search finds the same genotype with fused cells and without", "[large]") {
  const auto found = [&](bool fuse) {
    SearchConfig c = config(fuse, DType::kFloat64);
    c.alpha_lr = 0.05;
    SearchState s(c, 3, 10);
    after_steps(s, 10);
    return to_text(
        derive(*make_decision("top2"), s.relaxation(), s.alphas(), s.space, c.multiplier));
  };
  CHECK(found(true) == found(false));
}

// In bytes of 10^6; what a pass of the default network keeps until its backward pass comes.
TEST_CASE("fused cells keep at most 28 MB for each image") {
  const DryRun dry_run;
  const SearchConfig c;
  REQUIRE(c.layers == 8);
  REQUIRE(c.channels == 16);
  SearchState s(c, 3, 10);
  const Batch batch{Tensor::empty({64, 32, 32, 3}, DType::kFloat32),
                    Tensor::empty({64}, DType::kInt64)};
  const int64_t before = memory_stats().live;
  const Tensor loss =
      cross_entropy(s.network.forward(batch.images, s.mixtures(), {}), batch.labels);
  const double megabytes = static_cast<double>(memory_stats().live - before) / 64e6;
  CAPTURE(megabytes);
  CHECK(megabytes <= 28);
  CHECK(megabytes >= 20);  // a sign that something was not counted
}
