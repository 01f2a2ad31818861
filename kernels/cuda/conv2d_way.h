// The ways to compute a convolution on a CUDA device, and what they share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/blocks.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/context.h"

namespace oche::kernels::cuda {

// A Conv2dShape as kernels read it: with what would take a division.
struct ConvExtents {
  explicit ConvExtents(const Conv2dShape& s)
      : N(s.N),
        C(s.C),
        out_C(s.out_C),
        group_in(s.C / s.groups),
        group_out(s.out_C / s.groups),
        groups(static_cast<int>(s.groups)),
        H(static_cast<int>(s.H)),
        W(static_cast<int>(s.W)),
        out_h(static_cast<int>(s.out_h())),
        out_w(static_cast<int>(s.out_w())),
        kernel_h(static_cast<int>(s.kernel_h)),
        kernel_w(static_cast<int>(s.kernel_w)),
        stride(static_cast<int>(s.stride)),
        padding(static_cast<int>(s.padding)),
        dilation(static_cast<int>(s.dilation)) {}

  int64_t N, C, out_C, group_in, group_out;  // group_: channels of a group
  int groups, H, W, out_h, out_w, kernel_h, kernel_w, stride, padding, dilation;
};

inline int64_t output_pixels(const Conv2dShape& s) {
  return s.N * s.out_h() * s.out_w();
}

// As in kernels/cpu/conv2d_way.h. A weight gradient comes in weight_grad_blocks(shape) partial
// ones, a number that the shape alone fixes.
template <typename T>
struct ConvWay {
  bool (*supports)(const Conv2dShape&);
  int64_t (*weight_grad_blocks)(const Conv2dShape&);
  void (*forward)(CudaContext&, const Conv2dShape&, const T* x, const T* gate, const T* w, T* y);
  void (*input_grad)(
      CudaContext&, const Conv2dShape&, const T* grad_y, const T* gate, const T* w, T* grad_x);
  void (*weight_grad)(
      CudaContext&, const Conv2dShape&, const T* x, const T* gate, const T* grad_y, T* partials);
};

template <typename T>
ConvWay<T> depthwise_way();  // one input channel to each output channel
template <typename T>
ConvWay<T> pointwise_way();  // 1x1 of every pixel: a matrix product
template <typename T>
ConvWay<T> direct_way();  // anything

}  // namespace oche::kernels::cuda
