// Elementwise kernels against naive references.
#include <utility>

#include "kernels/elementwise.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/kernel_check.h"

namespace oche {
namespace {

using kernels::Binary;
using kernels::CpuContext;
using kernels::Unary;
using ref::Indices;
using ref::Values;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename T>
std::vector<T> run_unary(CpuContext& ctx, Unary f, const std::vector<T>& x) {
  auto y = poison<T>(x.size());
  kernels::unary<T>(ctx, f, x.size(), x.data(), y.data());
  return y;
}

int64_t elements(const Indices& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

Indices contiguous(const Indices& shape) {
  Indices strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

struct BinaryCase {
  Indices shape, a, b;  // strides
};
const BinaryCase kBinaryCases[] = {
    {{}, {}, {}},
    {{0}, {1}, {1}},
    {{3, 0, 2}, {0, 2, 1}, {0, 2, 1}},
    {{1, 1}, {1, 1}, {0, 0}},
    {{33}, {1}, {1}},
    {{17}, {1}, {0}},             // scalar right
    {{17}, {0}, {1}},             // scalar left
    {{5, 33}, {33, 1}, {33, 1}},  // contiguous
    {{5, 33}, {33, 1}, {0, 1}},   // a row
    {{5, 33}, {1, 0}, {33, 1}},   // a column
    {{5, 3}, {1, 5}, {3, 1}},     // transposed
    {{4, 5}, {10, 2}, {5, 1}},    // every other element
    {{2, 3, 5, 1, 3}, {45, 15, 3, 3, 1}, {0, 3, 0, 1, 1}},
    {{2, 1, 3, 2, 1, 2, 2, 3}, {72, 72, 24, 12, 12, 6, 3, 1}, {0, 7, 1, 3, 5, 0, 6, 12}},
    {{3, 20001}, {20001, 1}, {1, 3}},  // many blocks, cut within rows
    {{20001, 3}, {3, 1}, {1, 0}},
};

}  // namespace

TEMPLATE_TEST_CASE("unary maps", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (int64_t n : {0, 1, 3, 5, 17, 33, 50000}) {
    for (Unary f : kUnaries) {
      CAPTURE(n, static_cast<int>(f));
      const bool positive = f == Unary::kLog || f == Unary::kSqrt || f == Unary::kReciprocal;
      const Values x = random_values(n, positive ? 0.25 : -6, 6);
      CHECK(worst_error(run_unary(ctx, f, as<TestType>(x)), ref::unary(f, x)) <=
            4 * kEpsilon<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("unary maps at the ends of the range", "[kernels]", float, double) {
  CpuContext ctx(1);
  const auto x = as<TestType>({-kInfinity, -1e4, -0.0, 0.0, 1e4, kInfinity, kNaN});
  CHECK(worst_error(run_unary(ctx, Unary::kSigmoid, x), {0, 0, 0.5, 0.5, 1, 1, kNaN}) == 0);
  CHECK(worst_error(run_unary(ctx, Unary::kTanh, x), {-1, -1, 0, 0, 1, 1, kNaN}) == 0);
  CHECK(worst_error(run_unary(ctx, Unary::kSign, x), {-1, -1, 0, 0, 1, 1, kNaN}) == 0);
  CHECK(worst_error(run_unary(ctx, Unary::kAbs, x), {kInfinity, 1e4, 0, 0, 1e4, kInfinity, kNaN}) ==
        0);
  // A sigmoid far out on the left keeps its relative precision.
  CHECK(run_unary(ctx, Unary::kSigmoid, as<TestType>({-40}))[0] ==
        Approx(std::exp(-40)).epsilon(1e-5));
}

TEMPLATE_TEST_CASE("binary maps through strides", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const BinaryCase& c : kBinaryCases) {
    for (Binary f : kBinaries) {
      CAPTURE(c.shape, c.a, c.b, static_cast<int>(f));
      const Values a = small_integers(200000, 1);
      Values b = small_integers(200000, 2);
      if (f == Binary::kDivide) {
        for (double& v : b) v = v < 0 ? -2 : 4;
      }
      auto y = poison<TestType>(elements(c.shape));
      kernels::binary<TestType>(
          ctx, f, c.shape, as<TestType>(a).data(), c.a, as<TestType>(b).data(), c.b, y.data());
      CHECK(worst_error(y, ref::binary(f, c.shape, a, c.a, b, c.b)) == 0);
    }
  }
}

TEMPLATE_TEST_CASE("a gate passes what is not <= 0", "[kernels]", float, double) {
  CpuContext ctx(1);
  const auto a = as<TestType>({1, 2, 3, 4, kNaN, kNaN}), b = as<TestType>({1, 0, -1, kNaN, 0, 2});
  const Indices shape{6}, strides{1};
  auto y = poison<TestType>(6);
  kernels::binary<TestType>(
      ctx, Binary::kGate, shape, a.data(), strides, b.data(), strides, y.data());
  CHECK(worst_error(y, {1, 0, 0, 4, 0, kNaN}) == 0);
}

TEMPLATE_TEST_CASE("affine, accumulate, fill", "[kernels]", float, double) {
  CpuContext ctx(3);
  for (int64_t n : {0, 1, 17, 40001}) {
    CAPTURE(n);
    const Values x = small_integers(n);
    Values want = x;
    for (double& v : want) v = 3 * v - 2;
    auto y = poison<TestType>(n);
    kernels::affine<TestType>(ctx, n, 3, -2, as<TestType>(x).data(), y.data());
    CHECK(worst_error(y, want) == 0);
    for (int64_t i = 0; i < n; ++i) want[i] += x[i];
    kernels::accumulate<TestType>(ctx, n, as<TestType>(x).data(), y.data());
    CHECK(worst_error(y, want) == 0);
    kernels::fill<TestType>(ctx, n, 7, y.data());
    CHECK(worst_error(y, Values(n, 7)) == 0);
  }
}

TEMPLATE_TEST_CASE("cast, copy_strided and fill of every element type",
                   "[kernels]",
                   float,
                   double,
                   int64_t,
                   uint8_t) {
  CpuContext ctx(2);
  const int64_t n = 20003;
  std::vector<TestType> x(n);
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<TestType>(i % 251);
  const auto cast_to = [&](auto zero) {
    std::vector<decltype(zero)> y(n, 9), back_want(x.begin(), x.end());
    kernels::cast(ctx, n, x.data(), y.data());
    CHECK(y == back_want);
  };
  cast_to(float{});
  cast_to(double{});
  cast_to(int64_t{});
  cast_to(uint8_t{});

  kernels::fill<TestType>(ctx, n, 3, x.data());
  CHECK(x == std::vector<TestType>(n, 3));

  for (const BinaryCase& c : kBinaryCases) {
    if (elements(c.shape) > n) continue;
    CAPTURE(c.shape, c.b);
    // From c.b, which may repeat elements, to a layout with gaps, which must stay.
    Indices to = contiguous(c.shape);
    for (int64_t& stride : to) stride *= 2;
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<TestType>(i % 251);
    std::vector<TestType> y(2 * n, 255), want = y;
    const Values picked = ref::binary(Binary::kAdd, c.shape, as_values(x), c.b, Values(n), c.b);
    for (size_t i = 0; i < picked.size(); ++i) want[2 * i] = static_cast<TestType>(picked[i]);
    kernels::copy_strided<TestType>(ctx, c.shape, x.data(), c.b, y.data(), to);
    CHECK(y == want);
  }
}

TEMPLATE_TEST_CASE("all_finite finds one bad element anywhere", "[kernels]", float, double) {
  CpuContext ctx(3);
  for (int64_t n : {0, 1, 33, 40001}) {
    std::vector<TestType> x(n, std::numeric_limits<TestType>::lowest());
    CHECK(kernels::all_finite<TestType>(ctx, n, x.data()));
    for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
      for (double bad : {kInfinity, -kInfinity, kNaN}) {
        if (n == 0) continue;
        CAPTURE(n, at, bad);
        const TestType kept = std::exchange(x[at], static_cast<TestType>(bad));
        CHECK_FALSE(kernels::all_finite<TestType>(ctx, n, x.data()));
        x[at] = kept;
      }
    }
  }
}

TEMPLATE_TEST_CASE("maps: threads do not change a bit", "[kernels]", float, double) {
  const Indices shape{301, 517}, a_strides{517, 1}, b_strides{0, 1};
  const auto x = as<TestType>(random_values(301 * 517));
  check_thread_counts([&](CpuContext& ctx) { return run_unary(ctx, Unary::kSigmoid, x); });
  check_thread_counts([&](CpuContext& ctx) {
    auto y = poison<TestType>(x.size());
    kernels::binary<TestType>(
        ctx, Binary::kMultiply, shape, x.data(), a_strides, x.data(), b_strides, y.data());
    return y;
  });
}

}  // namespace oche
