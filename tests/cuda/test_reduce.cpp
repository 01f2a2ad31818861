// Sums, inner products, maxima, gather and scatter on the device against the CPU's.
#include <limits>

#include "kernels/reduce.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::CpuContext;
using kernels::CudaContext;
using Indices = std::vector<int64_t>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Middle {
  int64_t outer, n, inner;
  int64_t size() const { return outer * n * inner; }
  int64_t columns() const { return outer * inner; }
};
// Empty, single, odd tails, rows of every number of lanes, columns that are and are not whole
// vectors, several blocks.
const Middle kMiddles[] = {{0, 3, 2},    {3, 2, 0},    {2, 0, 3},    {2, 0, 1},    {1, 1, 1},
                           {7, 3, 1},    {5, 4, 1},    {2, 33, 1},   {3, 130, 1},  {2, 520, 1},
                           {2, 1028, 1}, {2, 4099, 1}, {1, 9001, 1}, {3, 4100, 1}, {2, 5, 3},
                           {3, 17, 33},  {1, 33, 4},   {2, 700, 3},  {2, 600, 8},  {2, 3, 300},
                           {1, 513, 36}, {9, 2, 16}};

std::vector<double> fractions(int64_t n, unsigned seed) {
  auto x = integers<double>(n, -1000, 1000, seed);
  for (double& v : x) v /= 1024;  // exact in float
  return x;
}

template <typename T>
std::vector<T> sum_on(CudaContext& ctx, const Middle& m, const T* x) {
  DeviceArray<T> y(ctx, m.columns());
  DeviceArray<double> workspace(ctx, kernels::sum_workspace(m.outer, m.n, m.inner));
  kernels::sum<T>(ctx, m.outer, m.n, m.inner, x, y.data(), workspace.data());
  return y.download();
}

std::vector<double> sum_on_cpu(const Middle& m, const std::vector<double>& x) {
  CpuContext cpu(1);
  std::vector<double> y(m.columns()), workspace(kernels::sum_workspace(m.outer, m.n, m.inner));
  kernels::sum<double>(cpu, m.outer, m.n, m.inner, x.data(), y.data(), workspace.data());
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: sums over the middle", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Middle& m : kMiddles) {
    CAPTURE(m.outer, m.n, m.inner);
    const auto whole = integers<double>(m.size(), -9, 9);
    const DeviceArray<TestType> in(ctx, converted<TestType>(whole));
    check_equal(in_every_order([&] { return sum_on<TestType>(ctx, m, in.data()); }),
                sum_on_cpu(m, whole));
    const auto x = fractions(m.size(), 2);
    const DeviceArray<TestType> rough(ctx, converted<TestType>(x));
    check_close(in_every_order([&] { return sum_on<TestType>(ctx, m, rough.data()); }),
                sum_on_cpu(m, x),
                static_cast<double>(m.n + 1) * std::numeric_limits<TestType>::epsilon());
  }
}

TEMPLATE_TEST_CASE("cuda: alignment does not change a bit of a sum", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Middle& m : {Middle{2, 4100, 1}, Middle{3, 64, 1}, Middle{2, 300, 8}}) {
    CAPTURE(m.outer, m.n, m.inner);
    auto x = converted<TestType>(fractions(m.size(), 3));
    for (TestType& v : x) v /= 3;
    const DeviceArray<TestType> aligned(ctx, x);
    x.insert(x.begin(), TestType(0));
    const DeviceArray<TestType> shifted(ctx, x);
    CHECK(sum_on<TestType>(ctx, m, aligned.data()) == sum_on<TestType>(ctx, m, shifted.data() + 1));
  }
}

TEST_CASE("cuda: a float sum of a million terms keeps its digits", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  const Middle m{1, 1 << 20, 1};
  const DeviceArray<float> x(ctx, std::vector<float>(m.size(), 0.1f));
  CHECK(sum_on<float>(ctx, m, x.data())[0] == Approx(m.n * 0.1).epsilon(1e-6));
}

