// Depthwise convolution on a CUDA device: the kernels for usual taps, with what all of them share.
#pragma once

#include <numeric>

#include "kernels/cuda/channels.cuh"
#include "kernels/cuda/conv2d_way.h"

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
// the taps into partials + b * (weight size). visit(n, p, q) for the strips of a thread.
template <typename Visit>
__device__ void for_strips(const ConvExtents& e, const Lanes& lanes, const Visit& visit) {
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t total = e.N * e.out_h * strips, size = (total + gridDim.x - 1) / gridDim.x;
  const int64_t begin = blockIdx.x * size, end = begin + size < total ? begin + size : total;
  const int64_t first = begin + threadIdx.x / lanes.channels;
  Walk at(first, lanes.pixels, e.out_h, strips);
  for (int64_t i = first; i < end; i += lanes.pixels, at.advance()) {
    visit(at.n, at.row, at.column * kStrip);
  }
}

template <typename T>
__device__ int64_t channel_of_thread(const Lanes& lanes) {
  return (static_cast<int64_t>(blockIdx.z) * lanes.channels + threadIdx.x % lanes.channels) *
         Vec<T>::kWidth;
}

// A square kernel known at compile time, with vectors of channels that are aligned.
template <int kTapsOfRow, int kStrideOf, int kDilationOf>
struct Taps {
  static constexpr int kTaps = kTapsOfRow, kStride = kStrideOf, kDilation = kDilationOf;
  // What a strip reads of a source row: every kStep-th column.
  static constexpr int kStep = std::gcd(kStride, kDilation);
  static constexpr int kColumns = ((kStrip - 1) * kStride + (kTaps - 1) * kDilation) / kStep + 1;
  // The column, of those read, that output k reads through tap s.
  static constexpr int column(int k, int s) { return (k * kStride + s * kDilation) / kStep; }
};

template <typename Fixed, typename T>
__global__ void __launch_bounds__(kBlock, 1)
    depthwise_forward_kernel(ConvExtents e, const T* x, const T* gate, const T* w, T* y) {
  using V = Vec<T>;
  const int64_t C = e.C, vectors = C / V::kWidth;
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.out_h * strips * vectors;
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
  }
}

// Strips begin where the first column is a multiple of the stride once padded, up to a stride - 1
// left of the image, so that which taps reach which pixel is known at compile time.
template <typename Fixed, typename T>
__global__ void __launch_bounds__(kBlock, 1) depthwise_input_grad_kernel(
    ConvExtents e, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  using V = Vec<T>;
  constexpr int kReach = (Fixed::kTaps - 1) * Fixed::kDilation / Fixed::kStride;
  constexpr int kColumns = kReach + (kStrip - 1) / Fixed::kStride + 1;
  const int64_t C = e.C, vectors = C / V::kWidth;
  const int before = e.padding % Fixed::kStride, strips = (e.W + before + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.H * strips * vectors;
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
  }
}

template <typename Fixed, typename T>
__global__ void __launch_bounds__(kGradBlock, 1) depthwise_weight_grad_kernel(
    ConvExtents e, Lanes lanes, const T* x, const T* gate, const T* grad_y, T* partials) {
  using V = Vec<T>;
  const int64_t C = e.C, channel = channel_of_thread<T>(lanes);
  const int r = static_cast<int>(blockIdx.y);
  V sums[Fixed::kTaps] = {};
  if (channel < C) {
    for_strips(e, lanes, [&](int64_t n, int p, int q) {
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
}

}  // namespace
}  // namespace oche::kernels::cuda
