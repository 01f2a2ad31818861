// Pooling and batch-norm kernels against naive references.
#include <string>

#include "kernels/batch_norm.h"
#include "kernels/pool2d.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/kernel_check.h"

namespace oche {
namespace {

using kernels::CpuContext;
using kernels::Pool2dShape;
using ref::Values;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const Pool2dShape kPools[] = {
    {.N = 0, .H = 4, .W = 4, .C = 3, .kernel = 3, .padding = 1},
    {.N = 2, .H = 4, .W = 4, .C = 0, .kernel = 3, .padding = 1},
    {.N = 1, .H = 1, .W = 1, .C = 1, .kernel = 1},
    {.N = 1, .H = 1, .W = 1, .C = 3, .kernel = 3, .padding = 1},
    {.N = 2, .H = 5, .W = 7, .C = 33, .kernel = 3, .padding = 1},
    {.N = 2, .H = 8, .W = 8, .C = 16, .kernel = 3, .stride = 2, .padding = 1},
    {.N = 1, .H = 7, .W = 5, .C = 17, .kernel = 2, .stride = 2},
    {.N = 3, .H = 6, .W = 9, .C = 5, .kernel = 5, .stride = 2, .padding = 2},
    {.N = 1, .H = 5, .W = 5, .C = 3, .kernel = 5, .stride = 1, .padding = 4},
    {.N = 1, .H = 9, .W = 9, .C = 5, .kernel = 2, .stride = 3, .padding = 1},  // pixels that no
                                                                               // window covers
    {.N = 2, .H = 8, .W = 8, .C = 3, .kernel = 8, .stride = 1},                // global
    {.N = 1, .H = 17, .W = 17, .C = 1, .kernel = 16, .stride = 1, .padding = 3},
    {.N = 4, .H = 32, .W = 32, .C = 16, .kernel = 3, .padding = 1},  // many blocks
};

template <typename T>
struct Pooled {
  std::vector<T> y;
  std::vector<uint8_t> index;
};

template <typename T>
Pooled<T> run_max_pool(CpuContext& ctx, const Pool2dShape& s, const Values& x) {
  Pooled<T> out{poison<T>(output_size(s)), std::vector<uint8_t>(output_size(s), 255)};
  kernels::max_pool2d_forward<T>(ctx, s, as<T>(x).data(), out.y.data(), out.index.data());
  return out;
}

template <typename T>
std::vector<T> run_scatter(CpuContext& ctx,
                           const Pool2dShape& s,
                           const Values& g,
                           const std::vector<uint8_t>& index) {
  auto grad = poison<T>(input_size(s));
  kernels::max_pool2d_scatter<T>(ctx, s, as<T>(g).data(), index.data(), grad.data());
  return grad;
}

template <typename T>
std::vector<T> run_avg_pool(CpuContext& ctx, const Pool2dShape& s, const Values& x) {
  auto y = poison<T>(output_size(s));
  kernels::avg_pool2d_forward<T>(ctx, s, as<T>(x).data(), y.data());
  return y;
}

template <typename T>
std::vector<T> run_avg_pool_backward(CpuContext& ctx, const Pool2dShape& s, const Values& g) {
  auto grad = poison<T>(input_size(s));
  kernels::avg_pool2d_backward<T>(ctx, s, as<T>(g).data(), grad.data());
  return grad;
}

struct Norm {
  int64_t rows, C;
};
const Norm kNorms[] = {
    {0, 3}, {3, 0}, {1, 1}, {1, 5}, {5, 3}, {17, 33}, {130, 17}, {5000, 3}, {2100, 16}, {150, 700}};

template <typename T>
struct Statistics {
  std::vector<T> mean, var;
};

template <typename T>
Statistics<T> run_statistics(CpuContext& ctx, int64_t rows, int64_t C, const Values& x) {
  Statistics<T> s{poison<T>(C), poison<T>(C)};
  auto workspace = poison<double>(kernels::batch_norm_workspace(ctx, rows, C));
  kernels::batch_norm_statistics<T>(
      ctx, rows, C, as<T>(x).data(), s.mean.data(), s.var.data(), workspace.data());
  return s;
}

template <typename T>
struct NormGradients {
  std::vector<T> x, weight, bias;
};

// An empty `weight`: no affine part.
template <typename T>
NormGradients<T> run_backward(CpuContext& ctx,
                              const Norm& n,
                              double eps,
                              const Values& g,
                              const Values& x,
                              const Statistics<T>& s,
                              const std::vector<T>& weight,
                              bool want_x = true) {
  NormGradients<T> d{poison<T>(n.rows * n.C), poison<T>(n.C), poison<T>(n.C)};
  auto workspace = poison<double>(kernels::batch_norm_workspace(ctx, n.rows, n.C));
  kernels::batch_norm_backward<T>(ctx,
                                  n.rows,
                                  n.C,
                                  eps,
                                  as<T>(g).data(),
                                  as<T>(x).data(),
                                  s.mean.data(),
                                  s.var.data(),
                                  weight.empty() ? nullptr : weight.data(),
                                  want_x ? d.x.data() : nullptr,
                                  d.weight.data(),
                                  d.bias.data(),
                                  workspace.data());
  return d;
}

}  // namespace

TEMPLATE_TEST_CASE("max pooling, its gather and its adjoint", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const Pool2dShape& s : kPools) {
    CAPTURE(text(s));
    const Values x = small_integers(input_size(s), 1);  // full of ties
    const Values v = small_integers(input_size(s), 2), g = small_integers(output_size(s), 3);
    const ref::MaxPool want = ref::max_pool2d(s, x);
    const auto got = run_max_pool<TestType>(ctx, s, x);
    CHECK(worst_error(got.y, want.y) == 0);
    CHECK(got.index == want.index);

    auto picked = poison<TestType>(output_size(s));
    kernels::max_pool2d_gather<TestType>(
        ctx, s, as<TestType>(v).data(), want.index.data(), picked.data());
    CHECK(worst_error(picked, ref::max_pool2d_gather(s, v, want.index)) == 0);
    const auto grad = run_scatter<TestType>(ctx, s, g, want.index);
    CHECK(worst_error(grad, ref::max_pool2d_scatter(s, g, want.index)) == 0);
    CHECK(ref::dot(as_values(picked), g) == ref::dot(v, as_values(grad)));
  }
}

