// Elementwise CUDA kernels against the CPU's.
#include <cmath>
#include <limits>

#include "kernels/elementwise.h"
#include "tests/cuda/device.h"
#include "tests/support/kernel_cases.h"

namespace oche {
namespace {

using kernels::Binary;
using kernels::CpuContext;
using kernels::CudaContext;
using kernels::Unary;
using Indices = std::vector<int64_t>;

constexpr int64_t kSizes[] = {0, 1, 3, 4, 5, 255, 1027, 40003};  // tails; more than one grid

int64_t elements(const Indices& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}
// How many elements a strided reading reaches.
int64_t reach(const Indices& shape, const Indices& strides) {
  int64_t last = 0;
  for (size_t d = 0; d < shape.size(); ++d) last += (shape[d] - 1) * strides[d];
  return elements(shape) == 0 ? 0 : last + 1;
}

struct Strides {
  Indices shape, a, b;
};
const Strides kStrided[] = {
    {{}, {}, {}},
    {{3, 0, 2}, {0, 2, 1}, {0, 2, 1}},
    {{5, 33}, {33, 1}, {33, 1}},   // contiguous
    {{17}, {1}, {0}},              // scalar right
    {{5, 33}, {33, 1}, {0, 1}},    // a row
    {{5, 33}, {1, 0}, {33, 1}},    // a column
    {{17}, {0}, {1}},              // scalar left
    {{9}, {0}, {0}},               // two scalars
    {{40003}, {1}, {0}},           // more than one grid
    {{130, 64}, {64, 1}, {0, 1}},  // rows of whole vectors
    {{130, 64}, {0, 1}, {64, 1}},
    {{130, 64}, {64, 1}, {1, 0}},
    {{130, 64}, {1, 0}, {64, 1}},
    {{700, 33}, {33, 1}, {0, 1}},  // vectors across the ends of rows
    {{700, 33}, {0, 1}, {33, 1}},
    {{700, 33}, {33, 1}, {1, 0}},
    {{700, 33}, {1, 0}, {33, 1}},
    {{200, 5}, {5, 1}, {0, 1}},
    {{200, 3}, {3, 1}, {0, 1}},              // rows shorter than a vector
    {{41, 33}, {0, 1}, {1, 0}},              // a row and a column
    {{3, 7, 12}, {84, 12, 1}, {12, 0, 1}},   // a row for each image
    {{3, 7, 10}, {70, 10, 1}, {1, 0, 0}},    // a number for each image
    {{3, 7, 11}, {120, 16, 1}, {0, 11, 1}},  // rows with something between them
    {{5, 3}, {1, 5}, {3, 1}},                // transposed
    {{4, 5}, {10, 2}, {5, 1}},               // every other element
    {{2, 1, 3, 2, 1, 2, 2, 3}, {72, 72, 24, 12, 12, 6, 3, 1}, {0, 7, 1, 3, 5, 0, 6, 12}},
    {{3, 4001}, {4001, 1}, {1, 3}},
};

}  // namespace

TEMPLATE_TEST_CASE("cuda: unary maps", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (int64_t n : kSizes) {
    for (Unary f : kUnaries) {
      CAPTURE(n, static_cast<int>(f));
      const bool positive = f == Unary::kLog || f == Unary::kSqrt || f == Unary::kReciprocal;
      auto x = integers<TestType>(n, positive ? 1 : -40, 40);
      for (TestType& v : x) v /= 8;
      const auto got = in_every_order([&] {
        const DeviceArray<TestType> in(ctx, x);
        DeviceArray<TestType> y(ctx, n);
        kernels::unary<TestType>(ctx, f, n, in.data(), y.data());
        return y.download();
      });
      std::vector<double> want(n);
      kernels::unary<double>(cpu, f, n, converted<double>(x).data(), want.data());
      check_close(got, want, 4 * std::numeric_limits<TestType>::epsilon());
    }
  }
}

TEMPLATE_TEST_CASE("cuda: unary maps of special values", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> x = {kInfinity, -kInfinity, std::nan(""), 0.0, -0.0, 1000, -1000};
  const int64_t n = x.size();
  for (Unary f : kUnaries) {
    CAPTURE(static_cast<int>(f));
    const DeviceArray<TestType> in(ctx, converted<TestType>(x));
    DeviceArray<TestType> y(ctx, n);
    kernels::unary<TestType>(ctx, f, n, in.data(), y.data());
    std::vector<TestType> want(n);
    kernels::unary<TestType>(cpu, f, n, converted<TestType>(x).data(), want.data());
    check_close(
        y.download(), converted<double>(want), 4 * std::numeric_limits<TestType>::epsilon());
  }
}

TEMPLATE_TEST_CASE("cuda: binary maps through strides", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (const Strides& c : kStrided) {
    for (Binary f : kBinaries) {
      CAPTURE(c.shape, c.a, c.b, static_cast<int>(f));
      const auto a = integers<TestType>(reach(c.shape, c.a), -6, 6);
      auto b = integers<TestType>(reach(c.shape, c.b), -2, 2, 2);
      if (f == Binary::kDivide) {  // exact
        for (TestType& v : b) v = v < 0 ? -4 : 2;
      }
      const int64_t n = elements(c.shape);
      const auto got = in_every_order([&] {
        const DeviceArray<TestType> left(ctx, a), right(ctx, b);
        DeviceArray<TestType> y(ctx, n);
        kernels::binary<TestType>(ctx, f, c.shape, left.data(), c.a, right.data(), c.b, y.data());
        return y.download();
      });
      std::vector<double> want(n);
      kernels::binary<double>(cpu,
                              f,
                              c.shape,
                              converted<double>(a).data(),
                              c.a,
                              converted<double>(b).data(),
                              c.b,
                              want.data());
      check_equal(got, want);
    }
  }
}

// Every pair of alignments of what is read and written, and what lies around the result.
TEMPLATE_TEST_CASE("cuda: broadcasts of misaligned views", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Strides& c : kStrided) {
    const int64_t n = elements(c.shape);
    if (n > 10000) continue;
    const auto a = integers<TestType>(reach(c.shape, c.a) + 2, -6, 6);
    const auto b = integers<TestType>(reach(c.shape, c.b) + 2, -6, 6, 2);
    const DeviceArray<TestType> left(ctx, a), right(ctx, b);
    for (int shift = 0; shift < 8; ++shift) {
      CAPTURE(c.shape, c.a, c.b, shift);
      const int at_a = shift & 1, at_b = shift >> 1 & 1, at_y = shift >> 2;
      DeviceArray<TestType> y(ctx, n + 2);
      kernels::binary<TestType>(ctx,
                                Binary::kSubtract,
                                c.shape,
                                left.data() + at_a,
                                c.a,
                                right.data() + at_b,
                                c.b,
                                y.data() + at_y);
      std::vector<TestType> want(n);
      CpuContext cpu(1);
      kernels::binary<TestType>(
          cpu, Binary::kSubtract, c.shape, a.data() + at_a, c.a, b.data() + at_b, c.b, want.data());
      auto got = y.download();
      for (int64_t i = 0; i < n + 2; ++i) {
        if (i < at_y || i >= n + at_y) CHECK(std::isnan(got[i]));
      }
      got.erase(got.begin() + n + at_y, got.end());
      got.erase(got.begin(), got.begin() + at_y);
      CHECK(got == want);
    }
  }
}

