// Groups of W neighbouring elements, each worked on by one thread: moved at once where alignment
// and the end of the data allow it, else one by one, with the same element on the same thread.
#pragma once

#include "kernels/cuda/device.cuh"

namespace oche::kernels::cuda {

// The group at p, of whose elements `left` (1 or more) exist; the others come as zeros.
template <int W, typename T>
__device__ Vec<T, W> load_group(const T* p, int64_t left) {
  if (left >= W && aligned<W>(p)) return Vec<T, W>::load(p);
  Vec<T, W> x;
#pragma unroll
  for (int j = 0; j < W; ++j) x[j] = j < left ? p[j] : T(0);
  return x;
}

template <int W, typename T>
__device__ void store_group(const Vec<T, W>& x, T* p, int64_t left) {
  if (left >= W && aligned<W>(p)) return x.store(p);
#pragma unroll
  for (int j = 0; j < W; ++j) {
    if (j < left) p[j] = x[j];
  }
}

}  // namespace oche::kernels::cuda