TEMPLATE_TEST_CASE("max pooling: ties, NaN, infinities", "[kernels]", float, double) {
  CpuContext ctx(1);
  const Pool2dShape pair{.N = 1, .H = 2, .W = 2, .C = 1, .kernel = 2};
  struct Case {
    Values x;
    double y;
    int tap;
  };
  const Case cases[] = {
      {{1, 1, 1, 1}, 1, 0},
      {{0, 2, 2, 1}, 2, 1},
      {{-0.0, 0, 0, 0}, 0, 0},
      {{-kInfinity, -kInfinity, -kInfinity, -kInfinity}, -kInfinity, 0},
      {{9, kNaN, kInfinity, 9}, kNaN, 1},
      {{kNaN, 9, kNaN, 9}, kNaN, 0},
      {{1, 2, 3, kNaN}, kNaN, 3},
      {{1, kInfinity, 3, kInfinity}, kInfinity, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.x);
    const auto got = run_max_pool<TestType>(ctx, pair, c.x);
    CHECK(worst_error(got.y, {c.y}) == 0);
    CHECK(static_cast<int>(got.index[0]) == c.tap);
  }
  // Padding never wins, not even against -infinity: the winner is the first tap inside the image.
  const Pool2dShape padded{.N = 1, .H = 2, .W = 2, .C = 1, .kernel = 3, .padding = 1};
  const auto got = run_max_pool<TestType>(ctx, padded, Values(4, -kInfinity));
  CHECK(worst_error(got.y, Values(4, -kInfinity)) == 0);
  CHECK(got.index == std::vector<uint8_t>{4, 3, 1, 0});
}

