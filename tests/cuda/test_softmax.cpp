// Softmax and log-softmax on the device against the CPU's.
#include <cmath>
#include <limits>

#include "kernels/softmax.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::CpuContext;

struct Middle {
  int64_t outer, n, inner;
};
// Rows and columns that lanes hold and that they do not, the 14 edges of a cell, odd tails.
const Middle kMiddles[] = {{0, 3, 2},
                           {3, 2, 0},
                           {1, 1, 1},
                           {14, 8, 1},
                           {3, 10, 1},
                           {2, 33, 1},
                           {2, 257, 1},
                           {1, 2049, 1},
                           {1, 5001, 1},
                           {2, 5, 3},
                           {3, 17, 33},
                           {1, 100, 3},
                           {1, 700, 3},
                           {2, 3, 300}};

// The CPU's result in double for softmax, then log-softmax.
std::vector<double> on_cpu(const Middle& m, const std::vector<double>& x) {
  CpuContext cpu(1);
  std::vector<double> y(2 * x.size());
  kernels::softmax_forward<double>(cpu, m.outer, m.n, m.inner, x.data(), y.data());
  kernels::log_softmax_forward<double>(cpu, m.outer, m.n, m.inner, x.data(), y.data() + x.size());
  return y;
}

template <typename T>
std::vector<T> on_device(kernels::CudaContext& ctx, const Middle& m, const DeviceArray<T>& x) {
  DeviceArray<T> y(ctx, 2 * x.size());
  kernels::softmax_forward<T>(ctx, m.outer, m.n, m.inner, x.data(), y.data());
  kernels::log_softmax_forward<T>(ctx, m.outer, m.n, m.inner, x.data(), y.data() + x.size());
  return y.download();
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: softmax and its logarithm", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Middle& m : kMiddles) {
    for (double shift : {0.0, 1e4, -1e4}) {
      CAPTURE(m.outer, m.n, m.inner, shift);
      auto x = integers<double>(m.outer * m.n * m.inner, -2048, 2048);
      for (double& v : x) v = v / 256 + shift;  // exact in float
      const DeviceArray<TestType> in(ctx, converted<TestType>(x));
      const double eps = std::numeric_limits<TestType>::epsilon();
      const double of_sums = static_cast<double>(m.n) * std::numeric_limits<double>::epsilon();
      check_close(in_every_order([&] { return on_device<TestType>(ctx, m, in); }),
                  on_cpu(m, x),
                  4 * eps + of_sums);
    }
  }
}

TEMPLATE_TEST_CASE("cuda: softmax of NaN and infinities", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  for (const Middle& m : {Middle{4, 3, 1}, Middle{1, 3, 4}}) {
    CAPTURE(m.inner);
    // Columns or rows: with a NaN, with -infinity, of -infinity alone, with infinity.
    std::vector<double> x;
    const double slabs[4][3] = {{1, nan, 2}, {-inf, 0, 0}, {-inf, -inf, -inf}, {0, inf, 1}};
    for (int i = 0; i < 12; ++i)
      x.push_back(m.inner == 1 ? slabs[i / 3][i % 3] : slabs[i % 4][i / 4]);
    const DeviceArray<TestType> in(ctx, converted<TestType>(x));
    check_close(on_device<TestType>(ctx, m, in),
                on_cpu(m, x),
                4 * std::numeric_limits<TestType>::epsilon());
  }
}

}  // namespace oche
