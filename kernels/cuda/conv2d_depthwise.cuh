// Depthwise convolution on a CUDA device: the kernels for usual taps, with what all of them share.
//
// The kernels for usual taps load zeros for what lies outside an image, and multiply them like
// anything else. Where the other factor is not finite, that leaves a NaN which the equation does
// not have; a thread that has written one goes over its elements again, with the terms that exist.
// Functions of their own do that, so that the others spend no register on it.
#pragma once

#include "kernels/cuda/conv2d_way.h"
#include "kernels/cuda/taps.cuh"

namespace oche::kernels::cuda {
namespace {

constexpr int kBlock = 128;      // threads; few, so that small images occupy every multiprocessor
constexpr int kGradBlock = 128;  // of the weight gradient

// kStrip columns from `column` on in row `row` of image n, for the channels from `channel` on.
struct Strip {
  int64_t n, channel;
  int row, column;
};
__device__ inline Strip strip_at(int64_t i, int64_t vectors, int width, int strips, int rows) {
  Strip at;
  at.channel = take(i, vectors) * width;
  at.column = static_cast<int>(take(i, strips)) * kStrip;
  at.row = static_cast<int>(take(i, rows));
  at.n = i;
  return at;
}

// grid: (grad_blocks, kernel_h, tiles of channels). Block b of the strips adds up row blockIdx.y of
// the taps into partials + b * (weight size). visit(n, p, q) for the strips of a pixel lane.
template <typename Visit>
__device__ void for_strips(const ConvExtents& e, int pixel_lanes, int lane, const Visit& visit) {
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t total = e.N * e.out_h * strips, size = (total + gridDim.x - 1) / gridDim.x;
  const int64_t begin = blockIdx.x * size, end = begin + size < total ? begin + size : total;
  const int64_t first = begin + lane;
  Walk at(first, pixel_lanes, e.out_h, strips);
  for (int64_t i = first; i < end; i += pixel_lanes, at.advance()) {
    visit(at.n, at.row, at.column * kStrip);
  }
}

template <typename T>
__device__ int64_t channel_of_thread(const Lanes& lanes) {
  return (static_cast<int64_t>(blockIdx.z) * lanes.channels + threadIdx.x % lanes.channels) *
         Vec<T>::kWidth;
}

template <typename T>
__device__ T gated_at(const T* x, const T* gate, int64_t i) {
  return gate && gate[i] <= 0 ? T(0) : x[i];
}

// The elements that a thread of depthwise_forward_kernel has written.
template <typename T>
__device__ __attribute__((noinline)) void forward_again(
    const ConvExtents& e, const T* x, const T* gate, const T* w, T* y) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t C = e.C;
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.out_h * strips * (C / kWidth);
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Strip at = strip_at(i, C / kWidth, kWidth, strips, e.out_h);
#pragma unroll 1
    for (int element = 0; element < kStrip * kWidth; ++element) {
      const int q = at.column + element / kWidth;
      const int64_t channel = at.channel + element % kWidth;
      if (q >= e.out_w) break;
      T sum = 0;
#pragma unroll 1
      for (int tap = 0; tap < e.kernel_h * e.kernel_w; ++tap) {
        const int h = at.row * e.stride - e.padding + tap / e.kernel_w * e.dilation;
        const int column = q * e.stride - e.padding + tap % e.kernel_w * e.dilation;
        if (h < 0 || h >= e.H || column < 0 || column >= e.W) continue;
        const int64_t source = ((at.n * e.H + h) * e.W + column) * C + channel;
        sum = ::fma(gated_at(x, gate, source), w[tap * C + channel], sum);
      }
      y[((at.n * e.out_h + at.row) * e.out_w + q) * C + channel] = sum;
    }
  }
}

