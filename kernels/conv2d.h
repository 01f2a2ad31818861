// Two-dimensional convolution of a gated input, and its two gradients. The three close on one
// another: each is bilinear in two of (x, w, grad_y), so that each derivative of one is another of
// the three.
//
//   y[n,p,q,o] = sum_{r,s,c} w[r,s,c,o] * gated(x)[n, row(p,r), column(q,s), g(o) + c]
//   row(p,r) = p * stride - padding + r * dilation, column(q,s) likewise
//   g(o) = the first input channel of the group that o belongs to
//   gated(x)[i] = 0 if gate[i] <= 0, else x[i]
//
// Without a gate (nullptr) x is read as it is; gate == x is a rectified input.
// Taps outside the image contribute nothing, not even where they would meet a NaN or an infinity.
// NHWC throughout; weights (kernel_h, kernel_w, C / groups, out_C).
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

struct Conv2dShape {
  int64_t N, H, W, C;                 // input
  int64_t kernel_h, kernel_w, out_C;  // weight
  int64_t groups = 1, stride = 1, padding = 0, dilation = 1;

  constexpr int64_t out_h() const {
    return (H + 2 * padding - dilation * (kernel_h - 1) - 1) / stride + 1;
  }
  constexpr int64_t out_w() const {
    return (W + 2 * padding - dilation * (kernel_w - 1) - 1) / stride + 1;
  }
};

constexpr int64_t input_size(const Conv2dShape& s) {  // in elements, as those below
  return s.N * s.H * s.W * s.C;
}
constexpr int64_t output_size(const Conv2dShape& s) {
  return s.N * s.out_h() * s.out_w() * s.out_C;
}
constexpr int64_t weight_size(const Conv2dShape& s) {
  return s.kernel_h * s.kernel_w * (s.C / s.groups) * s.out_C;
}

// x, gate: (N, H, W, C). w: (kernel_h, kernel_w, C/groups, out_C). y: (N, out_h, out_w, out_C),
// overwritten.
template <typename T>
void conv2d_forward(CpuContext&, const Conv2dShape&, const T* x, const T* gate, const T* w, T* y);
template <typename T>
void conv2d_forward(CudaContext&, const Conv2dShape&, const T* x, const T* gate, const T* w, T* y);

// grad_x = gated(adjoint of the convolution applied to grad_y): (N, H, W, C), overwritten.
template <typename T>
void conv2d_input_grad(
    CpuContext&, const Conv2dShape&, const T* grad_y, const T* gate, const T* w, T* grad_x);
template <typename T>
void conv2d_input_grad(
    CudaContext&, const Conv2dShape&, const T* grad_y, const T* gate, const T* w, T* grad_x);

// grad_w[r,s,c,o] = sum_{n,p,q} gated(x)[...] * grad_y[n,p,q,o]: (kernel_h, kernel_w, C/groups,
// out_C), overwritten. `workspace` holds conv2d_weight_grad_workspace(ctx, shape) elements: the
// partial sums of fixed blocks, of images or of output pixels.
template <typename T>
void conv2d_weight_grad(CpuContext&,
                        const Conv2dShape&,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* grad_w,
                        T* workspace);
template <typename T>
void conv2d_weight_grad(CudaContext&,
                        const Conv2dShape&,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* grad_w,
                        T* workspace);
int64_t conv2d_weight_grad_workspace(const CpuContext&, const Conv2dShape&);
int64_t conv2d_weight_grad_workspace(const CudaContext&, const Conv2dShape&);

// grad_x and grad_w of the two functions above, bit for bit, in one pass over grad_y and x.
template <typename T>
void conv2d_backward(CpuContext&,
                     const Conv2dShape&,
                     const T* x,
                     const T* gate,
                     const T* grad_y,
                     const T* w,
                     T* grad_x,
                     T* grad_w,
                     T* workspace);
template <typename T>
void conv2d_backward(CudaContext&,
                     const Conv2dShape&,
                     const T* x,
                     const T* gate,
                     const T* grad_y,
                     const T* w,
                     T* grad_x,
                     T* grad_w,
                     T* workspace);

}  // namespace oche::kernels