TEMPLATE_TEST_CASE("cuda: inner products", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (int64_t n : {0, 1, 3, 5, 17, 33, 1027, 4096, 4097, 50003}) {
    for (bool exact : {true, false}) {
      CAPTURE(n, exact);
      const auto a = exact ? integers<double>(n, -3, 3, 1) : fractions(n, 1);
      const auto b = exact ? integers<double>(n, -3, 3, 2) : fractions(n, 2);
      const DeviceArray<TestType> x(ctx, converted<TestType>(a)), z(ctx, converted<TestType>(b));
      const auto got = in_every_order([&] {
        DeviceArray<TestType> y(ctx, 1);
        DeviceArray<double> workspace(ctx, kernels::dot_workspace(n));
        kernels::dot<TestType>(ctx, n, x.data(), z.data(), y.data(), workspace.data());
        return y.download();
      });
      std::vector<double> want(1), workspace(kernels::dot_workspace(n));
      kernels::dot<double>(cpu, n, a.data(), b.data(), want.data(), workspace.data());
      const double rounding = std::numeric_limits<TestType>::epsilon();
      check_close(got, want, exact ? 0 : static_cast<double>(n + 1) * rounding);
    }
  }
}

TEMPLATE_TEST_CASE("cuda: maxima: first of equals, NaN first of all", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (const Middle& m : kMiddles) {
    for (int kind : {0, 1, 2}) {
      CAPTURE(m.outer, m.n, m.inner, kind);
      auto x = integers<double>(m.size(), -3, 3);  // full of ties
      for (size_t i = 0; i < x.size(); ++i) {
        if (kind == 2) x[i] = -kInfinity;
        if (kind == 1 && i % 11 == 0) x[i] = -kInfinity;
        if (kind == 1 && i % 37 == 7) x[i] = kNaN;
      }
      const DeviceArray<TestType> in(ctx, converted<TestType>(x));
      Indices index;
      const auto value = in_every_order([&] {
        DeviceArray<TestType> best(ctx, m.columns());
        DeviceArray<int64_t> at(ctx, m.columns());
        kernels::max<TestType>(ctx, m.outer, m.n, m.inner, in.data(), best.data(), at.data());
        index = at.download();
        return best.download();
      });
      std::vector<double> want(m.columns());
      Indices want_index(m.columns());
      kernels::max<double>(cpu, m.outer, m.n, m.inner, x.data(), want.data(), want_index.data());
      check_equal(value, want);
      CHECK(index == want_index);
    }
  }
}

TEMPLATE_TEST_CASE("cuda: gather and its adjoint", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (const Middle& m : {Middle{0, 3, 2},
                          Middle{3, 2, 0},
                          Middle{1, 1, 1},
                          Middle{7, 10, 1},
                          Middle{2, 5, 3},
                          Middle{1, 70, 33},
                          Middle{2, 3, 700}}) {
    for (int64_t count : {0, 1, 4, 19}) {
      CAPTURE(m.outer, m.n, m.inner, count);
      const int64_t picks = m.outer * count * m.inner;
      const auto x = integers<double>(m.size(), -9, 9, 1), g = integers<double>(picks, -9, 9, 2);
      const auto index = integers<int64_t>(picks, 0, static_cast<int>(m.n) - 1, 3);
      const DeviceArray<TestType> in(ctx, converted<TestType>(x)), v(ctx, converted<TestType>(g));
      const DeviceArray<int64_t> at(ctx, index);
      const auto picked = in_every_order([&] {
        DeviceArray<TestType> y(ctx, picks);
        kernels::gather<TestType>(
            ctx, m.outer, m.n, count, m.inner, in.data(), at.data(), y.data());
        return y.download();
      });
      std::vector<double> want(picks), want_grad(m.size());
      kernels::gather<double>(
          cpu, m.outer, m.n, count, m.inner, x.data(), index.data(), want.data());
      check_equal(picked, want);
      const auto grad = in_every_order([&] {
        DeviceArray<TestType> to(ctx, m.size());
        kernels::scatter_add<TestType>(
            ctx, m.outer, m.n, count, m.inner, v.data(), at.data(), to.data());
        return to.download();
      });
      kernels::scatter_add<double>(
          cpu, m.outer, m.n, count, m.inner, g.data(), index.data(), want_grad.data());
      check_equal(grad, want_grad);
    }
  }
}

