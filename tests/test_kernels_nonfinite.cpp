// NaN and infinities in the CPU's convolution, pooling and batch norm: they appear where the
// equations say, and nowhere else.
#include "kernels/batch_norm.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/kernel_check.h"
#include "tests/support/nonfinite_cases.h"

namespace oche {
namespace {

using kernels::Conv2dShape;
using kernels::CpuContext;
using kernels::Pool2dShape;
using ref::Values;

template <typename T>
void check_convolution(CpuContext& ctx, const Conv2dShape& s, const ConvSample& a) {
  const std::vector<T> x = as<T>(a.x), other = as<T>(a.gate), w = as<T>(a.w),
                       grad_y = as<T>(a.grad_y);
  const T* gate = a.gate_is_x ? x.data() : other.empty() ? nullptr : other.data();
  auto y = poison<T>(output_size(s)), grad_x = poison<T>(input_size(s)),
       grad_w = poison<T>(weight_size(s));
  auto workspace = poison<T>(kernels::conv2d_weight_grad_workspace(ctx, s));
  const ConvGradients want = equation(s, a);
  kernels::conv2d_forward<T>(ctx, s, x.data(), gate, w.data(), y.data());
  CHECK(worst_error(y, want.y) == 0);
  kernels::conv2d_input_grad<T>(ctx, s, grad_y.data(), gate, w.data(), grad_x.data());
  CHECK(worst_error(grad_x, want.grad_x) == 0);
  kernels::conv2d_weight_grad<T>(
      ctx, s, x.data(), gate, grad_y.data(), grad_w.data(), workspace.data());
  CHECK(worst_error(grad_w, want.grad_w) == 0);

  grad_x = poison<T>(input_size(s)), grad_w = poison<T>(weight_size(s));
  workspace = poison<T>(workspace.size());
  kernels::conv2d_backward<T>(ctx,
                              s,
                              x.data(),
                              gate,
                              grad_y.data(),
                              w.data(),
                              grad_x.data(),
                              grad_w.data(),
                              workspace.data());
  CHECK(worst_error(grad_x, want.grad_x) == 0);
  CHECK(worst_error(grad_w, want.grad_w) == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("padding contributes nothing to a convolution, not even to NaN",
                   "[conv2d]",
                   float,
                   double) {
  CpuContext ctx(2);
  for (const Conv2dShape& s : nonfinite_convolutions()) {
    CAPTURE(text(s));
    for_nonfinite_samples(s, [&](const ConvSample& a) { check_convolution<TestType>(ctx, s, a); });
  }
  // Enough images for several partial weight gradients.
  const Conv2dShape large{4, 20, 20, 8, 3, 3, 8, 8, 1, 1};
  for_nonfinite_samples(large,
                        [&](const ConvSample& a) { check_convolution<TestType>(ctx, large, a); });
}

TEMPLATE_TEST_CASE("a NaN reaches the windows that hold it", "[pool2d]", float, double) {
  CpuContext ctx(2);
  for (const Pool2dShape& s : nonfinite_pools()) {
    CAPTURE(text(s));
    const Values sound_x = small_integers(input_size(s), 1);
    const auto sound_index = ref::max_pool2d(s, sound_x).index;
    for_planted(sound_x, {s.N, s.H, s.W, s.C}, [&](const Values& x) {
      auto y = poison<TestType>(output_size(s));
      std::vector<uint8_t> index(output_size(s), 255);
      const auto input = as<TestType>(x);
      kernels::max_pool2d_forward<TestType>(ctx, s, input.data(), y.data(), index.data());
      const ref::MaxPool want = ref::max_pool2d(s, x);
      CHECK(worst_error(y, want.y) == 0);
      CHECK(index == want.index);
      kernels::max_pool2d_gather<TestType>(ctx, s, input.data(), sound_index.data(), y.data());
      CHECK(worst_error(y, ref::max_pool2d_gather(s, x, sound_index)) == 0);
      kernels::avg_pool2d_forward<TestType>(ctx, s, input.data(), y.data());
      CHECK(worst_error(y, ref::avg_pool2d(s, x)) <= kEpsilon<TestType>);
    });
    const Values sound_g = small_integers(output_size(s), 2);
    for_planted(sound_g, {s.N, s.out_h(), s.out_w(), s.C}, [&](const Values& g) {
      auto grad_x = poison<TestType>(input_size(s));
      const auto grad_y = as<TestType>(g);
      kernels::max_pool2d_scatter<TestType>(
          ctx, s, grad_y.data(), sound_index.data(), grad_x.data());
      CHECK(worst_error(grad_x, ref::max_pool2d_scatter(s, g, sound_index)) == 0);
      kernels::avg_pool2d_backward<TestType>(ctx, s, grad_y.data(), grad_x.data());
      CHECK(worst_error(grad_x, ref::avg_pool2d_backward(s, g)) <=
            kEpsilon<TestType> * static_cast<double>(s.kernel * s.kernel + 2));
    });
  }
}

TEMPLATE_TEST_CASE("batch norm keeps a NaN in its channel", "[batch_norm]", float, double) {
  CpuContext ctx(2);
  constexpr double kEps = 1e-5;
  struct Norm {
    int64_t rows, C;
  };
  for (const Norm& n : {Norm{1, 5}, {45, 8}, {130, 3}, {4500, 7}}) {
    const int64_t rows = n.rows, C = n.C;
    CAPTURE(rows, C);
    const Values sound = random_values(rows * C, -1, 1, 1), g = random_values(rows * C, -1, 1, 2);
    const ImageExtents extents{1, rows, 1, C};
    const double unit = kEpsilon<TestType> * 64;
    std::vector<double> workspace(kernels::batch_norm_workspace(ctx, rows, C));
    for_planted(sound, extents, [&](const Values& x) {
      auto mean = poison<TestType>(C), var = poison<TestType>(C);
      kernels::batch_norm_statistics<TestType>(
          ctx, rows, C, as<TestType>(x).data(), mean.data(), var.data(), workspace.data());
      const ref::Moments want = ref::batch_norm_statistics(rows, C, x);
      // The mean of a channel with an infinity is that or a NaN: it depends on the row around
      // which the channel was summed. Its variance is a NaN.
      for (int64_t c = 0; c < C; ++c) {
        if (!std::isfinite(want.mean[c])) CHECK_FALSE(std::isfinite(mean[c]));
        if (!std::isfinite(want.mean[c])) mean[c] = static_cast<TestType>(want.mean[c]);
      }
      CHECK(worst_error(mean, want.mean) <= unit);
      CHECK(worst_error(var, want.var) <= unit);
      auto y = poison<TestType>(rows * C);
      kernels::batch_norm_forward<TestType>(ctx,
                                            rows,
                                            C,
                                            kEps,
                                            as<TestType>(x).data(),
                                            mean.data(),
                                            var.data(),
                                            nullptr,
                                            nullptr,
                                            y.data());
      CHECK(worst_error(y, ref::batch_norm(rows, C, kEps, x, want, Values(C, 1), Values(C))) <=
            512 * unit);
    });
    const ref::Moments m = ref::batch_norm_statistics(rows, C, sound);
    for_planted(g, extents, [&](const Values& planted) {
      auto grad_x = poison<TestType>(rows * C), grad_weight = poison<TestType>(C),
           grad_bias = poison<TestType>(C);
      kernels::batch_norm_backward<TestType>(ctx,
                                             rows,
                                             C,
                                             kEps,
                                             as<TestType>(planted).data(),
                                             as<TestType>(sound).data(),
                                             as<TestType>(m.mean).data(),
                                             as<TestType>(m.var).data(),
                                             nullptr,
                                             grad_x.data(),
                                             grad_weight.data(),
                                             grad_bias.data(),
                                             workspace.data());
      const auto want = ref::batch_norm_backward(rows, C, kEps, planted, sound, m, Values(C, 1));
      CHECK(worst_error(grad_bias, want.bias) <= unit * static_cast<double>(rows));
      CHECK(worst_error(grad_weight, want.weight) <= unit * static_cast<double>(rows));
      CHECK(worst_error(grad_x, want.x) <= 512 * unit);
    });
  }
}

}  // namespace oche
