// Products of the fused cell: few rows at a time, of matrices that lie in the cache.
#pragma once

#include "kernels/cpu/gemm_tile.h"

namespace oche::kernels {

// store(i, j, v) receives the elements of a (M, K) times b (K, N), rows ldb apart. Tiles of eight
// or four rows divide the pixels of an image's row evenly.
template <typename T, typename Store>
void cell_product(
    int64_t M, int64_t N, int64_t K, StridedMatrix<T> a, const T* b, int64_t ldb, Store store) {
  using V = WideVec<T>;
  constexpr int kRows = kVectorBytes == 64 ? 8 : 4;  // two vectors each, of 32 or 16 registers
  int64_t j = 0;
  for (; j + 2 * V::kLanes <= N; j += 2 * V::kLanes) {
    gemm_rows<V, kRows, 2>(0, M, K, a, b + j, ldb, j, store);
  }
  for_channels<T>(j, N, [&](auto tag, int64_t c) {
    gemm_rows<typename decltype(tag)::type, 8, 1>(0, M, K, a, b + c, ldb, c, store);
  });
}

}  // namespace oche::kernels