TEMPLATE_TEST_CASE("cuda: indices out of range read nothing and add nothing",
                   "[cuda]",
                   float,
                   double) {
  OCHE_CUDA_CONTEXT(ctx);
  const int64_t n = 5;
  for (const int64_t count : {7, 300}) {  // columns for a thread, and shared out
    CAPTURE(count);
    auto index = integers<int64_t>(count, 0, n - 1);
    const int64_t wrong[] = {-1, n, int64_t{1} << 40, -(int64_t{1} << 40), 255, 256};
    for (size_t i = 0; i < std::size(wrong); ++i) index[i] = wrong[i];
    const DeviceArray<TestType> x(ctx, std::vector<TestType>{1, 2, 3, 4, 5});
    const DeviceArray<TestType> ones(ctx, std::vector<TestType>(count, 1));
    const DeviceArray<int64_t> at(ctx, index);
    std::vector<double> want, want_sums(n);
    for (const int64_t i : index) {
      const bool inside = i >= 0 && i < n;
      want.push_back(inside ? static_cast<double>(i + 1) : kNaN);
      if (inside) ++want_sums[i];
    }
    check_equal(in_every_order([&] {
                  DeviceArray<TestType> y(ctx, count);
                  kernels::gather<TestType>(ctx, 1, n, count, 1, x.data(), at.data(), y.data());
                  return y.download();
                }),
                want);
    check_equal(in_every_order([&] {
                  DeviceArray<TestType> sums(ctx, n);
                  kernels::scatter_add<TestType>(
                      ctx, 1, n, count, 1, ones.data(), at.data(), sums.data());
                  return sums.download();
                }),
                want_sums);
  }
}

// Few long columns are shared out among blocks, many among threads; the order of additions is the
// CPU's either way, hence the bits.
TEMPLATE_TEST_CASE("cuda: scatter_add has the CPU's bits", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  struct Case {
    Middle m;
    int64_t count;
    int hit;  // rows that are hit, from 0 on
  };
  for (const Case& c : {Case{{1, 1, 1}, 2000, 1},
                        Case{{1, 10, 1}, 3000, 10},
                        Case{{1, 700, 1}, 256, 700},
                        Case{{1, 257, 1}, 1025, 257},
                        Case{{1, 600, 1}, 900, 2},  // nearly all in one place
                        Case{{2, 300, 3}, 700, 300},
                        Case{{3, 5, 40}, 300, 5},
                        Case{{1, 4, 1}, 255, 4},
                        Case{{1, 5, 1030}, 300, 5}}) {
    CAPTURE(c.m.outer, c.m.n, c.m.inner, c.count);
    const int64_t picks = c.m.outer * c.count * c.m.inner;
    const auto y = converted<TestType>(fractions(picks, 1));
    const auto index = integers<int64_t>(picks, 0, c.hit - 1, 2);
    const DeviceArray<TestType> from(ctx, y);
    const DeviceArray<int64_t> at(ctx, index);
    const auto got = in_every_order([&] {
      DeviceArray<TestType> x(ctx, c.m.size());
      kernels::scatter_add<TestType>(
          ctx, c.m.outer, c.m.n, c.count, c.m.inner, from.data(), at.data(), x.data());
      return x.download();
    });
    std::vector<TestType> want(c.m.size());
    kernels::scatter_add<TestType>(
        cpu, c.m.outer, c.m.n, c.count, c.m.inner, y.data(), index.data(), want.data());
    CHECK(got == want);
#ifdef OCHE_CUDA_HOST
    DeviceArray<TestType> x(ctx, c.m.size());
    const uint64_t threads = threads_of([&] {
      kernels::scatter_add<TestType>(
          ctx, c.m.outer, c.m.n, c.count, c.m.inner, from.data(), at.data(), x.data());
    });
    const bool shared_out = c.count >= 256 && c.m.columns() < 1024;
    CHECK(threads >= static_cast<uint64_t>(shared_out ? c.m.size() : c.m.columns()));
#endif
  }
}

}  // namespace oche
