// The fused op of a cell against the same in small ops: values, gradients of every order, memory.
#include <memory>
#include <random>

#include "engine/gradcheck.h"
#include "engine/runtime.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"

using namespace oche;

namespace {

Tensor random_like(const Tensor& t, uint32_t seed) {
  const Tensor r = Tensor::from(random_values(t.numel(), -1, 1, seed), t.shape());
  return cast(r, t.dtype()).detach();
}

std::vector<Tensor> wanted(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> w;
  for (const Tensor& t : inputs) {
    if (t.requires_grad()) w.push_back(t);
  }
  return w;
}

std::vector<Tensor> gradients(const Tensor& y, const std::vector<Tensor>& inputs) {
  const Tensor g = random_like(y, 77);
  return grad(std::span(&y, 1), wanted(inputs), std::span(&g, 1));
}

// The worst difference of values and gradients.
double worst(const CellSample& s) {
  const Tensor a = fused(s.spec, s.inputs), b = composite(s.spec, s.inputs);
  double most = difference(a, b);
  if (!b.requires_grad()) return most;
  const std::vector<Tensor> got = gradients(a, s.inputs), want = gradients(b, s.inputs);
  for (size_t i = 0; i < got.size(); ++i) most = std::max(most, difference(got[i], want[i]));
  return most;
}

auto randomly(uint32_t seed, double share) {
  auto bits = std::make_shared<std::mt19937>(seed);
  return [=](size_t, size_t) { return (*bits)() * 0x1p-32 < share; };
}

// A small cell all of whose relus read an input, so that its kinks are known.
MixedCellSpec smooth_spec(int64_t stride) {
  const std::vector<Branch> all = {{.kind = BranchKind::kAveragePool},
                                   {.kind = BranchKind::kIdentity},
                                   {.kind = BranchKind::kSeparable, .kernel = 3},
                                   {.kind = BranchKind::kMaxPool}};
  return cell_spec(
      1, 1, stride, [](size_t, size_t) { return true; }, all);
}

}  // namespace

TEST_CASE("fused cell: values and all gradients are the composite's") {
  constexpr double kTolerance = 1e-12;
  for (const int64_t stride : {1, 2}) {
    for (const int64_t C : {4, 6, 16}) {
      CAPTURE(stride, C);
      CHECK(worst(CellSample(cell_spec(4, 4, stride), {2, 6, 5, C})) <= kTolerance);
    }
    for (const int64_t steps : {1, 2, 3, 4}) {
      for (int64_t multiplier = 1; multiplier <= steps; ++multiplier) {
        CAPTURE(stride, steps, multiplier);
        CHECK(worst(CellSample(cell_spec(steps, multiplier, stride), {2, 3, 5, 4})) <= kTolerance);
      }
    }
    // Of few pixels a relu may leave nearly equal ones, whose differences a normalisation
    // magnifies.
    for (const Shape& x : {Shape{3, 1, 1, 2}, {2, 1, 4, 3}, {1, 9, 2, 1}, {2, 7, 7, 5}}) {
      CAPTURE(stride, x);
      CHECK(worst(CellSample(cell_spec(2, 2, stride), x)) <= 20 * kTolerance);
    }
  }
}

TEST_CASE("fused cell: any branches") {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    const double share = seed % 3 == 0 ? 0.08 : 0.4;
    const int64_t stride = 1 + seed % 2, steps = 1 + seed % 4, multiplier = 1 + seed % steps;
    CAPTURE(seed, share, stride, steps, multiplier);
    const MixedCellSpec spec = cell_spec(steps, multiplier, stride, randomly(seed, share));
    CHECK(worst(CellSample(spec, {2, 5, 4, 3})) <= 1e-12);
  }
  SECTION("one edge has none") {
    const auto runs = [](size_t edge, size_t) { return edge != 1; };
    CHECK(worst(CellSample(cell_spec(2, 2, 1, runs), {2, 4, 4, 4})) <= 1e-12);
  }
  SECTION("one node has none") {
    const auto runs = [](size_t edge, size_t) { return edge < 2 || edge > 4; };
    for (const int64_t multiplier : {1, 3})
      CHECK(worst(CellSample(cell_spec(3, multiplier, 2, runs), {2, 4, 4, 4})) <= 1e-12);
  }
  SECTION("there is none at all") {
    const CellSample s(cell_spec(2, 2, 2, [](size_t, size_t) { return false; }), {2, 3, 4, 4});
    const Tensor y = fused(s.spec, s.inputs);
    CHECK(y.shape() == Shape{2, 2, 2, 8});
    CHECK(doubles(y) == std::vector<double>(64, 0));
    for (const Tensor& d : gradients(y, s.inputs)) CHECK(!d.defined());
  }
  SECTION("candidates that DARTS does not have") {
    const std::vector<Branch> all = {
        {.kind = BranchKind::kSeparable, .kernel = 7, .blocks = 3},
        {.kind = BranchKind::kSeparable, .kernel = 3, .dilation = 3, .blocks = 2},
        {.kind = BranchKind::kSeparable, .kernel = 1}};
    for (const int64_t stride : {1, 2}) {
      const MixedCellSpec spec = cell_spec(
          2, 1, stride, [](size_t, size_t) { return true; }, all);
      CHECK(worst(CellSample(spec, {2, 5, 4, 4}, DType::kFloat64, all.size())) <= 1e-12);
    }
  }
}

