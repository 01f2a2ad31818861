#include "kernels/cpu/conv2d_plain.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

// The input position that output position `at` reads through tap t along one axis, or -1.
int64_t source(const Conv2dShape& s, int64_t at, int64_t t, int64_t inputs) {
  const int64_t position = at * s.stride - s.padding + t * s.dilation;
  return position < inputs ? std::max<int64_t>(position, -1) : -1;
}

// The output position that reads `at` through tap t along one axis, or -1.
int64_t reader(const Conv2dShape& s, int64_t at, int64_t t, int64_t outputs) {
  const int64_t shifted = at + s.padding - t * s.dilation;
  if (shifted < 0 || shifted % s.stride != 0) return -1;
  return shifted / s.stride < outputs ? shifted / s.stride : -1;
}

template <typename T>
double gated_at(const T* x, const T* gate, int64_t i) {
  return gate && gate[i] <= 0 ? 0.0 : static_cast<double>(x[i]);
}

}  // namespace

template <typename T>
void plain_forward(
    CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  const int64_t in = s.C / s.groups, out = s.out_C / s.groups;
  ctx.parallel(s.N * s.out_h(), [&](int64_t row) {
    for (int64_t q = 0; q < s.out_w(); ++q) {
      for (int64_t o = 0; o < s.out_C; ++o) {
        double sum = 0;
        for (int64_t r = 0; r < s.kernel_h; ++r) {
          const int64_t h = source(s, row % s.out_h(), r, s.H);
          for (int64_t t = 0; h >= 0 && t < s.kernel_w; ++t) {
            const int64_t column = source(s, q, t, s.W);
            if (column < 0) continue;
            const int64_t pixel = (row / s.out_h() * s.H + h) * s.W + column;
            for (int64_t c = 0; c < in; ++c) {
              sum += gated_at(x, gate, pixel * s.C + o / out * in + c) *
                     static_cast<double>(w[((r * s.kernel_w + t) * in + c) * s.out_C + o]);
            }
          }
        }
        y[(row * s.out_w() + q) * s.out_C + o] = static_cast<T>(sum);
      }
    }
  });
}

template <typename T>
void plain_input_grad(
    CpuContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  const int64_t in = s.C / s.groups, out = s.out_C / s.groups;
  ctx.parallel(s.N * s.H, [&](int64_t row) {
    for (int64_t column = 0; column < s.W; ++column) {
      for (int64_t c = 0; c < s.C; ++c) {
        double sum = 0;
        for (int64_t r = 0; r < s.kernel_h; ++r) {
          const int64_t p = reader(s, row % s.H, r, s.out_h());
          for (int64_t t = 0; p >= 0 && t < s.kernel_w; ++t) {
            const int64_t q = reader(s, column, t, s.out_w());
            if (q < 0) continue;
            const int64_t output = (row / s.H * s.out_h() + p) * s.out_w() + q;
            for (int64_t o = c / in * out; o < (c / in + 1) * out; ++o) {
              sum += static_cast<double>(grad_y[output * s.out_C + o]) *
                     static_cast<double>(w[((r * s.kernel_w + t) * in + c % in) * s.out_C + o]);
            }
          }
        }
        const int64_t at = (row * s.W + column) * s.C + c;
        grad_x[at] = gate && gate[at] <= 0 ? T(0) : static_cast<T>(sum);
      }
    }
  });
}

template <typename T>
void mend_weight_grad(
    CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* grad_y, T* grad_w) {
  const int64_t in = s.C / s.groups, out = s.out_C / s.groups, size = weight_size(s);
  if (std::none_of(grad_w, grad_w + size, [](T v) { return std::isnan(v); })) return;
  ctx.parallel(size, [&](int64_t i) {
    if (!std::isnan(grad_w[i])) return;
    const int64_t o = i % s.out_C, c = i / s.out_C % in, tap = i / s.out_C / in;
    double sum = 0;
    for (int64_t row = 0; row < s.N * s.out_h() && !std::isnan(sum); ++row) {
      const int64_t h = source(s, row % s.out_h(), tap / s.kernel_w, s.H);
      for (int64_t q = 0; h >= 0 && q < s.out_w(); ++q) {
        const int64_t column = source(s, q, tap % s.kernel_w, s.W);
        if (column < 0) continue;
        const int64_t pixel = (row / s.out_h() * s.H + h) * s.W + column;
        sum += gated_at(x, gate, pixel * s.C + o / out * in + c) *
               static_cast<double>(grad_y[(row * s.out_w() + q) * s.out_C + o]);
      }
    }
    grad_w[i] = static_cast<T>(sum);
  });
}

#define OCHE_INSTANTIATE(T)                                                                       \
  template void plain_forward(CpuContext&, const Conv2dShape&, const T*, const T*, const T*, T*); \
  template void plain_input_grad(                                                                 \
      CpuContext&, const Conv2dShape&, const T*, const T*, const T*, T*);                         \
  template void mend_weight_grad(CpuContext&, const Conv2dShape&, const T*, const T*, const T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
