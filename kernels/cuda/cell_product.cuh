// The matrix products of a fused cell: tiles in shared memory, sums in registers. What the kernels
// know of them is in the three functions below, so that other instructions can take their place.
#pragma once

#include "kernels/cuda/mixed_cell.cuh"

namespace oche::kernels::cuda {

// Rows of a tile of pixels in shared memory: a vector longer than the channels, so that
// neighbouring pixels lie in different banks.
__device__ inline int tile_pitch(int vectors) {
  return vectors + 1;
}
inline int tile_bytes(int vectors) {
  return tile_pixels(vectors) * (vectors + 1) * 16;
}

// sum[i] += row pixel(i) of a (pixels, depth) times the thread's columns of b (depth, vectors).
// `depth` is a multiple of the width of a vector.
template <typename T>
__device__ void add_product(const TileThread& thread,
                            const Vec<T>* a,
                            const Vec<T>* b,
                            int depth,
                            Vec<T> (&sum)[kPixelsOfThread]) {
  constexpr int kWide = Vec<T>::kWidth;
  const int pitch = tile_pitch(thread.vectors);
  const Vec<T>* row = a + thread.group * pitch;
  const Vec<T>* column = b + thread.vector;
  for (int k = 0; k < depth; k += kWide) {
    Vec<T> weight[kWide];
#pragma unroll
    for (int d = 0; d < kWide; ++d) weight[d] = column[(k + d) * thread.vectors];
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const Vec<T> value = row[i * thread.groups * pitch + k / kWide];
#pragma unroll
      for (int d = 0; d < kWide; ++d) {
#pragma unroll
        for (int j = 0; j < kWide; ++j) sum[i][j] = ::fma(value[d], weight[d][j], sum[i][j]);
      }
    }
  }
}

// The product of two tiles along their pixels: a square of kWidth x kWidth for each pair of their
// vectors. Where there are fewer pairs than threads, several of them share out the pixels.
struct OuterThread {
  int row, column, slice, slices;  // vectors of a and of b
  __device__ explicit OuterThread(int vectors) {
    const int pairs = vectors * vectors, t = static_cast<int>(threadIdx.x);
    row = t % pairs / vectors;
    column = t % vectors;
    slice = t / pairs;
    slices = kBlockSize / pairs;
  }
};
// sum[d] += element d of the thread's vector of a times its vector of b, over its share of
// `pixels`.
template <typename T>
__device__ void add_outer_product(const TileThread& thread,
                                  const OuterThread& outer,
                                  const Vec<T>* a,
                                  const Vec<T>* b,
                                  int pixels,
                                  Vec<T> (&sum)[Vec<T>::kWidth]) {
  constexpr int kWide = Vec<T>::kWidth;
  const int pitch = tile_pitch(thread.vectors);
#pragma unroll 4
  for (int p = outer.slice; p < pixels; p += outer.slices) {
    const Vec<T> left = a[p * pitch + outer.row], right = b[p * pitch + outer.column];
#pragma unroll
    for (int d = 0; d < kWide; ++d) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) sum[d][j] = ::fma(left[d], right[j], sum[d][j]);
    }
  }
}
// visit(row, column vector, total) for each element of a row and vector of columns: the slices'
// sums in order, through `shared` of kBlockSize * kWidth vectors. Every thread takes part.
template <typename T, typename Visit>
__device__ void merge_outer_product(const TileThread& thread,
                                    const Vec<T> (&sum)[Vec<T>::kWidth],
                                    Vec<T>* shared,
                                    const Visit& visit) {
  constexpr int kWide = Vec<T>::kWidth;
  const int pairs = thread.vectors * thread.vectors, slices = kBlockSize / pairs;
  __syncthreads();
#pragma unroll
  for (int d = 0; d < kWide; ++d) shared[threadIdx.x * kWide + d] = sum[d];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < pairs * kWide; i += kBlockSize) {
    Vec<T> total = shared[i];
    for (int slice = 1; slice < slices; ++slice) {
      const Vec<T> other = shared[slice * pairs * kWide + i];
#pragma unroll
      for (int j = 0; j < kWide; ++j) total[j] += other[j];
    }
    const int pair = i / kWide;
    visit(pair / thread.vectors * kWide + i % kWide, pair % thread.vectors, total);
  }
}

}  // namespace oche::kernels::cuda