TEST_CASE("fused cell: given moments, each normalisation its own") {
  for (const int64_t stride : {1, 2}) {
    for (const uint32_t seed : {1, 2}) {
      const CellSample s(cell_spec(3, 2, stride, randomly(seed, 0.7)), {2, 5, 4, 4});
      std::vector<NormMoments> moments;
      for (int64_t i = 0; i < norm_count(s.spec); ++i) {
        const auto at = static_cast<uint32_t>(2 * i);
        moments.push_back({Tensor::from(random_values(4, -1, 1, 50 + at), {4}),
                           Tensor::from(random_values(4, 0.5, 2, 51 + at), {4})});
      }
      const std::span<const Tensor> in(s.inputs);
      const Tensor a = mixed_cell_running(s.spec, in[0], in[1], in[2], in.subspan(3), moments);
      const Tensor b = mixed_cell_composite(
          s.spec, in[0], in[1], in[2], in.subspan(3), {[&](int64_t i, const Tensor& t) {
            return batch_norm_running(t, moments[i].mean, moments[i].var, {}, {}, s.spec.eps);
          }});
      CAPTURE(stride, seed);
      CHECK(difference(a, b) <= 1e-12);
      const std::vector<Tensor> got = gradients(a, s.inputs), want = gradients(b, s.inputs);
      for (size_t i = 0; i < got.size(); ++i) CHECK(difference(got[i], want[i]) <= 1e-12);
      moments.pop_back();
      CHECK_THROWS_AS(mixed_cell_running(s.spec, in[0], in[1], in[2], in.subspan(3), moments),
                      std::invalid_argument);
    }
  }
}

TEST_CASE("fused cell: any of the gradients alone") {
  for (const int64_t stride : {1, 2}) {
    const MixedCellSpec spec = cell_spec(2, 1, stride, randomly(5, 0.6));
    const auto check = [&](const std::function<bool(size_t)>& wants) {
      const CellSample s(spec, {2, 3, 4, 3});
      for (size_t i = 0; i < s.inputs.size(); ++i) s.inputs[i].set_requires_grad(wants(i));
      CHECK(worst(s) <= 1e-12);
    };
    const size_t n = CellSample(spec, {2, 3, 4, 3}).inputs.size();
    for (size_t only = 0; only < n; ++only) {
      CAPTURE(stride, only);
      check([&](size_t i) { return i == only; });
      check([&](size_t i) { return i != only; });
    }
    check([](size_t i) { return i >= 3; });
    check([](size_t i) { return i < 2; });
    for (uint32_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(stride, seed);
      std::mt19937 bits(seed);
      check([&](size_t) { return bits() % 4 == 0; });
    }
  }
}

// Each layer of float rounding is amplified by the normalisations behind it; a relu or a maximum
// within rounding of its kink may fall to the other side, which the samples here do not.
TEST_CASE("fused cell: single precision") {
  for (const int64_t stride : {1, 2}) {
    const MixedCellSpec spec = cell_spec(4, 4, stride);
    const CellSample single(spec, {4, 8, 8, 16}, DType::kFloat32), exact(spec, {4, 8, 8, 16});
    const Tensor y = fused(spec, single.inputs), want = composite(spec, exact.inputs);
    CHECK(difference(y, want) <= 1e-5);
    const std::vector<Tensor> got = gradients(y, single.inputs);
    const std::vector<Tensor> expected = gradients(want, exact.inputs);
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(stride, i);
      CHECK(difference(got[i], expected[i]) <= 1e-4);
    }
  }
}

