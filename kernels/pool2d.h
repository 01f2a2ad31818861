// Max and average pooling over square windows, NHWC, and their adjoints. Padding takes no part: it
// never wins a maximum and is excluded from the divisor of an average.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

// 0 <= padding < kernel <= 16 and the window fits the padded image, so that every window meets the
// image and a tap fits a byte.
struct Pool2dShape {
  int64_t N, H, W, C;
  int64_t kernel, stride = 1, padding = 0;

  constexpr int64_t out_h() const { return (H + 2 * padding - kernel) / stride + 1; }
  constexpr int64_t out_w() const { return (W + 2 * padding - kernel) / stride + 1; }
};

constexpr int64_t input_size(const Pool2dShape& s) {  // in elements
  return s.N * s.H * s.W * s.C;
}
constexpr int64_t output_size(const Pool2dShape& s) {
  return s.N * s.out_h() * s.out_w() * s.C;
}

// y: (N, out_h, out_w, C). index, same shape: the winning tap r * kernel + s; the first in scan
// order wins a tie. A NaN wins.
template <typename T>
void max_pool2d_forward(CpuContext&, const Pool2dShape&, const T* x, T* y, uint8_t* index);
template <typename T>
void max_pool2d_forward(CudaContext&, const Pool2dShape&, const T* x, T* y, uint8_t* index);
// y[o] = x at the tap that index[o] names.
template <typename T>
void max_pool2d_gather(CpuContext&, const Pool2dShape&, const T* x, const uint8_t* index, T* y);
template <typename T>
void max_pool2d_gather(CudaContext&, const Pool2dShape&, const T* x, const uint8_t* index, T* y);
// The adjoint of the gather: grad_x (N, H, W, C), overwritten.
template <typename T>
void max_pool2d_scatter(
    CpuContext&, const Pool2dShape&, const T* grad_y, const uint8_t* index, T* grad_x);
template <typename T>
void max_pool2d_scatter(
    CudaContext&, const Pool2dShape&, const T* grad_y, const uint8_t* index, T* grad_x);

template <typename T>
void avg_pool2d_forward(CpuContext&, const Pool2dShape&, const T* x, T* y);
template <typename T>
void avg_pool2d_forward(CudaContext&, const Pool2dShape&, const T* x, T* y);
template <typename T>
void avg_pool2d_backward(CpuContext&, const Pool2dShape&, const T* grad_y, T* grad_x);
template <typename T>
void avg_pool2d_backward(CudaContext&, const Pool2dShape&, const T* grad_y, T* grad_x);

}  // namespace oche::kernels
