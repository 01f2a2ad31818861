// Pooling on a CUDA device against the CPU's in double.
#include <limits>
#include <string>

#include "kernels/pool2d.h"
#include "tests/cuda/device.h"
#include "tests/support/kernel_cases.h"

namespace oche {
namespace {

using kernels::CpuContext;
using kernels::CudaContext;
using kernels::Pool2dShape;

const Pool2dShape kPools[] = {
    {.N = 0, .H = 4, .W = 4, .C = 3, .kernel = 3, .padding = 1},
    {.N = 2, .H = 4, .W = 4, .C = 0, .kernel = 3, .padding = 1},
    {.N = 1, .H = 1, .W = 1, .C = 1, .kernel = 1},
    {.N = 1, .H = 1, .W = 1, .C = 3, .kernel = 3, .padding = 1},
    {.N = 2, .H = 5, .W = 7, .C = 33, .kernel = 3, .padding = 1},
    {.N = 2, .H = 8, .W = 8, .C = 16, .kernel = 3, .stride = 2, .padding = 1},
    {.N = 2, .H = 7, .W = 5, .C = 4, .kernel = 2, .stride = 2},
    {.N = 3, .H = 6, .W = 9, .C = 5, .kernel = 5, .stride = 2, .padding = 2},
    {.N = 1, .H = 5, .W = 5, .C = 3, .kernel = 5, .stride = 1, .padding = 4},
    {.N = 1, .H = 9, .W = 9, .C = 5, .kernel = 2, .stride = 3, .padding = 1},  // pixels that no
                                                                               // window covers
    {.N = 2, .H = 8, .W = 8, .C = 3, .kernel = 8, .stride = 1},                // global
    {.N = 1, .H = 17, .W = 17, .C = 1, .kernel = 16, .stride = 1, .padding = 3},
    {.N = 5, .H = 31, .W = 33, .C = 16, .kernel = 3, .padding = 1},  // more than one grid
};

// y and the index as one vector of numbers.
template <typename T>
std::vector<T> both(std::vector<T> y, const std::vector<uint8_t>& index) {
  for (uint8_t i : index) y.push_back(i);
  return y;
}

template <typename T>
std::vector<T> max_pool(CudaContext& ctx, const Pool2dShape& s, const std::vector<T>& x) {
  const DeviceArray<T> in(ctx, x);
  DeviceArray<T> y(ctx, output_size(s));
  DeviceArray<uint8_t> index(ctx, output_size(s));
  kernels::max_pool2d_forward<T>(ctx, s, in.data(), y.data(), index.data());
  return both(y.download(), index.download());
}

// What the CPU says of the same, and the index apart.
struct Judged {
  std::vector<double> both;
  std::vector<uint8_t> index;
};
template <typename T>
Judged judge(const Pool2dShape& s, const std::vector<T>& x) {
  CpuContext cpu(1);
  std::vector<double> y(output_size(s));
  std::vector<uint8_t> index(output_size(s));
  kernels::max_pool2d_forward<double>(cpu, s, converted<double>(x).data(), y.data(), index.data());
  return {both(y, index), index};
}

// n elements that kernel(pointer) has written.
template <typename T, typename Kernel>
std::vector<T> written(CudaContext& ctx, int64_t n, const Kernel& kernel) {
  DeviceArray<T> to(ctx, n);
  kernel(to.data());
  return to.download();
}
template <typename Kernel>
std::vector<double> written_by_cpu(int64_t n, const Kernel& kernel) {
  CpuContext cpu(1);
  std::vector<double> to(n);
  kernel(cpu, to.data());
  return to;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: max pooling, its gather and its scatter", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Pool2dShape& s : kPools) {
    CAPTURE(text(s));
    const auto x = integers<TestType>(input_size(s), -4, 4, 1);  // full of ties
    const auto v = integers<TestType>(input_size(s), -4, 4, 2);
    const auto g = integers<TestType>(output_size(s), -4, 4, 3);
    const Judged want = judge(s, x);
    check_equal(in_every_order([&] { return max_pool(ctx, s, x); }), want.both);

    const DeviceArray<uint8_t> index(ctx, want.index);
    const DeviceArray<TestType> values(ctx, v), grad(ctx, g);
    const auto gathered = in_every_order([&] {
      return written<TestType>(ctx, output_size(s), [&](TestType* y) {
        kernels::max_pool2d_gather<TestType>(ctx, s, values.data(), index.data(), y);
      });
    });
    check_equal(gathered, written_by_cpu(output_size(s), [&](CpuContext& cpu, double* y) {
                  kernels::max_pool2d_gather<double>(
                      cpu, s, converted<double>(v).data(), want.index.data(), y);
                }));
    const auto scattered = in_every_order([&] {
      return written<TestType>(ctx, input_size(s), [&](TestType* grad_x) {
        kernels::max_pool2d_scatter<TestType>(ctx, s, grad.data(), index.data(), grad_x);
      });
    });
    check_equal(scattered, written_by_cpu(input_size(s), [&](CpuContext& cpu, double* grad_x) {
                  kernels::max_pool2d_scatter<double>(
                      cpu, s, converted<double>(g).data(), want.index.data(), grad_x);
                }));
  }
}

TEMPLATE_TEST_CASE("cuda: max pooling of ties, NaN, infinities", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  constexpr TestType kInfinity = std::numeric_limits<TestType>::infinity();
  constexpr TestType kNaN = std::numeric_limits<TestType>::quiet_NaN();
  const Pool2dShape pair{.N = 1, .H = 2, .W = 2, .C = 1, .kernel = 2};
  struct Case {
    std::vector<TestType> x;
    double y;
    int tap;
  };
  const Case cases[] = {
      {{1, 1, 1, 1}, 1, 0},
      {{0, 2, 2, 1}, 2, 1},
      {{TestType(-0.0), 0, 0, 0}, 0, 0},
      {{-kInfinity, -kInfinity, -kInfinity, -kInfinity}, -kInfinity, 0},
      {{9, kNaN, kInfinity, 9}, kNaN, 1},
      {{kNaN, 9, kNaN, 9}, kNaN, 0},
      {{1, 2, 3, kNaN}, kNaN, 3},
      {{1, kInfinity, 3, kInfinity}, kInfinity, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.x);
    check_equal(max_pool(ctx, pair, c.x), {c.y, static_cast<double>(c.tap)});
  }
  // The same in vectors of channels, where the neighbours have maxima of their own.
  for (const Pool2dShape& s : {kPools[4], kPools[5]}) {
    auto x = integers<TestType>(input_size(s), -2, 2);
    for (size_t i = 0; i < x.size(); i += 7) x[i] = i % 2 == 0 ? kNaN : -kInfinity;
    check_equal(max_pool(ctx, s, x), judge(s, x).both);
  }
  // Padding never wins, not even against -infinity: the winner is the first tap inside the image.
  const Pool2dShape padded{.N = 1, .H = 2, .W = 2, .C = 1, .kernel = 3, .padding = 1};
  const double low = -std::numeric_limits<double>::infinity();
  check_equal(max_pool(ctx, padded, std::vector<TestType>(4, -kInfinity)),
              {low, low, low, low, 4, 3, 1, 0});
}

TEMPLATE_TEST_CASE("cuda: average pooling and its adjoint", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Pool2dShape& s : kPools) {
    CAPTURE(text(s));
    const auto x = integers<TestType>(input_size(s), -4, 4, 1);
    const auto g = integers<TestType>(output_size(s), -4, 4, 2);
    const DeviceArray<TestType> in(ctx, x), grad(ctx, g);
    const auto y = in_every_order([&] {
      return written<TestType>(ctx, output_size(s), [&](TestType* to) {
        kernels::avg_pool2d_forward<TestType>(ctx, s, in.data(), to);
      });
    });
    constexpr double kEpsilon = std::numeric_limits<TestType>::epsilon();
    check_close(y,
                written_by_cpu(output_size(s),
                               [&](CpuContext& cpu, double* to) {
                                 kernels::avg_pool2d_forward<double>(
                                     cpu, s, converted<double>(x).data(), to);
                               }),
                kEpsilon);  // exact sums, one division
    const auto grad_x = in_every_order([&] {
      return written<TestType>(ctx, input_size(s), [&](TestType* to) {
        kernels::avg_pool2d_backward<TestType>(ctx, s, grad.data(), to);
      });
    });
    check_close(grad_x,
                written_by_cpu(input_size(s),
                               [&](CpuContext& cpu, double* to) {
                                 kernels::avg_pool2d_backward<double>(
                                     cpu, s, converted<double>(g).data(), to);
                               }),
                kEpsilon * static_cast<double>(s.kernel * s.kernel + 2));
  }
}

TEMPLATE_TEST_CASE("cuda: pooling of misaligned views", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Pool2dShape s{.N = 2, .H = 5, .W = 6, .C = 8, .kernel = 3, .stride = 2, .padding = 1};
  const int64_t n = output_size(s);
  auto x = integers<TestType>(input_size(s), -4, 4);
  const Judged want = judge(s, x);
  x.insert(x.begin(), 99);
  const DeviceArray<TestType> in(ctx, x);
  DeviceArray<TestType> y(ctx, n + 2);
  DeviceArray<uint8_t> index(ctx, n + 2);
  kernels::max_pool2d_forward<TestType>(ctx, s, in.data() + 1, y.data() + 1, index.data() + 1);
  const auto got = y.download();
  const auto got_index = index.download();
  check_equal(both(std::vector<TestType>(got.begin() + 1, got.end() - 1),
                   std::vector<uint8_t>(got_index.begin() + 1, got_index.end() - 1)),
              want.both);
  CHECK(got.front() != got.front());
  CHECK(got.back() != got.back());
  CHECK(got_index.front() == 0xff);
  CHECK(got_index.back() == 0xff);
}

}  // namespace oche