TEMPLATE_TEST_CASE("average pooling and its adjoint", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const Pool2dShape& s : kPools) {
    CAPTURE(text(s));
    const Values x = small_integers(input_size(s), 1), g = small_integers(output_size(s), 2);
    const auto y = run_avg_pool<TestType>(ctx, s, x);
    const auto grad = run_avg_pool_backward<TestType>(ctx, s, g);
    CHECK(worst_error(y, ref::avg_pool2d(s, x)) <= kEpsilon<TestType>);  // exact sums, one division
    const double terms = s.kernel * s.kernel;
    CHECK(worst_error(grad, ref::avg_pool2d_backward(s, g)) <= kEpsilon<TestType> * (terms + 2));
    const double through_y = ref::dot(as_values(y), g), through_x = ref::dot(x, as_values(grad));
    CHECK(std::abs(through_y - through_x) <=
          kEpsilon<TestType> * 16 * (y.size() + terms * grad.size()));
  }
}

TEST_CASE("an average does not count padding", "[kernels]") {
  CpuContext ctx(1);
  const Pool2dShape s{.N = 1, .H = 3, .W = 3, .C = 1, .kernel = 3, .padding = 1};
  CHECK(run_avg_pool<double>(ctx, s, Values(9, 5)) == Values(9, 5));
}

TEMPLATE_TEST_CASE("batch norm: statistics, forward, backward", "[kernels]", float, double) {
  CpuContext ctx(2);
  const double eps = 1e-5;
  for (const Norm& n : kNorms) {
    CAPTURE(n.rows, n.C);
    const int64_t size = n.rows * n.C;
    const Values x = random_values(size, -2, 3), g = random_values(size, -1, 2);
    const Values weight = random_values(n.C, 0.5, 2), bias = random_values(n.C, -1, 1);
    const ref::Moments m = ref::batch_norm_statistics(n.rows, n.C, x);
    const auto s = run_statistics<TestType>(ctx, n.rows, n.C, x);
    const double reference_error = kEpsilon<double> * n.rows;
    CHECK(worst_error(s.mean, m.mean) <= 4 * kEpsilon<TestType> + reference_error);
    CHECK(worst_error(s.var, m.var) <= 16 * kEpsilon<TestType> + reference_error);
    if (n.rows == 1) continue;  // variance 0: rstd magnifies rounding by 1 / sqrt(eps)

    for (bool affine : {true, false}) {
      CAPTURE(affine);
      const auto w = as<TestType>(weight), b = as<TestType>(bias);
      const Values ref_w = affine ? weight : Values(n.C, 1), ref_b = affine ? bias : Values(n.C, 0);
      auto y = poison<TestType>(size);
      kernels::batch_norm_forward<TestType>(ctx,
                                            n.rows,
                                            n.C,
                                            eps,
                                            as<TestType>(x).data(),
                                            s.mean.data(),
                                            s.var.data(),
                                            affine ? w.data() : nullptr,
                                            affine ? b.data() : nullptr,
                                            y.data());
      CHECK(worst_error(y, ref::batch_norm(n.rows, n.C, eps, x, m, ref_w, ref_b)) <=
            64 * kEpsilon<TestType>);

      const auto want = ref::batch_norm_backward(n.rows, n.C, eps, g, x, m, ref_w);
      const auto got =
          run_backward<TestType>(ctx, n, eps, g, x, s, affine ? w : std::vector<TestType>());
      CHECK(worst_error(got.x, want.x) <= 128 * kEpsilon<TestType>);
      // Sums of rows terms whose rounding errors may all point one way, against results of any
      // size.
      CHECK(worst_error(got.weight, want.weight) <= kEpsilon<TestType> * (n.rows + 16));
      CHECK(worst_error(got.bias, want.bias) <= kEpsilon<TestType> * (n.rows + 16));
      const auto sums = run_backward<TestType>(
          ctx, n, eps, g, x, s, affine ? w : std::vector<TestType>(), /*want_x=*/false);
      CHECK(sums.weight == got.weight);
      CHECK(sums.bias == got.bias);
    }
  }
}