TEST_CASE("fused cell: moments are those of each normalisation") {
  for (const int64_t stride : {1, 2}) {
    const CellSample s(cell_spec(2, 2, stride), {2, 6, 5, 4});
    const std::span<const Tensor> in = s.inputs;
    const MixedCellResult r = mixed_cell(s.spec, in[0], in[1], in[2], in.subspan(3));
    const std::vector<int64_t>& rows = r.rows;
    REQUIRE(static_cast<int64_t>(rows.size()) == norm_count(s.spec));
    mixed_cell_composite(
        s.spec, in[0], in[1], in[2], in.subspan(3), {[&](int64_t i, const Tensor& t) {
          const BatchNormResult n = batch_norm(t);
          CAPTURE(stride, i);
          CHECK(difference(reshape(slice(r.mean, 0, rows[i], rows[i] + 1), {4}), n.mean) <= 1e-12);
          CHECK(difference(reshape(slice(r.var, 0, rows[i], rows[i] + 1), {4}), n.var) <= 1e-12);
          return n.y;
        }});
  }
}

TEST_CASE("fused cell: first and second derivatives agree with finite differences") {
  for (const int64_t stride : {1, 2}) {
    CAPTURE(stride);
    const MixedCellSpec spec = smooth_spec(stride);
    const CellSample s(spec, {2, 3, 4, 2}, DType::kFloat64, 4);
    const Differentiable fn = [&](std::span<const Tensor> in) {
      return std::vector{fused(spec, in)};
    };
    const GradcheckReport first = gradcheck(fn, s.inputs, {.step = 1e-4});
    CAPTURE(to_string(first));
    CHECK(first.worst_error <= 1e-7);
    const GradcheckReport second = gradgradcheck(fn, s.inputs, {.step = 1e-4});
    CAPTURE(to_string(second));
    CHECK(second.worst_error <= 1e-7);
  }
}

TEST_CASE("fused cell: derivatives of second and third order are the composite's") {
  for (const int64_t stride : {1, 2}) {
    const CellSample s(cell_spec(2, 1, stride, randomly(3, 0.7)), {2, 4, 3, 4});
    const auto orders = [&](auto& function) {
      const Tensor y = function(s.spec, s.inputs);
      const Tensor loss = sum(y * y * y);
      std::vector<Tensor> all, g = grad(loss, s.inputs, {.create_graph = true});
      for (int order = 2; order <= 3; ++order) {
        Tensor product = Tensor::zeros({}, DType::kFloat64);
        for (size_t i = 0; i < g.size(); ++i)
          product = product + dot(g[i], random_like(g[i], static_cast<uint32_t>(9 + i)));
        g = grad(product, s.inputs, {.create_graph = order < 3});
        all.insert(all.end(), g.begin(), g.end());
      }
      return all;
    };
    const std::vector<Tensor> got = orders(fused), want = orders(composite);
    REQUIRE(got.size() == want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(stride, i);
      CHECK(difference(got[i], want[i]) <= 1e-10);
    }
  }
}

// The closure rebuilds the cell from what it saved; were these the tensors of the graph, the way
// from one input to the other would count twice.
TEST_CASE("fused cell: one input may depend on the other, or be the same") {
  const CellSample s(cell_spec(2, 2, 1, randomly(3, 0.7)), {2, 4, 3, 4});
  const auto second = [&](auto& function, bool same) {
    std::vector<Tensor> in = s.inputs;
    in[1] = same ? in[0] : tanh(in[0]) * in[1];
    const Tensor y = function(s.spec, in);
    const std::vector<Tensor> g = grad(sum(y * y * y), s.inputs, {.create_graph = true});
    Tensor product = Tensor::zeros({}, DType::kFloat64);
    for (size_t i = 0; i < g.size(); ++i) {
      if (g[i]) product = product + dot(g[i], random_like(g[i], static_cast<uint32_t>(9 + i)));
    }
    std::vector<Tensor> h = grad(product, s.inputs, {.create_graph = true});
    h.insert(h.end(), g.begin(), g.end());
    const std::vector<Tensor> third = grad(sum(h[0] * h[0]), s.inputs);
    h.insert(h.end(), third.begin(), third.end());
    return h;
  };
  for (const bool same : {false, true}) {
    const std::vector<Tensor> got = second(fused, same), want = second(composite, same);
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(same, i);
      CHECK(difference(got[i], want[i]) <= 1e-10);
    }
  }
}

TEST_CASE("fused cell: the same bits for any number of threads", "[cpu]") {
  const int before = num_threads();
  for (const int64_t stride : {1, 2}) {
    const CellSample s(cell_spec(4, 3, stride), {5, 9, 8, 6}, DType::kFloat32);
    const auto bits = [&](int threads) {
      set_num_threads(threads);
      const Tensor y = fused(s.spec, s.inputs);
      std::vector<std::vector<float>> all{y.to_vector<float>()};
      for (const Tensor& d : gradients(y, s.inputs)) all.push_back(d.to_vector<float>());
      return all;
    };
    const auto one = bits(1);
    CHECK(one == bits(3));
  }
  set_num_threads(before);
}

