// What the two kernels for the units of the backward pass share: for usual convolutions, and for
// any.
#pragma once

#include "kernels/cuda/cell_product.cuh"
#include "kernels/cuda/merges.cuh"
#include "kernels/cuda/mixed_cell_backward.cuh"

namespace oche::kernels::cuda {

// grad_y = scale * (g - shift - (y - mean) * slope) of a channel, for the incoming gradient of `u`.
template <typename T>
struct Incoming {
  T scale, shift, mean, slope;
  __device__ Incoming(const BackwardUnit<T>& u, int channel, double pixels, double eps) {
    const T rstd = inverse_deviation(u.y.var[channel], eps);
    const T all = static_cast<T>(pixels);
    scale = (u.weight ? *u.weight : T(1)) * rstd;
    shift = u.sum_g[channel] / all;
    mean = u.y.mean[channel];
    slope = rstd * (u.sum_gx[channel] / all);
  }
};

// Two tiles of pixels, the pointwise weights of a chunk in rows of `pitch` vectors, and the
// constants above of each channel.
template <typename T>
int unit_shared_bytes(int vectors, int pitch) {
  return 2 * tile_bytes(vectors) + (pitch * vectors * kWidth<T> + 4 * vectors) * 16;
}

// The pointwise weights between the channels from `first_channel` on and the outputs from `first`
// on, as (outputs, channels), to rows of `pitch` vectors in shared memory: a factor of `products`.
template <bool kVector, typename T>
__device__ void fetch_transposed(const CellExtents& e,
                                 const BackwardUnit<T>& u,
                                 const TileThread& thread,
                                 int first_channel,
                                 int first,
                                 CellProducts products,
                                 int pitch,
                                 Vec<T>* weights) {
  constexpr int kWide = Vec<T>::kWidth;
  const int out = u.taps.out, side = thread.vectors * kWide, row = pitch * kWide;
  T* const to = &weights[0][0];
  for (int i = static_cast<int>(threadIdx.x); i < side * thread.vectors; i += kBlockSize) {
    // Neighbouring threads read neighbouring outputs of a channel.
    const int c = i / thread.vectors, o = i % thread.vectors * kWide;
    const int64_t from = static_cast<int64_t>(first_channel + c) * out + first + o;
    Vec<T> v{};
    if (first_channel + c < e.C && first + o < out) {
      v = rounded(products,
                  load_channels<kVector, kWide>(u.taps.pointwise + from, out - first - o));
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) to[(o + j) * row + c] = v[j];
  }
}

// Scale, shift, mean and slope of the outputs from `first` on, to shared memory.
template <typename T>
__device__ void fetch_constants(const CellExtents& e,
                                const BackwardUnit<T>& u,
                                const TileThread& thread,
                                int64_t pixels,
                                int first,
                                Vec<T>* constants) {
  const int side = thread.vectors * Vec<T>::kWidth;
  T* const to = &constants[0][0];
  for (int o = static_cast<int>(threadIdx.x); o < side && first + o < u.taps.out; o += kBlockSize) {
    const Incoming<T> in(u, first + o, static_cast<double>(pixels), e.eps);
    to[o] = in.scale;
    to[side + o] = in.shift;
    to[2 * side + o] = in.mean;
    to[3 * side + o] = in.slope;
  }
}

// grad_y of a tile for the outputs from `first` on, a factor of `products`; 0 for pixels and
// outputs that do not exist.
template <bool kVector, typename T>
__device__ void rebuild(const BackwardUnit<T>& u,
                        const TileThread& thread,
                        int64_t first_pixel,
                        int size,
                        int first,
                        CellProducts products,
                        const Vec<T>* constants,
                        Vec<T>* grad_y) {
  constexpr int kWide = Vec<T>::kWidth;
  const int o = first + thread.vector * kWide, count = u.taps.out - o;
  const Vec<T>* const constant = constants + thread.vector;
  const auto live = [&](int i) { return count > 0 && thread.pixel(i) < size; };
  Vec<T> y[kPixelsOfThread] = {};
  u.y.visit([&](const auto* from) {
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const int64_t at = (first_pixel + thread.pixel(i)) * u.y.pitch + o;
      if (live(i)) y[i] = load_stored<kVector>(from + at, count);
    }
  });
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    Vec<T> value{};
    if (live(i)) {
      const T* const from = u.g + (first_pixel + thread.pixel(i)) * u.pitch + o;
      const Vec<T> g = load_channels<kVector, kWide>(from, count);
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        if (j >= count) break;
        const T deviation = y[i][j] - constant[2 * thread.vectors][j];
        value[j] = constant[0][j] * (g[j] - constant[thread.vectors][j] -
                                     deviation * constant[3 * thread.vectors][j]);
      }
    }
    const int to = thread.pixel(i) * tile_pitch(thread.vectors) + thread.vector;
    grad_y[to] = rounded(products, value);
  }
}

