// Sums of columns over a grid in one launch: each block writes what it has of them as doubles, and
// the last block that does so adds them up, in an order that the shape alone fixes.
//
// A block of kBlockSize threads holds `columns` vectors side by side, a power of two up to a warp;
// thread t has a part of vector t % columns.
#pragma once

#include "kernels/cuda/device.cuh"

namespace oche::kernels::cuda {

// visit(s, c, total) on some thread for each of the n sums and each element c of the columns *
// kWidth side by side: sums[s] of the threads that share a vector, in T within a warp and in double
// beyond. Every thread of the block takes part.
template <int n, typename V, typename Visit>
__device__ void merge_columns(int columns, V (&sums)[n], const Visit& visit) {
  constexpr int kWidth = V::kWidth, kWarps = kBlockSize / kWarpSize, kMost = kWarpSize / 2;
  using T = std::remove_reference_t<decltype(sums[0][0])>;
  using Line = V[kMost];
  CU_SHARED(Line, partial, n * kWarps);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarpSize;
  for (int bits = kWarpSize / 2; bits >= columns; bits /= 2) {
#pragma unroll
    for (int s = 0; s < n; ++s) {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        sums[s][j] += __shfl_xor_sync(kAllLanes, sums[s][j], bits);
      }
    }
  }
  __syncthreads();  // what an earlier call left there has been read
  if (thread % kWarpSize < columns) {
#pragma unroll
    for (int s = 0; s < n; ++s) partial[s * kWarps + warp][thread % kWarpSize] = sums[s];
  }
  __syncthreads();
  const int side = columns * kWidth;
  for (int i = thread; i < n * side; i += kBlockSize) {
    const int s = i / side, c = i - s * side;
    double total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const T* const line = &partial[s * kWarps + w][0][0];
      total += line[c];
    }
    visit(s, c, total);
  }
}

// True in all threads of the last of `blocks` blocks to call with this ticket, one of the context's
// (CudaContext::tickets()), which is 0 again then. That block sees what the others wrote before.
// Every thread of the block takes part.
__device__ inline bool last_block(unsigned* ticket, unsigned blocks) {
  CU_SHARED(bool, last, 1);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last[0] = atomicAdd(ticket, 1u) + 1 == blocks;
    if (last[0]) atomicExch(ticket, 0u);
  }
  __syncthreads();
  if (!last[0]) return false;
  __threadfence();
  return true;
}

// n sums over `tiles` tiles for each of `columns` columns: add(tile, column, sums) for each, then
// write(column, sums). Every thread of the block takes part.
template <int n, typename Add, typename Write>
__device__ void merge_tiles(int64_t tiles, int64_t columns, const Add& add, const Write& write) {
  using Sums = double[n];
  CU_SHARED(Sums, partial, kBlockSize);
  const int thread = static_cast<int>(threadIdx.x);
  int width = 8;  // threads side by side, a column each
  while (width < columns && width < kBlockSize) width *= 2;
  const int lane = thread / width, lanes = kBlockSize / width;
  for (int64_t first = 0; first < columns; first += width) {
    const int64_t column = first + thread % width;
    double sums[n] = {};
    if (column < columns) {
#pragma unroll 4
      for (int64_t tile = lane; tile < tiles; tile += lanes) add(tile, column, sums);
    }
    __syncthreads();  // the columns before have been read
#pragma unroll
    for (int s = 0; s < n; ++s) partial[thread][s] = sums[s];
    __syncthreads();
    if (lane != 0 || column >= columns) continue;
    for (int other = 1; other < lanes; ++other) {
#pragma unroll
      for (int s = 0; s < n; ++s) sums[s] += partial[other * width + thread][s];
    }
    write(column, sums);
  }
}

}  // namespace oche::kernels::cuda
