// The rows of a source that a tile of outputs reads, as relu(normalised(x)) in shared memory, and
// the usual depthwise convolutions of it. Whole vectors only, and all channels in one tile.
//
// What lies beside a row is read as 0 and multiplied like anything else. As in
// conv2d_depthwise.cuh, a thread that has made a NaN goes over its pixels again, with the taps that
// exist.
#pragma once

#include "kernels/cuda/cell_product.cuh"
#include "kernels/cuda/taps.cuh"

namespace oche::kernels::cuda {

// True iff visit_taps() knows the convolution.
template <typename T>
bool usual_taps(const CellTaps<T>& t) {
  const bool small = t.stride >= 1 && t.stride <= 2 && t.dilation >= 1 && t.dilation <= 2;
  return small && (t.depthwise ? t.kernel == 3 || t.kernel == 5 : t.kernel == 1);
}
// visit(Taps).
template <typename Visit>
__device__ void visit_taps(int kernel, int stride, int dilation, const Visit& visit) {
  switch (4 * kernel + 2 * stride + dilation) {
    case 12 + 3:
      return visit(Taps<3, 1, 1>{});
    case 12 + 4:
      return visit(Taps<3, 1, 2>{});
    case 12 + 5:
      return visit(Taps<3, 2, 1>{});
    case 12 + 6:
      return visit(Taps<3, 2, 2>{});
    case 20 + 3:
      return visit(Taps<5, 1, 1>{});
    case 20 + 4:
      return visit(Taps<5, 1, 2>{});
    case 20 + 5:
      return visit(Taps<5, 2, 1>{});
    case 20 + 6:
      return visit(Taps<5, 2, 2>{});
    default:
      return stride == 1 ? visit(Taps<1, 1, 1>{}) : visit(Taps<1, 2, 1>{});
  }
}

// A row is a pixel longer than the image where that has an even number of columns, so that the same
// column of neighbouring rows lies in different banks.
inline int window_bytes(int rows, int columns, int vectors) {
  return rows * (columns | 1) * vectors * 16;
}
template <typename T>
struct CellWindow {
  Vec<T>* data;
  int begin, end;  // rows of the source, those inside the image
  int pitch;       // between rows
  int vectors;     // of a pixel

  // The rows [from, to) as far as they exist.
  __device__ CellWindow(const CellExtents& e, int from, int to, Vec<T>* memory) : data(memory) {
    vectors = e.C / Vec<T>::kWidth;
    pitch = (e.W | 1) * vectors;
    begin = from > 0 ? from : 0;
    end = to < e.H ? to : e.H;
  }
  __device__ const Vec<T>* row(int h) const { return data + (h - begin) * pitch; }