template <bool kVector, typename T>
__device__ void store_grad_z(const BackwardUnit<T>& u,
                             const TileThread& thread,
                             int64_t first_pixel,
                             int size,
                             int C,
                             int channel,
                             const Vec<T> (&grad)[kPixelsOfThread]) {
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (channel >= C || thread.pixel(i) >= size) continue;
    T* const to = u.grad + (first_pixel + thread.pixel(i)) * C + channel;
    store_channels<kVector>(grad[i], to, C - channel);
  }
}

// What reaches the values of a pool from all its consumers, the units from `u` on, and which tap
// each maximum is.
template <bool kVector, typename T>
__device__ void pool_unit(const CellExtents& e, const BackwardUnit<T>* u, int number) {
  constexpr int kWide = Vec<T>::kWidth;
  const TileThread thread(u->taps.vectors);
  const int rows = (e.H + u->taps.stride - 1) / u->taps.stride;
  const int columns = (e.W + u->taps.stride - 1) / u->taps.stride;
  const int64_t pixels = e.N * rows * columns;
  const int side = u->taps.vectors * kWide, chunks = (e.C + side - 1) / side;
  const int channel = number % chunks * side + thread.vector * kWide, count = e.C - channel;
  const int64_t first = static_cast<int64_t>(number / chunks) * thread.pixels();
  if (count <= 0) return;
  const auto live = [&](int i) { return first + thread.pixel(i) < pixels; };
  const auto place = [&](int i) { return (first + thread.pixel(i)) * e.C + channel; };
  Vec<T> value[kPixelsOfThread] = {}, grad[kPixelsOfThread] = {};
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (!live(i)) continue;
    const CellPixel at(first + thread.pixel(i), rows, columns);
    const auto pool = static_cast<CellPool>(u->pool);
    Vec<uint8_t, kWide> winner{};
    value[i] = pooled_at<kVector>(e, u->x, pool, u->taps.stride, at, channel, count, &winner);
    if (u->winner) store_channels<kVector>(winner, u->winner + place(i), count);
    if (u->add) grad[i] = load_channels<kVector, kWide>(u->grad + place(i), count);
  }
  for (int k = 0; k <= u->follow; ++k) {
    const BackwardUnit<T>& in = u[k];
    Vec<T> g[kPixelsOfThread] = {};
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      if (!live(i)) continue;
      const T* const from = in.g + (first + thread.pixel(i)) * in.pitch + channel;
      g[i] = load_channels<kVector, kWide>(from, count);
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (j >= count) break;
      const Incoming<T> c(in, channel + j, static_cast<double>(pixels), e.eps);
#pragma unroll
      for (int i = 0; i < kPixelsOfThread; ++i) {
        grad[i][j] += c.scale * (g[i][j] - c.shift - (value[i][j] - c.mean) * c.slope);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (live(i)) store_channels<kVector>(grad[i], u->grad + place(i), count);
  }
}

template <typename T>
bool whole_vectors(const CellShape& s, const BackwardUnit<T>& u) {
  constexpr int kWide = kWidth<T>;
  return s.C % kWide == 0 && u.taps.out % kWide == 0 && u.x.whole_vectors() &&
         u.y.whole_vectors() && u.pitch % kWide == 0 &&
         aligned<kWide>(u.g, u.taps.depthwise, u.taps.pointwise);
}

}  // namespace oche::kernels::cuda