#ifdef OCHE_CUDA_HOST
// Of 16 bytes: a thread for each vector, where each element has one otherwise.
TEMPLATE_TEST_CASE("cuda: rows, columns and scalars are broadcast in vectors",
                   "[cuda]",
                   float,
                   double) {
  OCHE_CUDA_CONTEXT(ctx);
  constexpr int64_t kRows = 60, kColumns = 36, n = kRows * kColumns;
  constexpr int64_t kWidth = 16 / sizeof(TestType);
  const DeviceArray<TestType> a(ctx, std::vector<TestType>(n, 3));
  DeviceArray<TestType> y(ctx, n);
  const auto threads = [&](const Indices& b_strides, const Indices& a_strides) {
    return threads_of([&] {
      kernels::binary<TestType>(ctx,
                                Binary::kAdd,
                                Indices{kRows, kColumns},
                                a.data(),
                                a_strides,
                                a.data(),
                                b_strides,
                                y.data());
    });
  };
  const Indices flat = {kColumns, 1};
  for (const Indices& other : {Indices{0, 1}, Indices{1, 0}, Indices{0, 0}}) {
    CAPTURE(other);
    CHECK(threads(flat, other) < n / kWidth + 256);
    CHECK(threads(other, flat) < n / kWidth + 256);
  }
  CHECK(threads({1, kRows}, flat) >= n);  // transposed: as it comes
}
#endif

