// The register tile under matrix products and convolutions: rows x vectors of accumulators.
#pragma once

#include <cstdint>

#include "kernels/cpu/simd.h"

namespace oche::kernels {

// A matrix read through strides: element (i, k) is data[i * row + k * column].
template <typename T>
struct StridedMatrix {
  const T* data;
  int64_t row, column;
};

// store(i + r, j + p * lanes, v) hands out kR rows of kP vectors of a * b; `b` points at its column
// j. `store` is passed by value, here and below, so that its pointers stay in registers across
// stores.
template <typename V, int kR, int kP, typename T, typename Store>
void gemm_tile(
    int64_t K, StridedMatrix<T> a, const T* b, int64_t ldb, int64_t i, int64_t j, Store store) {
  V acc[kR][kP] = {};
  const T* ap = a.data + i * a.row;
  for (int64_t k = 0; k < K; ++k, ap += a.column, b += ldb) {
    V bv[kP];
#pragma GCC unroll 8
    for (int p = 0; p < kP; ++p) bv[p] = V::load(b + p * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r) {
      const V av = V::broadcast(ap[r * a.row]);
#pragma GCC unroll 8
      for (int p = 0; p < kP; ++p) acc[r][p] = fma(av, bv[p], acc[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kR; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kP; ++p) store(i + r, j + p * V::kLanes, acc[r][p]);
  }
}

// The rows [i, M) of one column of tiles: kR at a time, and what is left by halves of kR.
template <typename V, int kR, int kP, typename T, typename Store>
void gemm_rows(int64_t i,
               int64_t M,
               int64_t K,
               StridedMatrix<T> a,
               const T* b,
               int64_t ldb,
               int64_t j,
               Store store) {
  for (; i + kR <= M; i += kR) gemm_tile<V, kR, kP>(K, a, b, ldb, i, j, store);
  if constexpr (kR > 1) {
    if (i < M) gemm_rows<V, kR / 2, kP>(i, M, K, a, b, ldb, j, store);
  }
}

// The product of a (M, K) and b (K, N), whose rows are contiguous and ldb apart. Every element is
// handed out once, in vectors along a row: store(i, j, v) receives the elements (i, j + lane). Six
// rows of two vectors fill the 16 registers of AVX2 and hide the latency of its multiply-add.
template <typename T, typename Store>
void gemm_block(
    int64_t M, int64_t N, int64_t K, StridedMatrix<T> a, const T* b, int64_t ldb, Store store) {
  using V = WideVec<T>;
  int64_t j = 0;
  for (; j + 2 * V::kLanes <= N; j += 2 * V::kLanes) {
    gemm_rows<V, 6, 2>(0, M, K, a, b + j, ldb, j, store);
  }
  for_channels<T>(j, N, [&](auto tag, int64_t c) {
    gemm_rows<typename decltype(tag)::type, 8, 1>(0, M, K, a, b + c, ldb, c, store);
  });
}

// The usual `store`: rows of c, ldc apart, that are overwritten or added to, and 0 where a gate of
// the same layout is <= 0.
template <typename T>
struct StoreRows {
  T* c;
  int64_t ldc;
  bool add = false;
  const T* gate = nullptr;

  template <typename V>
  void operator()(int64_t i, int64_t j, V v) const {
    const int64_t at = i * ldc + j;
    if (add) v = v + V::load(c + at);
    if (gate) v = gated(v, V::load(gate + at));
    v.store(c + at);
  }
};

// to[k * to_row + j] = from[j * from_row + k], k < K, j < N: a transposed operand made fit for
// gemm_block.
template <typename T>
void transpose_block(int64_t K, int64_t N, const T* from, int64_t from_row, T* to, int64_t to_row) {
  for (int64_t j = 0; j < N; ++j) {
    for (int64_t k = 0; k < K; ++k) to[k * to_row + j] = from[j * from_row + k];
  }
}

}  // namespace oche::kernels
