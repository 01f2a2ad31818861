// Square kernels of a depthwise convolution that are known at compile time.
#pragma once

#include <numeric>

#include "kernels/cuda/channels.cuh"

namespace oche::kernels::cuda {

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

template <int n, typename V>
__device__ bool any_nan(const V (&v)[n]) {
  bool nan = false;
#pragma unroll
  for (int i = 0; i < n; ++i) {
#pragma unroll
    for (int j = 0; j < V::kWidth; ++j) nan |= v[i][j] != v[i][j];
  }
  return nan;
}

}  // namespace oche::kernels::cuda
