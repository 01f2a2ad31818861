// Strips of a source's pixels: a thread has one vector of kStrip neighbouring columns of a row.
// What a strip needs of what lies around it is loaded once for all of its pixels.
#pragma once

#include "kernels/cuda/mixed_cell.cuh"
#include "kernels/cuda/taps.cuh"

namespace oche::kernels::cuda {

// Strips are counted through all rows of all images; a block has kBlockSize / vectors of them.
inline int64_t strip_blocks(const CellShape& s, int vectors) {
  return ceil_div(s.N * s.H * ceil_div(s.W, kStrip), kBlockSize / vectors);
}
struct CellStrip {
  int64_t n, pixel;        // image, and the first pixel through all images
  int row, column, width;  // pixels that exist, of none 0

  __device__ CellStrip(const CellExtents& e, int64_t number) {
    const int64_t strips = (e.W + kStrip - 1) / kStrip;
    int64_t i = number;
    column = static_cast<int>(take(i, strips)) * kStrip;
    row = static_cast<int>(take(i, e.H));
    n = i;
    pixel = (n * e.H + row) * e.W + column;
    width = n >= e.N ? 0 : e.W - column < kStrip ? e.W - column : kStrip;
  }
};

// The pixels of a strip at `from`, `pitch` apart; 0 where there is none.
template <bool kVector, typename T, typename Stored>
__device__ void load_pixels(
    Vec<T> (&v)[kStrip], const Stored* from, int pitch, int width, int count) {
#pragma unroll
  for (int k = 0; k < kStrip; ++k) {
    v[k] = k < width ? load_stored<kVector>(from + k * pitch, count) : Vec<T>{};
  }
}

// Goes through the outputs that a strip led to with taps Fixed, for each row of taps:
//   load(u, p, q)    output (p, q) into place u
//   skip(u)          no output there
//   tap(r, s)        those of the tap follow:
//   add(k, r, s, u)  pixel k of the strip led to the output at u through tap (r, s)
// kOdd: -offset is odd, which decides what a stride of 2 leaves out. `rows` x `columns` outputs.
template <typename Fixed>
constexpr int kGathered =
    ((Fixed::kTaps - 1) * Fixed::kDilation + Fixed::kStride - 1) / Fixed::kStride
    + kStrip / Fixed::kStride + Fixed::kStride - 1;
template <typename Fixed, bool kOdd, typename Load, typename Skip, typename Tap, typename Add>
__device__ void gather_strip(const CellStrip& at,
                             int offset,
                             int rows,
                             int columns,
                             const Load& load,
                             const Skip& skip,
                             const Tap& tap,
                             const Add& add) {
  constexpr int kStride = Fixed::kStride, kOff = kOdd ? kStride - 1 : 0;
  constexpr int kReach = ((Fixed::kTaps - 1) * Fixed::kDilation + kStride - 1) / kStride;
  const int row = fresh(at.row), left = (fresh(at.column) - offset - kOff) / kStride -
                                        kReach;  // exact, as columns go by 4
#pragma unroll 1
  for (int r = 0; r < Fixed::kTaps; ++r) {
    const int from = row - offset - r * Fixed::kDilation, p = from / kStride;
    if (from < 0 || from % kStride != 0 || p >= rows) continue;
#pragma unroll
    for (int u = 0; u < kGathered<Fixed>; ++u) {
      const int q = left + u;
      if (q >= 0 && q < columns) {
        load(u, p, q);
      } else {
        skip(u);
      }
    }
#pragma unroll
    for (int s = 0; s < Fixed::kTaps; ++s) {
      tap(r, s);
#pragma unroll
      for (int k = 0; k < kStrip; ++k) {
        const int distance = kOff + k - s * Fixed::kDilation;
        if (distance % kStride == 0) add(k, r, s, kReach + distance / kStride);
      }
    }
  }
}

// Of two values the greater, where a NaN is, or their sum.
template <CellPool kPool, typename T>
__device__ T pool_pair(T a, T b) {
  if constexpr (kPool == CellPool::kAverage) return a + b;
  return b <= a || a != a ? a : b;
}

// The values of a pool of stride 1 at the pixels of a strip, as far as these exist.
template <bool kVector, CellPool kPool, typename T>
__device__ void pool_strip(const CellExtents& e,
                           const T* x,
                           int pitch,
                           const CellStrip& at,
                           int channel,
                           int count,
                           Vec<T> (&value)[kStrip]) {
  constexpr int kWide = Vec<T>::kWidth;
  const PoolReach rows(fresh(at.row), e.H);
  const int column = fresh(at.column);
  const T* from = x + (at.pixel + (rows.begin - at.row) * e.W) * int64_t{pitch} + channel;
#pragma unroll 1
  for (int h = rows.begin; h < rows.end; ++h, from += e.W * pitch) {
    // Beside a row lies nothing: 0 for a sum, and for a maximum its neighbour once more.
    Vec<T> v[kStrip + 2];
#pragma unroll
    for (int u = 0; u < kStrip + 2; ++u) {
      const int w = column + u - 1;
      const bool inside = w >= 0 && w < e.W;
      v[u] = inside ? load_channels<kVector, kWide>(from + (u - 1) * pitch, count) : Vec<T>{};
    }
    if constexpr (kPool == CellPool::kMax) {
      if (column == 0) v[0] = v[1];
#pragma unroll
      for (int u = 2; u < kStrip + 2; ++u) {
        if (column + u - 1 >= e.W) v[u] = v[u - 1];
      }
    }
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        const T pair = pool_pair<kPool>(v[k][j], v[k + 1][j]);
        const T of_row = pool_pair<kPool>(pair, v[k + 2][j]);
        value[k][j] = h == rows.begin ? of_row : pool_pair<kPool>(value[k][j], of_row);
      }
    }
  }
  if constexpr (kPool == CellPool::kAverage) {
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      const T size = static_cast<T>(rows.size() * PoolReach(column + k, e.W).size());
#pragma unroll
      for (int j = 0; j < kWide; ++j) value[k][j] /= size;
    }
  }
}

}  // namespace oche::kernels::cuda