TEMPLATE_TEST_CASE("cuda: maps of misaligned views", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const auto x = integers<TestType>(103, -9, 9);
  const DeviceArray<TestType> in(ctx, x);
  DeviceArray<TestType> y(ctx, x.size());
  kernels::affine<TestType>(ctx, 101, 2, 1, in.data() + 1, y.data());
  const auto got = y.download();
  for (int i = 0; i < 101; ++i) REQUIRE(got[i] == 2 * x[i + 1] + 1);
  CHECK(std::isnan(got[101]));  // the end is the end
}

TEMPLATE_TEST_CASE("cuda: affine, accumulate, fill", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (int64_t n : kSizes) {
    CAPTURE(n);
    const auto x = integers<TestType>(n, -9, 9);
    const auto got = in_every_order([&] {
      const DeviceArray<TestType> in(ctx, x);
      DeviceArray<TestType> y(ctx, n);
      kernels::fill<TestType>(ctx, n, 7, y.data());
      kernels::accumulate<TestType>(ctx, n, in.data(), y.data());
      kernels::affine<TestType>(ctx, n, -2, 0.5, y.data(), y.data());  // in place
      return y.download();
    });
    std::vector<double> want(n);
    for (int64_t i = 0; i < n; ++i) want[i] = -2 * (7 + static_cast<double>(x[i])) + 0.5;
    check_equal(got, want);
  }
}

TEMPLATE_TEST_CASE("cuda: casts and strided copies", "[cuda]", float, double, int64_t, uint8_t) {
  OCHE_CUDA_CONTEXT(ctx);
  for (int64_t n : kSizes) {
    const auto x = integers<TestType>(n, 0, 200);
    const DeviceArray<TestType> in(ctx, x);
    const auto check = [&]<typename To>(To) {
      DeviceArray<To> y(ctx, n);
      kernels::cast<TestType, To>(ctx, n, in.data(), y.data());
      CHECK(y.download() == converted<To>(x));
    };
    check(float{});
    check(double{});
    check(int64_t{});
    check(uint8_t{});
  }
  CpuContext cpu(1);
  for (const Strides& c : kStrided) {
    const bool repeats = reach(c.shape, c.b) < elements(c.shape);  // no place to write to
    if (repeats) continue;
    CAPTURE(c.shape, c.a, c.b);
    const auto x = integers<TestType>(reach(c.shape, c.a), 0, 200);
    const auto before = integers<TestType>(reach(c.shape, c.b), 0, 200, 2);
    const auto got = in_every_order([&] {
      const DeviceArray<TestType> in(ctx, x);
      DeviceArray<TestType> y(ctx, before);
      kernels::copy_strided<TestType>(ctx, c.shape, in.data(), c.a, y.data(), c.b);
      return y.download();
    });
    auto want = before;
    kernels::copy_strided<TestType>(cpu, c.shape, x.data(), c.a, want.data(), c.b);
    CHECK(got == want);
  }
}

TEMPLATE_TEST_CASE("cuda: all_finite finds the one that is not", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (int64_t n : kSizes) {
    auto x = integers<TestType>(n, -9, 9);
    CHECK(kernels::all_finite<TestType>(ctx, n, DeviceArray<TestType>(ctx, x).data()));
    for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
      if (n == 0) continue;
      for (const char* bad : {"nan", "inf", "-inf"}) {
        CAPTURE(n, at, bad);
        const TestType was = x[at];
        x[at] = static_cast<TestType>(std::strtod(bad, nullptr));
        CHECK_FALSE(kernels::all_finite<TestType>(ctx, n, DeviceArray<TestType>(ctx, x).data()));
        x[at] = was;
      }
    }
  }
}

}  // namespace oche