// The same of depthwise_input_grad_kernel.
template <typename T>
__device__ __attribute__((noinline)) void input_grad_again(
    const ConvExtents& e, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t C = e.C;
  const int before = e.padding % e.stride, strips = (e.W + before + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.H * strips * (C / kWidth);
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Strip at = strip_at(i, C / kWidth, kWidth, strips, e.H);
#pragma unroll 1
    for (int element = 0; element < kStrip * kWidth; ++element) {
      const int column = at.column - before + element / kWidth;
      const int64_t channel = at.channel + element % kWidth;
      if (column < 0 || column >= e.W) continue;
      T sum = 0;
#pragma unroll 1
      for (int tap = 0; tap < e.kernel_h * e.kernel_w; ++tap) {
        const int down = at.row + e.padding - tap / e.kernel_w * e.dilation;
        const int right = column + e.padding - tap % e.kernel_w * e.dilation;
        if (down < 0 || down % e.stride != 0 || down / e.stride >= e.out_h) continue;
        if (right < 0 || right % e.stride != 0 || right / e.stride >= e.out_w) continue;
        const int64_t row = at.n * e.out_h + down / e.stride;
        sum = ::fma(
            grad_y[(row * e.out_w + right / e.stride) * C + channel], w[tap * C + channel], sum);
      }
      const int64_t to = ((at.n * e.H + at.row) * e.W + column) * C + channel;
      grad_x[to] = gate && gate[to] <= 0 ? T(0) : sum;
    }
  }
}

// The same of depthwise_weight_grad_kernel: row r of the taps at `to`, for the channels of a
// vector.
template <typename T>
__device__ __attribute__((noinline)) void weight_grad_again(const ConvExtents& e,
                                                            int64_t first_channel,
                                                            const T* x,
                                                            const T* gate,
                                                            const T* grad_y,
                                                            T* to) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t C = e.C;
  const int r = static_cast<int>(blockIdx.y);
#pragma unroll 1
  for (int element = 0; element < e.kernel_w * kWidth; ++element) {
    const int s = element / kWidth;
    const int64_t channel = first_channel + element % kWidth;
    T sum = 0;
    for_strips(e, 1, 0, [&](int64_t n, int p, int q) {
      const int h = p * e.stride - e.padding + r * e.dilation;
      if (h < 0 || h >= e.H) return;
#pragma unroll 1
      for (int k = q; k < q + kStrip && k < e.out_w; ++k) {
        const int column = k * e.stride - e.padding + s * e.dilation;
        if (column < 0 || column >= e.W) continue;
        sum = ::fma(gated_at(x, gate, ((n * e.H + h) * e.W + column) * C + channel),
                    grad_y[((n * e.out_h + p) * e.out_w + k) * C + channel],
                    sum);
      }
    });
    T& element_of_w = to[s * C + channel];
    if (element_of_w != element_of_w) element_of_w = sum;
  }
}

template <typename Fixed, typename T>
__global__ void __launch_bounds__(kBlock, 1) depthwise_forward_kernel(
    const __grid_constant__ ConvExtents e, const T* x, const T* gate, const T* w, T* y) {
  using V = Vec<T>;
  const int64_t C = e.C, vectors = C / V::kWidth;
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.out_h * strips * vectors;
  bool again = false;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Strip at = strip_at(i, vectors, V::kWidth, strips, e.out_h);
    const int left = at.column * Fixed::kStride - e.padding;
    V sums[kStrip] = {};
#pragma unroll 1
    for (int r = 0; r < Fixed::kTaps; ++r) {
      const int h = at.row * Fixed::kStride - e.padding + r * Fixed::kDilation;
      if (h < 0 || h >= e.H) continue;
      const int64_t source = ((at.n * e.H + h) * e.W + left) * C + at.channel;
      V v[Fixed::kColumns];
      load_columns<true>(
          v, x + source, gate ? gate + source : nullptr, Fixed::kStep * C, V::kWidth, [&](int u) {
            const int column = left + u * Fixed::kStep;
            return column >= 0 && column < e.W;
          });
      const T* row = w + r * Fixed::kTaps * C + at.channel;
#pragma unroll
      for (int s = 0; s < Fixed::kTaps; ++s) {
        const V tap = V::load(row + s * C);
#pragma unroll
        for (int k = 0; k < kStrip; ++k) sums[k] = fma(v[Fixed::column(k, s)], tap, sums[k]);
      }
    }
    T* to = y + ((at.n * e.out_h + at.row) * e.out_w + at.column) * C + at.channel;
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      if (at.column + k < e.out_w) sums[k].store(to + k * C);
    }
    again |= any_nan(sums);
  }
  if (again) forward_again(e, x, gate, w, y);
}

