// Batch normalisation on the device against the CPU's.
#include <cmath>
#include <limits>

#include "kernels/batch_norm.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::CpuContext;
using kernels::CudaContext;

constexpr double kEps = 1e-5;

struct Norm {
  int64_t rows, C;
};
std::vector<Norm> norms() {
  std::vector<Norm> all = {{0, 3},
                           {3, 0},
                           {1, 1},
                           {1, 5},
                           {5, 3},
                           {17, 33},
                           {130, 17},
                           {2100, 3},
                           {1100, 16},
                           {70, 64},
                           {40, 700},
                           {9, 1032}};
  for (int64_t C = 1; C <= 33; ++C) all.push_back({45, C});
  return all;
}

template <typename T>
struct Statistics {
  std::vector<T> mean, var;
};

Statistics<double> cpu_statistics(const Norm& n, const std::vector<double>& x) {
  CpuContext cpu(1);
  Statistics<double> s{std::vector<double>(n.C), std::vector<double>(n.C)};
  std::vector<double> workspace(kernels::batch_norm_workspace(cpu, n.rows, n.C));
  kernels::batch_norm_statistics<double>(
      cpu, n.rows, n.C, x.data(), s.mean.data(), s.var.data(), workspace.data());
  return s;
}

// Means, then variances.
template <typename T>
std::vector<T> device_statistics(CudaContext& ctx, const Norm& n, const T* x) {
  DeviceArray<T> s(ctx, 2 * n.C);
  DeviceArray<double> workspace(ctx, kernels::batch_norm_workspace(ctx, n.rows, n.C));
  kernels::batch_norm_statistics<T>(
      ctx, n.rows, n.C, x, s.data(), s.data() + n.C, workspace.data());
  return s.download();
}

template <typename T>
std::vector<T> joined(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<double> values(int64_t n, unsigned seed, double centre = 0) {
  auto x = integers<double>(n, -512, 512, seed);
  for (double& v : x) v = v / 256 + centre;  // exact in float while |centre| < 2^15
  return x;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: batch statistics", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Norm& n : norms()) {
    for (double centre : {0.0, 1000.0}) {  // the deviations survive a mean a thousand times larger
      CAPTURE(n.rows, n.C, centre);
      const auto x = values(n.rows * n.C, 1, centre);
      const auto want = cpu_statistics(n, x);
      const DeviceArray<TestType> in(ctx, converted<TestType>(x));
      const auto got =
          in_every_order([&] { return device_statistics<TestType>(ctx, n, in.data()); });
      const double tolerance = 8 * std::numeric_limits<TestType>::epsilon();
      check_close(got, joined(want.mean, want.var), tolerance);
    }
  }
}

TEMPLATE_TEST_CASE("cuda: alignment does not change a bit of the statistics",
                   "[cuda]",
                   float,
                   double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Norm n{300, 16};
  auto x = converted<TestType>(values(n.rows * n.C, 1, 1));
  for (TestType& v : x) v /= 3;
  const DeviceArray<TestType> aligned(ctx, x);
  x.insert(x.begin(), TestType(0));
  const DeviceArray<TestType> shifted(ctx, x);
  CHECK(device_statistics<TestType>(ctx, n, aligned.data()) ==
        device_statistics<TestType>(ctx, n, shifted.data() + 1));
}

TEMPLATE_TEST_CASE("cuda: statistics and a NaN", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Norm n{100, 5};
  auto x = values(n.rows * n.C, 1);
  x[57 * n.C + 2] = std::nan("");
  x[3] = std::nan("");  // a block's first row
  const DeviceArray<TestType> in(ctx, converted<TestType>(x));
  const auto got = device_statistics<TestType>(ctx, n, in.data());
  for (int64_t c = 0; c < n.C; ++c) {
    CAPTURE(c);
    CHECK(std::isnan(got[c]) == (c == 2 || c == 3));
    CHECK(std::isnan(got[n.C + c]) == (c == 2 || c == 3));
  }
}

TEMPLATE_TEST_CASE("cuda: normalisation and its gradients", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (const Norm& n : norms()) {
    for (bool affine : {false, true}) {
      CAPTURE(n.rows, n.C, affine);
      const int64_t size = n.rows * n.C;
      const auto x = values(size, 1), g = values(size, 2);
      auto weight = values(n.C, 3), bias = values(n.C, 4), mean = values(n.C, 5);
      auto var = integers<double>(n.C, 1, 64, 6);
      for (double& v : var) v /= 16;
      std::vector<double> y(size), grad_x(size), grad_weight(n.C), grad_bias(n.C);
      std::vector<double> workspace(kernels::batch_norm_workspace(cpu, n.rows, n.C));
      kernels::batch_norm_forward<double>(cpu,
                                          n.rows,
                                          n.C,
                                          kEps,
                                          x.data(),
                                          mean.data(),
                                          var.data(),
                                          affine ? weight.data() : nullptr,
                                          affine ? bias.data() : nullptr,
                                          y.data());
      kernels::batch_norm_backward<double>(cpu,
                                           n.rows,
                                           n.C,
                                           kEps,
                                           g.data(),
                                           x.data(),
                                           mean.data(),
                                           var.data(),
                                           affine ? weight.data() : nullptr,
                                           grad_x.data(),
                                           grad_weight.data(),
                                           grad_bias.data(),
                                           workspace.data());

      const DeviceArray<TestType> dx(ctx, converted<TestType>(x)), dg(ctx, converted<TestType>(g));
      const DeviceArray<TestType> dw(ctx, converted<TestType>(weight));
      const DeviceArray<TestType> db(ctx, converted<TestType>(bias));
      const DeviceArray<TestType> dm(ctx, converted<TestType>(mean));
      const DeviceArray<TestType> dv(ctx, converted<TestType>(var));
      const double epsilon = std::numeric_limits<TestType>::epsilon();
      const auto forward = in_every_order([&] {
        DeviceArray<TestType> out(ctx, size);
        kernels::batch_norm_forward<TestType>(ctx,
                                              n.rows,
                                              n.C,
                                              kEps,
                                              dx.data(),
                                              dm.data(),
                                              dv.data(),
                                              affine ? dw.data() : nullptr,
                                              affine ? db.data() : nullptr,
                                              out.data());
        return out.download();
      });
      check_close(forward, y, 32 * epsilon);  // of terms up to 32
      const auto backward = [&](bool want_x) {
        DeviceArray<TestType> out(ctx, size), out_c(ctx, 2 * n.C);
        DeviceArray<double> partials(ctx, kernels::batch_norm_workspace(ctx, n.rows, n.C));
        kernels::batch_norm_backward<TestType>(ctx,
                                               n.rows,
                                               n.C,
                                               kEps,
                                               dg.data(),
                                               dx.data(),
                                               dm.data(),
                                               dv.data(),
                                               affine ? dw.data() : nullptr,
                                               want_x ? out.data() : nullptr,
                                               out_c.data(),
                                               out_c.data() + n.C,
                                               partials.data());
        return want_x ? joined(out_c.download(), out.download()) : out_c.download();
      };
      const auto got = in_every_order([&] { return backward(true); });
      const auto split = got.begin() + 2 * n.C;
      const double length = static_cast<double>(n.rows + 1);
      const std::vector<TestType> sums(got.begin(), split);
      check_close(sums, joined(grad_weight, grad_bias), 16 * length * epsilon);
      check_close(std::vector<TestType>(split, got.end()), grad_x, 256 * epsilon);
      CHECK(backward(false) == sums);
    }
  }
}

}  // namespace oche
