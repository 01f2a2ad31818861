// NaN and infinities in convolution, pooling and batch norm on a CUDA device: they appear where the
// equations say, and nowhere else.
#include "kernels/batch_norm.h"
#include "tests/cuda/device.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/nonfinite_cases.h"

namespace oche {
namespace {

using kernels::Conv2dShape;
using kernels::CudaContext;
using kernels::Pool2dShape;
using ref::Values;

#ifdef __SANITIZE_THREAD__
constexpr int kEvery =
    7;  // samples of a shape: what is not finite makes no race, and all take long
#else
constexpr int kEvery = 1;
#endif

// n elements that kernel(pointer) has written.
template <typename T, typename Kernel>
std::vector<T> written(CudaContext& ctx, int64_t n, const Kernel& kernel) {
  DeviceArray<T> to(ctx, n);
  kernel(to.data());
  return to.download();
}

template <typename T>
void check_convolution(CudaContext& ctx, const Conv2dShape& s, const ConvSample& a) {
  const DeviceArray<T> x(ctx, as<T>(a.x)), other(ctx, as<T>(a.gate)), w(ctx, as<T>(a.w)),
      grad_y(ctx, as<T>(a.grad_y));
  const T* gate = a.gate_is_x ? x.data() : other.data();
  const ConvGradients want = equation(s, a);
  check_equal(
      written<T>(ctx,
                 output_size(s),
                 [&](T* y) { kernels::conv2d_forward<T>(ctx, s, x.data(), gate, w.data(), y); }),
      want.y);
  check_equal(written<T>(ctx,
                         input_size(s),
                         [&](T* to) {
                           kernels::conv2d_input_grad<T>(ctx, s, grad_y.data(), gate, w.data(), to);
                         }),
              want.grad_x);
  DeviceArray<T> workspace(ctx, kernels::conv2d_weight_grad_workspace(ctx, s));
  check_equal(written<T>(ctx,
                         weight_size(s),
                         [&](T* to) {
                           kernels::conv2d_weight_grad<T>(
                               ctx, s, x.data(), gate, grad_y.data(), to, workspace.data());
                         }),
              want.grad_w);
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: padding contributes nothing to a convolution, not even to NaN",
                   "[cuda]",
                   float,
                   double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const Conv2dShape& s : nonfinite_convolutions()) {
    CAPTURE(text(s));
    int number = 0;
    for_nonfinite_samples(s, [&](const ConvSample& a) {
      if (number++ % kEvery == 0) check_convolution<TestType>(ctx, s, a);
    });
  }
}

TEMPLATE_TEST_CASE("cuda: a NaN reaches the windows that hold it", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  constexpr double kEpsilon = std::numeric_limits<TestType>::epsilon();
  for (const Pool2dShape& s : nonfinite_pools()) {
    CAPTURE(text(s));
    const int64_t inputs = input_size(s), outputs = output_size(s);
    const Values sound_x = small_integers(inputs, 1), sound_g = small_integers(outputs, 2);
    const auto sound_index = ref::max_pool2d(s, sound_x).index;
    const DeviceArray<uint8_t> winners(ctx, sound_index);
    for_planted(sound_x, {s.N, s.H, s.W, s.C}, [&](const Values& values) {
      const DeviceArray<TestType> x(ctx, as<TestType>(values));
      DeviceArray<uint8_t> index(ctx, outputs);
      const ref::MaxPool want = ref::max_pool2d(s, values);
      const auto y = written<TestType>(ctx, outputs, [&](TestType* to) {
        kernels::max_pool2d_forward<TestType>(ctx, s, x.data(), to, index.data());
      });
      check_equal(y, want.y);
      CHECK(index.download() == want.index);
      const auto gathered = written<TestType>(ctx, outputs, [&](TestType* to) {
        kernels::max_pool2d_gather<TestType>(ctx, s, x.data(), winners.data(), to);
      });
      check_equal(gathered, ref::max_pool2d_gather(s, values, sound_index));
      const auto average = written<TestType>(ctx, outputs, [&](TestType* to) {
        kernels::avg_pool2d_forward<TestType>(ctx, s, x.data(), to);
      });
      check_close(average, ref::avg_pool2d(s, values), kEpsilon);
    });
    for_planted(sound_g, {s.N, s.out_h(), s.out_w(), s.C}, [&](const Values& values) {
      const DeviceArray<TestType> g(ctx, as<TestType>(values));
      const auto scattered = written<TestType>(ctx, inputs, [&](TestType* to) {
        kernels::max_pool2d_scatter<TestType>(ctx, s, g.data(), winners.data(), to);
      });
      check_equal(scattered, ref::max_pool2d_scatter(s, values, sound_index));
      const auto spread = written<TestType>(ctx, inputs, [&](TestType* to) {
        kernels::avg_pool2d_backward<TestType>(ctx, s, g.data(), to);
      });
      check_close(spread,
                  ref::avg_pool2d_backward(s, values),
                  kEpsilon * static_cast<double>(s.kernel * s.kernel + 2));
    });
  }
}

TEMPLATE_TEST_CASE("cuda: batch norm keeps a NaN in its channel", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  constexpr double kEps = 1e-5;
  struct Norm {
    int64_t rows, C;
  };
  for (const Norm& n : {Norm{1, 5}, {45, 8}, {130, 3}, {2100, 7}}) {
    const int64_t rows = n.rows, C = n.C;
    CAPTURE(rows, C);
    const Values sound = random_values(rows * C, -1, 1, 1), g = random_values(rows * C, -1, 1, 2);
    const ImageExtents extents{1, rows, 1, C};
    const double unit = 64 * std::numeric_limits<TestType>::epsilon();
    DeviceArray<double> workspace(ctx, kernels::batch_norm_workspace(ctx, rows, C));
    for_planted(sound, extents, [&](const Values& values) {
      const DeviceArray<TestType> x(ctx, as<TestType>(values));
      DeviceArray<TestType> mean(ctx, C), var(ctx, C);
      kernels::batch_norm_statistics<TestType>(
          ctx, rows, C, x.data(), mean.data(), var.data(), workspace.data());
      const ref::Moments want = ref::batch_norm_statistics(rows, C, values);
      auto got = mean.download();
      // The mean of a channel with an infinity is that or a NaN: it depends on the row around
      // which the channel was summed. Its variance is a NaN.
      for (int64_t c = 0; c < C; ++c) {
        if (std::isfinite(want.mean[c])) continue;
        CHECK_FALSE(std::isfinite(got[c]));
        got[c] = static_cast<TestType>(want.mean[c]);
      }
      check_close(got, want.mean, unit);
      check_close(var.download(), want.var, unit);
      const auto y = written<TestType>(ctx, rows * C, [&](TestType* to) {
        kernels::batch_norm_forward<TestType>(
            ctx, rows, C, kEps, x.data(), mean.data(), var.data(), nullptr, nullptr, to);
      });
      check_close(
          y, ref::batch_norm(rows, C, kEps, values, want, Values(C, 1), Values(C)), 512 * unit);
    });
    const ref::Moments m = ref::batch_norm_statistics(rows, C, sound);
    const DeviceArray<TestType> x(ctx, as<TestType>(sound)), mean(ctx, as<TestType>(m.mean)),
        var(ctx, as<TestType>(m.var));
    for_planted(g, extents, [&](const Values& values) {
      const DeviceArray<TestType> grad_y(ctx, as<TestType>(values));
      DeviceArray<TestType> grad_weight(ctx, C), grad_bias(ctx, C);
      const auto grad_x = written<TestType>(ctx, rows * C, [&](TestType* to) {
        kernels::batch_norm_backward<TestType>(ctx,
                                               rows,
                                               C,
                                               kEps,
                                               grad_y.data(),
                                               x.data(),
                                               mean.data(),
                                               var.data(),
                                               nullptr,
                                               to,
                                               grad_weight.data(),
                                               grad_bias.data(),
                                               workspace.data());
      });
      const auto want = ref::batch_norm_backward(rows, C, kEps, values, sound, m, Values(C, 1));
      check_close(grad_bias.download(), want.bias, unit * static_cast<double>(rows));
      check_close(grad_weight.download(), want.weight, unit * static_cast<double>(rows));
      check_close(grad_x, want.x, 512 * unit);
    });
  }
}

}  // namespace oche