// Strips begin where the first column is a multiple of the stride once padded, up to a stride - 1
// left of the image, so that which taps reach which pixel is known at compile time.
template <typename Fixed, typename T>
__global__ void __launch_bounds__(kBlock, 1) depthwise_input_grad_kernel(
    const __grid_constant__ ConvExtents e, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  using V = Vec<T>;
  constexpr int kReach = (Fixed::kTaps - 1) * Fixed::kDilation / Fixed::kStride;
  constexpr int kColumns = kReach + (kStrip - 1) / Fixed::kStride + 1;
  const int64_t C = e.C, vectors = C / V::kWidth;
  const int before = e.padding % Fixed::kStride, strips = (e.W + before + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.H * strips * vectors;
  bool again = false;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Strip at = strip_at(i, vectors, V::kWidth, strips, e.H);
    const int first = at.column - before;  // the first pixel
    const int left = (first + e.padding) / Fixed::kStride - kReach;
    V sums[kStrip] = {};
#pragma unroll 1
    for (int r = 0; r < Fixed::kTaps; ++r) {
      const int shifted = at.row + e.padding - r * Fixed::kDilation, p = shifted / Fixed::kStride;
      if (shifted < 0 || shifted % Fixed::kStride != 0 || p >= e.out_h) continue;
      V v[kColumns];
      load_columns<true>(v,
                         grad_y + ((at.n * e.out_h + p) * e.out_w + left) * C + at.channel,
                         static_cast<const T*>(nullptr),
                         C,
                         V::kWidth,
                         [&](int u) { return left + u >= 0 && left + u < e.out_w; });
      const T* row = w + r * Fixed::kTaps * C + at.channel;
#pragma unroll
      for (int s = 0; s < Fixed::kTaps; ++s) {
        const V tap = V::load(row + s * C);
#pragma unroll
        for (int k = 0; k < kStrip; ++k) {
          const int distance = k - s * Fixed::kDilation;
          if (distance % Fixed::kStride != 0) continue;
          sums[k] = fma(v[kReach + distance / Fixed::kStride], tap, sums[k]);
        }
      }
    }
    const int64_t to = ((at.n * e.H + at.row) * e.W + first) * C + at.channel;
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      if (first + k < 0 || first + k >= e.W) continue;
      const V value = gate ? gated(sums[k], V::load(gate + to + k * C)) : sums[k];
      value.store(grad_x + to + k * C);
    }
    again |= any_nan(sums);
  }
  if (again) input_grad_again(e, grad_y, gate, w, grad_x);
}

template <typename Fixed, typename T>
__global__ void __launch_bounds__(kGradBlock, 1)
    depthwise_weight_grad_kernel(const __grid_constant__ ConvExtents e,
                                 Lanes lanes,
                                 const T* x,
                                 const T* gate,
                                 const T* grad_y,
                                 T* partials) {
  using V = Vec<T>;
  const int64_t C = e.C, channel = channel_of_thread<T>(lanes);
  const int r = static_cast<int>(blockIdx.y);
  V sums[Fixed::kTaps] = {};
  if (channel < C) {
    for_strips(e, lanes.pixels, threadIdx.x / lanes.channels, [&](int64_t n, int p, int q) {
      const int h = p * Fixed::kStride - e.padding + r * Fixed::kDilation;
      if (h < 0 || h >= e.H) return;
      const int left = q * Fixed::kStride - e.padding;
      const int64_t source = ((n * e.H + h) * e.W + left) * C + channel;
      V g[kStrip], v[Fixed::kColumns];
      load_columns<true>(g,
                         grad_y + ((n * e.out_h + p) * e.out_w + q) * C + channel,
                         static_cast<const T*>(nullptr),
                         C,
                         V::kWidth,
                         [&](int k) { return q + k < e.out_w; });
      load_columns<true>(
          v, x + source, gate ? gate + source : nullptr, Fixed::kStep * C, V::kWidth, [&](int u) {
            const int column = left + u * Fixed::kStep;
            return column >= 0 && column < e.W;
          });
#pragma unroll
      for (int s = 0; s < Fixed::kTaps; ++s) {
#pragma unroll
        for (int k = 0; k < kStrip; ++k) sums[s] = fma(v[Fixed::column(k, s)], g[k], sums[s]);
      }
    });
  }
  using Row = V[kGradBlock];
  CU_SHARED(Row, shared, Fixed::kTaps);
  merge_pixel_lanes(lanes, sums, shared);
  if (static_cast<int>(threadIdx.x) >= lanes.channels || channel >= C) return;
  T* to = partials + (static_cast<int64_t>(blockIdx.x) * Fixed::kTaps + r) * Fixed::kTaps * C;
#pragma unroll
  for (int s = 0; s < Fixed::kTaps; ++s) sums[s].store(to + s * C + channel);
  if (any_nan(sums)) weight_grad_again(e, channel, x, gate, grad_y, to);
}

}  // namespace
}  // namespace oche::kernels::cuda
