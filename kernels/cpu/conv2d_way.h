// The ways to compute a convolution on the CPU, and what they share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/conv2d.h"

namespace oche::kernels {

template <typename T>
struct Conv2dWay {
  bool (*supports)(const Conv2dShape&);
  void (*forward)(CpuContext&, const Conv2dShape&, const T* x, const T* gate, const T* w, T* y);
  void (*input_grad)(
      CpuContext&, const Conv2dShape&, const T* grad_y, const T* gate, const T* w, T* grad_x);
  // Writes weight_grad_blocks(shape) partial gradients, one after the other; their sum is the
  // gradient.
  void (*weight_grad)(
      CpuContext&, const Conv2dShape&, const T* x, const T* gate, const T* grad_y, T* partials);
  // Both, block by block: what a block reads comes from memory once.
  void (*backward)(CpuContext&,
                   const Conv2dShape&,
                   const T* x,
                   const T* gate,
                   const T* grad_y,
                   const T* w,
                   T* grad_x,
                   T* partials);
};

template <typename T>
Conv2dWay<T> depthwise_way();  // one input channel to each output channel
template <typename T>
Conv2dWay<T> patches_way();  // anything

// Into how many blocks of output pixels a weight gradient is cut: enough of them to share out, of
// enough pixels to pay for a partial gradient each.
inline int64_t weight_grad_blocks(const Conv2dShape& s) {
  return std::clamp<int64_t>(s.N * s.out_h() * s.out_w() / 512, 1, 64);
}
}  // namespace oche::kernels
