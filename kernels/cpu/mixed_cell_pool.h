// 3x3 pools of the fused cell, a vector of channels at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/simd.h"
#include "kernels/mixed_cell.h"

namespace oche::kernels {

// Of two maxima the first unless the second is larger or a NaN; or the sum. (Two selections, each
// by one comparison: of comparisons joined together compilers make poor code.)
template <CellPool kPool, typename V>
V pool_join(V a, V b) {
  if constexpr (kPool == CellPool::kAverage) return a + b;
  const V larger{b.v > a.v ? b.v : a.v};
  return {b.v != b.v ? b.v : larger.v};
}

// target(q, v) receives pixel q of row p of the pool of an image, `x` at the first channel of the
// vector.
template <CellPool kPool, typename V, typename T, typename Target>
void pool_row(const CellShape& s,
              int64_t stride,
              const T* x,
              int64_t pitch,
              int64_t p,
              const Target& target) {
  const int64_t first = std::max<int64_t>(0, p * stride - 1);
  const int64_t rows = std::min(s.H, p * stride + 2) - first;
  const T* top = x + first * s.W * pitch;
  const auto column = [&](int64_t w) {
    V v = V::load(top + w * pitch);
    for (int64_t r = 1; r < rows; ++r)
      v = pool_join<kPool>(v, V::load(top + (r * s.W + w) * pitch));
    return v;
  };
  const auto give = [&](int64_t q, V v, int64_t columns) {
    if constexpr (kPool == CellPool::kAverage) v.v *= 1 / static_cast<T>(rows * columns);
    target(q, v);
  };
  const int64_t outputs = ceil_div(s.W, stride);
  if (stride == 1 && s.W > 1) {  // every column is looked at once
    V left = column(0), middle = column(1);
    give(0, pool_join<kPool>(left, middle), 2);
    for (int64_t q = 1; q + 1 < s.W; ++q) {
      const V right = column(q + 1);
      give(q, pool_join<kPool>(pool_join<kPool>(left, middle), right), 3);
      left = middle;
      middle = right;
    }
    give(s.W - 1, pool_join<kPool>(left, middle), 2);
    return;
  }
  for (int64_t q = 0; q < outputs; ++q) {
    const int64_t begin = std::max<int64_t>(0, q * stride - 1), end = std::min(s.W, q * stride + 2);
    V v = column(begin);
    for (int64_t w = begin + 1; w < end; ++w) v = pool_join<kPool>(v, column(w));
    give(q, v, end - begin);
  }
}

// The same for a pool that is known only when the program runs.
template <typename V, typename T, typename Target>
void pool_row(CellPool pool,
              const CellShape& s,
              int64_t stride,
              const T* x,
              int64_t pitch,
              int64_t p,
              const Target& target) {
  if (pool == CellPool::kMax) {
    pool_row<CellPool::kMax, V>(s, stride, x, pitch, p, target);
  } else {
    pool_row<CellPool::kAverage, V>(s, stride, x, pitch, p, target);
  }
}

}  // namespace oche::kernels