TEST_CASE("fused cell: nothing stays behind, and nothing is kept where no gradient will come") {
  const CellSample s(cell_spec(4, 4, 1), {2, 8, 8, 4}, DType::kFloat32);
  const auto bytes = [](const Tensor& t) { return t.numel() * size_of(t.dtype()); };
  const int64_t before = memory_stats().live;
  {
    const NoGrad none;
    const std::span<const Tensor> in = s.inputs;
    const MixedCellResult r = mixed_cell(s.spec, in[0], in[1], in[2], in.subspan(3));
    CHECK(memory_stats().live <= before + bytes(r.y) + bytes(r.mean) + bytes(r.var));
  }
  CHECK(memory_stats().live == before);
  {
    const Tensor y = fused(s.spec, s.inputs);
    gradients(y, s.inputs);
  }
  CHECK(memory_stats().live == before);
  {
    const Tensor y = fused(s.spec, s.inputs);
    const std::vector<Tensor> g = grad(sum(y * y), s.inputs, {.create_graph = true});
    const std::vector<Tensor> h = grad(sum(g[2] * g[2]), s.inputs, {.create_graph = true});
    grad(sum(h[0] * h[0]), s.inputs);
  }
  CHECK(memory_stats().live == before);
}

TEST_CASE("fused cell: as many multiply-adds as the composite") {
  const DryRun dry_run;
  for (const int64_t stride : {1, 2}) {
    const CellSample s(cell_spec(4, 4, stride), {2, 7, 8, 6});
    const auto macs = [&](auto& function) {
      const int64_t before = mac_count();
      const Tensor y = function(s.spec, s.inputs);
      const int64_t forward = mac_count();
      gradients(y, s.inputs);
      return std::pair(forward - before, mac_count() - forward);
    };
    CHECK(macs(fused) == macs(composite));
  }
}

TEST_CASE("fused cell: what does not fit is refused") {
  const auto message = [](const MixedCellSpec& spec, const CellSample& s) {
    try {
      fused(spec, s.inputs);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  const CellSample s(cell_spec(2, 2, 1), {2, 4, 4, 4});
  const auto with = [&](auto change) {
    MixedCellSpec spec = s.spec;
    change(spec);
    return message(spec, s);
  };
  CHECK(with([](MixedCellSpec& c) { c.multiplier = 3; }) ==
        "mixed_cell: multiplier 3 of 2 steps; expected 1 or more, and no more than steps");
  CHECK(with([](MixedCellSpec& c) { c.edges[0].stride = 3; }) ==
        "mixed_cell: stride 3; expected 1 or 2");
  CHECK(with([](MixedCellSpec& c) { c.edges[0].stride = 2; }) ==
        "mixed_cell: an identity with stride 2; expected 1");
  CHECK(with([](MixedCellSpec& c) { c.edges[1].stride = 2; }) ==
        "mixed_cell: an edge from state 1 has stride 2; expected 1");
  CHECK(with([](MixedCellSpec& c) { c.edges[0].from = 2; }) ==
        "mixed_cell: an edge from state 2 to node 0 of 2; expected one from an earlier state");
  CHECK(with([](MixedCellSpec& c) { c.edges[1].branches[0].place = 0; }) ==
        "mixed_cell: two branches with weight 0");
  CHECK(with([](MixedCellSpec& c) { c.edges[0].branches[0].place = 99; }) ==
        "mixed_cell: weight 99 of a table of 35");
  CHECK(with([](MixedCellSpec& c) { c.edges[0].branches[3].kernel = 4; }) ==
        "mixed_cell: kernel 4, dilation 1, 2 blocks; expected an odd kernel up to 15, and all at "
        "least 1");
  CHECK(with([](MixedCellSpec& c) { c.edges[0].branches[3].kernel = 5; }) ==
        "mixed_cell: a depthwise weight is f64 (3, 3, 1, 4); expected f64 (5, 5, 1, 4)");
  CHECK(with([](MixedCellSpec& c) { c.edges.pop_back(); }) ==
        "mixed_cell: 60 convolution weights; expected 48");
  CellSample other = s;
  other.inputs[1] = Tensor::zeros({2, 4, 5, 4}, DType::kFloat64);
  CHECK(message(s.spec, other) == "mixed_cell: x1 is f64 (2, 4, 5, 4); expected f64 (2, 4, 4, 4)");
}