TEST_CASE("batch norm backward is the derivative of the forward pass", "[kernels]") {
  CpuContext ctx(1);
  const Norm n{7, 3};
  const double eps = 1e-3, h = 1e-5;
  const Values x = random_values(21, -1, 2), g = random_values(21, -2, 1), weight{0.5, 1, 2},
               bias{0, 1, 2};
  const auto loss = [&](const Values& at) {
    const auto s = run_statistics<double>(ctx, n.rows, n.C, at);
    Values y(21);
    kernels::batch_norm_forward<double>(ctx,
                                        n.rows,
                                        n.C,
                                        eps,
                                        at.data(),
                                        s.mean.data(),
                                        s.var.data(),
                                        weight.data(),
                                        bias.data(),
                                        y.data());
    return ref::dot(g, y);
  };
  const auto d =
      run_backward<double>(ctx, n, eps, g, x, run_statistics<double>(ctx, n.rows, n.C, x), weight);
  for (size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i);
    Values up = x, down = x;
    up[i] += h;
    down[i] -= h;
    CHECK(d.x[i] == Approx((loss(up) - loss(down)) / (2 * h)).margin(1e-7));
  }
}

TEST_CASE("the variance survives a mean of a hundred deviations", "[kernels]") {
  CpuContext ctx(2);
  const int64_t rows = 65536, C = 5;
  std::mt19937 bits(1);
  std::normal_distribution<double> normal(100, 1);
  Values x(rows * C);
  for (double& v : x) v = static_cast<float>(normal(bits));
  const ref::Moments want = ref::batch_norm_statistics(rows, C, x);
  const auto got = run_statistics<float>(ctx, rows, C, x);
  for (int64_t c = 0; c < C; ++c) {
    CAPTURE(c);
    CHECK(std::abs(got.var[c] - want.var[c]) <= 2.5e-7 * want.var[c]);
    CHECK(std::abs(got.mean[c] - want.mean[c]) <= 1e-7 * want.mean[c]);
  }
}

TEST_CASE("a NaN shows in the mean and the variance of its channel alone", "[kernels]") {
  CpuContext ctx(1);
  const auto s = run_statistics<float>(ctx, 3, 2, {1, 1, kNaN, 1, 1, 1});
  CHECK(worst_error(s.mean, {kNaN, 1}) == 0);
  CHECK(worst_error(s.var, {kNaN, 0}) == 0);
}

TEST_CASE("a constant channel has variance zero", "[kernels]") {
  CpuContext ctx(1);
  const auto s = run_statistics<float>(ctx, 3000, 3, Values(9000, 1e6));
  CHECK(s.mean == std::vector<float>(3, 1e6f));
  CHECK(s.var == std::vector<float>(3, 0));
}

TEMPLATE_TEST_CASE("pooling and batch norm: threads do not change a bit",
                   "[kernels]",
                   float,
                   double) {
  const Pool2dShape s{.N = 5, .H = 31, .W = 33, .C = 17, .kernel = 3, .padding = 1};
  const Values x = random_values(input_size(s)), g = random_values(output_size(s), -2, 1);
  CpuContext one(1);
  const auto index = run_max_pool<TestType>(one, s, x).index;
  check_thread_counts([&](CpuContext& ctx) { return run_max_pool<TestType>(ctx, s, x).y; });
  check_thread_counts([&](CpuContext& ctx) { return run_max_pool<TestType>(ctx, s, x).index; });
  check_thread_counts([&](CpuContext& ctx) { return run_scatter<TestType>(ctx, s, g, index); });
  check_thread_counts([&](CpuContext& ctx) { return run_avg_pool<TestType>(ctx, s, x); });
  check_thread_counts([&](CpuContext& ctx) { return run_avg_pool_backward<TestType>(ctx, s, g); });

  const Norm n{s.N * s.H * s.W, s.C};
  const auto statistics = run_statistics<TestType>(one, n.rows, n.C, x);
  check_thread_counts([&](CpuContext& ctx) {
    const auto t = run_statistics<TestType>(ctx, n.rows, n.C, x);
    return joined(t.mean, t.var);
  });
  check_thread_counts([&](CpuContext& ctx) {
    const auto d = run_backward<TestType>(ctx, n, 1e-5, g, x, statistics, {});
    return joined(joined(d.x, d.weight), d.bias);
  });
}

}  // namespace oche
