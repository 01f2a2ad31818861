// What kernels over NHWC images share. A thread works on a few neighbouring channels, 16 bytes of
// them: one load where every address is aligned, else element by element up to the last channel.
// The order of sums is the same either way.
//
// Extents of an image and of a kernel fit 32 bits; what counts elements has 64.
#pragma once

#include "kernels/cuda/device.cuh"

namespace oche::kernels::cuda {

// Neighbouring outputs of a row that a thread computes together.
inline constexpr int kStrip = 4;

// A number that the compiler takes for another one each time, so that it computes what follows from
// it where it is used instead of keeping that in registers through a loop.
__device__ inline int fresh(int i) {
  asm volatile("" : "+r"(i));
  return i;
}

// a / b, both at least 0: a division of 64 bits costs four times as much as one of 32.
__device__ inline int64_t divide(int64_t a, int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
  return a / b;
}

// The coordinate of item i along its innermost axis, of `extent`; leaves those along the others.
__device__ inline int64_t take(int64_t& i, int64_t extent) {
  const int64_t rest = divide(i, extent), at = i - rest * extent;
  i = rest;
  return at;
}

// Goes through items in steps, of which each is a (n, row, column), column innermost.
struct Walk {
  int64_t n, step_n;
  int row, column, step_row, step_column, rows, columns;

  __device__ Walk(int64_t first, int64_t step, int rows_of_image, int columns_of_row)
      : rows(rows_of_image), columns(columns_of_row) {
    column = static_cast<int>(take(first, columns));
    row = static_cast<int>(take(first, rows));
    n = first;
    step_column = static_cast<int>(take(step, columns));
    step_row = static_cast<int>(take(step, rows));
    step_n = step;
  }
  __device__ void advance() {
    column += step_column;
    row += step_row;
    n += step_n;
    if (column >= columns) {
      column -= columns;
      ++row;
    }
    if (row >= rows) {
      row -= rows;
      ++n;
    }
  }
};

// The W channels at p of which `count` exist; the others are 0. kVector: all do, and p is aligned.
template <bool kVector, int W, typename T>
__device__ Vec<T, W> load_channels(const T* p, int64_t count) {
  if constexpr (kVector) {
    return Vec<T, W>::load(p);
  } else {
    Vec<T, W> v{};
#pragma unroll
    for (int j = 0; j < W; ++j) {
      if (j < count) v[j] = p[j];
    }
    return v;
  }
}

template <bool kVector, int W, typename T>
__device__ void store_channels(const Vec<T, W>& v, T* p, int64_t count) {
  if constexpr (kVector) {
    v.store(p);
  } else {
#pragma unroll
    for (int j = 0; j < W; ++j) {
      if (j < count) p[j] = v[j];
    }
  }
}

template <typename T, int W>
__device__ Vec<T, W> gated(Vec<T, W> x, const Vec<T, W>& gate) {
#pragma unroll
  for (int j = 0; j < W; ++j) x[j] = gate[j] <= 0 ? T(0) : x[j];
  return x;
}

template <typename T, int W>
__device__ Vec<T, W> fma(const Vec<T, W>& a, const Vec<T, W>& b, Vec<T, W> c) {
#pragma unroll
  for (int j = 0; j < W; ++j) c[j] = ::fma(a[j], b[j], c[j]);
  return c;
}

// n vectors that neighbouring columns of an image hold, `step` elements apart, gated; 0 where
// inside(u) does not hold. All loads are on their way before the first is used.
template <bool kVector, int n, int W, typename T, typename Inside>
__device__ void load_columns(Vec<T, W> (&v)[n],
                             const T* x,
                             const T* gate,
                             int64_t step,
                             int64_t count,
                             const Inside& inside) {
#pragma unroll
  for (int u = 0; u < n; ++u) {
    v[u] = inside(u) ? load_channels<kVector, W>(x + u * step, count) : Vec<T, W>{};
  }
  if (gate == nullptr) return;
  if (gate == x) {
#pragma unroll
    for (int u = 0; u < n; ++u) v[u] = gated(v[u], v[u]);
    return;
  }
  Vec<T, W> g[n];
#pragma unroll
  for (int u = 0; u < n; ++u) {
    g[u] = inside(u) ? load_channels<kVector, W>(gate + u * step, count) : Vec<T, W>{};
  }
#pragma unroll
  for (int u = 0; u < n; ++u) v[u] = gated(v[u], g[u]);
}

// How a block shares out a sum over pixels: `channels` threads next to one another, and under each
// of them `pixels` of them that add up different pixels. Both are powers of two.
struct Lanes {
  int channels, pixels;
};
inline Lanes lanes_for(int64_t vectors, int block) {
  int channels = 1;
  while (channels < vectors && channels < kWarpSize / 2) channels *= 2;
  return {channels, block / channels};
}

// Adds up sums[s] over the pixel lanes by halves, in `shared` of n times the block's size; the
// result is valid in the threads of pixel lane 0. Every thread of the block takes part.
template <int n, int kBlock, typename V>
__device__ void merge_pixel_lanes(const Lanes& lanes, V (&sums)[n], V (&shared)[n][kBlock]) {
  const int t = static_cast<int>(threadIdx.x), lane = t / lanes.channels;
#pragma unroll
  for (int s = 0; s < n; ++s) shared[s][t] = sums[s];
  for (int half = lanes.pixels / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane >= half) continue;
#pragma unroll
    for (int s = 0; s < n; ++s) {
      const V other = shared[s][t + half * lanes.channels];
#pragma unroll
      for (int j = 0; j < V::kWidth; ++j) sums[s][j] += other[j];
      shared[s][t] = sums[s];
    }
  }
  __syncthreads();  // before the next call writes
}

// visit(true or false as a type).
template <typename Visit>
void with_bool(bool value, const Visit& visit) {
  if (value) return visit(std::true_type{});
  visit(std::false_type{});
}

}  // namespace oche::kernels::cuda