  __device__ void fetch(const CellExtents& e,
                        const CellView<T>& x,
                        const TileThread& thread,
                        int64_t n) const {
    if (thread.vector >= vectors) return;
    const int channel = thread.vector * Vec<T>::kWidth, pixels = (end - begin) * e.W;
    const Normalisation<T> normalised(x, channel, Vec<T>::kWidth, e.eps);
    const T* const from = x.data + (n * e.H + begin) * e.W * x.pitch + channel;
#pragma unroll 4
    for (int i = thread.group; i < pixels; i += thread.groups) {
      const int row = i / e.W;
      const Vec<T> v = normalised(Vec<T>::load(from + static_cast<int64_t>(i) * x.pitch));
      data[row * pitch + (i - row * e.W) * vectors + thread.vector] = gated(v, v);
    }
  }
};

// visit(row, column, width) for the strips of a tile of `rows` x `columns` outputs that the thread
// takes, the rows of a column after one another: `width` of a strip's outputs exist.
template <typename Visit>
__device__ void for_strips(int first, int step, int rows, int columns, const Visit& visit) {
  const int items = rows * ((columns + kStrip - 1) / kStrip);
  for (int i = first; i < items; i += step) {
    const int strip = i / rows, column = strip * kStrip, rest = columns - column;
    visit(i - strip * rows, column, rest < kStrip ? rest : kStrip);
  }
}

// The columns of a source row that a strip reads, the first of them `left`; `row` is its pixel 0.
template <typename Fixed, typename V>
__device__ void load_strip(
    V (&v)[Fixed::kColumns], const V* row, int left, int extent, int step_of_pixel) {
#pragma unroll
  for (int u = 0; u < Fixed::kColumns; ++u) {
    const int column = left + u * Fixed::kStep;
    v[u] = column >= 0 && column < extent ? row[column * step_of_pixel] : V{};
  }
}

// z of the thread's strips of a tile, for taps of more than a pixel. What it needs, it computes
// anew: its arguments are all that a caller keeps for it.
template <typename T>
__device__ __attribute__((noinline)) void convolve_again(const CellExtents& e,
                                                         const CellTaps<T>& taps,
                                                         const Vec<T>* window,
                                                         int window_row,
                                                         int vectors,
                                                         int first_row,
                                                         int rows,
                                                         int columns,
                                                         Vec<T>* z) {
  const TileThread thread(vectors);
  const int pixel = e.C / Vec<T>::kWidth, channel = thread.vector * Vec<T>::kWidth;
  for_strips(thread.group, thread.groups, rows, columns, [&](int p, int q, int width) {
#pragma unroll 1
    for (int k = 0; k < width; ++k) {
      Vec<T> sum{};
#pragma unroll 1
      for (int tap = 0; tap < taps.kernel * taps.kernel; ++tap) {
        const int r = tap / taps.kernel, s = tap % taps.kernel;
        const int h = (first_row + p) * taps.stride + taps.offset + r * taps.dilation;
        const int w = (q + k) * taps.stride + taps.offset + s * taps.dilation;
        if (h < 0 || h >= e.H || w < 0 || w >= e.W) continue;
        sum = fma(window[((h - window_row) * (e.W | 1) + w) * pixel + thread.vector],
                  Vec<T>::load(taps.depthwise + tap * e.C + channel),
                  sum);
      }
      z[(p * columns + q + k) * tile_pitch(vectors) + thread.vector] = sum;
    }
  });
}

// z of the tile whose first row is `first_row` of the output.
template <typename T>
__device__ void convolve(const CellExtents& e,
                         const CellWindow<T>& window,
                         const CellTaps<T>& taps,
                         const TileThread& thread,
                         int first_row,
                         int rows,
                         int columns,
                         Vec<T>* z) {
  using V = Vec<T>;
  if (thread.vector >= window.vectors) {  // a tile has more channels
    for (int p = thread.group; p < rows * columns; p += thread.groups) {
      z[p * tile_pitch(thread.vectors) + thread.vector] = V{};
    }
    return;
  }
  bool again = false;
  visit_taps(taps.kernel, taps.stride, taps.dilation, [&](auto fixed) {
    using Fixed = decltype(fixed);
    const T* const weights = taps.depthwise + thread.vector * V::kWidth;
    for_strips(thread.group, thread.groups, rows, columns, [&](int p, int q, int width) {
      const int left = q * Fixed::kStride + taps.offset;
      V sums[kStrip] = {};
#pragma unroll 1
      for (int r = 0; r < Fixed::kTaps; ++r) {
        const int h = (first_row + p) * Fixed::kStride + taps.offset + r * Fixed::kDilation;
        if (h < 0 || h >= e.H) continue;
        V v[Fixed::kColumns];
        load_strip<Fixed>(v, window.row(h) + thread.vector, left, e.W, window.vectors);
        if constexpr (Fixed::kTaps == 1) {
#pragma unroll
          for (int k = 0; k < kStrip; ++k) sums[k] = v[Fixed::column(k, 0)];
        } else {
#pragma unroll
          for (int s = 0; s < Fixed::kTaps; ++s) {
            const V tap = V::load(weights + (r * Fixed::kTaps + s) * e.C);
#pragma unroll
            for (int k = 0; k < kStrip; ++k) sums[k] = fma(v[Fixed::column(k, s)], tap, sums[k]);
          }
        }
      }
      V* const to = z + (p * columns + q) * tile_pitch(thread.vectors) + thread.vector;
#pragma unroll
      for (int k = 0; k < kStrip; ++k) {
        if (k < width) to[k * tile_pitch(thread.vectors)] = sums[k];
      }
      if (Fixed::kTaps > 1) again |= any_nan(sums);
    });
  });
  if (!again) return;
  convolve_again(e, taps, window.data, window.begin, thread.vectors, first_row, rows, columns, z);
}

}  // namespace oche::kernels::cuda
