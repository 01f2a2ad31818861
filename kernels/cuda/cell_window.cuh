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
__host__ __device__ inline int window_vectors(int rows, int columns, int vectors) {
  return rows * (columns | 1) * vectors;
}
// The rows of x that a tile reads, one above another, for taps that reach from `low` up to `high`
// from where their output lies.
__host__ __device__ inline int window_rows(
    const CellTiles& tiles, int H, int stride, int low, int high) {
  if (tiles.images > 1) return tiles.images * H;
  const int rows = (tiles.tall - 1) * stride + high - low;
  return rows < H ? rows : H;
}

// The outputs of a tile: `count` rows from `first` on, counted on from image to image.
struct TileRows {
  int first, count, columns, height;  // of an image

  __device__ TileRows(const CellTiles& tiles, int tile, int size)
      : first(tiles.row(tile)),
        count(size / tiles.columns),
        columns(tiles.columns),
        height(tiles.rows) {}
};

template <typename T>
struct CellWindow {
  Vec<T>* data;
  int begin, end;  // rows of the source, those inside the image
  int pitch;       // between rows
  int vectors;     // of a pixel

  // What taps from `low` up to `high` read for `rows`: of each image, where these are several, all.
  __device__ CellWindow(
      const CellExtents& e, const TileRows& rows, int stride, int low, int high, Vec<T>* memory)
      : data(memory) {
    const bool several = rows.count > rows.height;
    const int from = rows.first * stride + low, to = (rows.first + rows.count - 1) * stride + high;
    vectors = e.C / Vec<T>::kWidth;
    pitch = window_vectors(1, e.W, vectors);
    begin = from > 0 && !several ? from : 0;
    end = to < e.H && !several ? to : e.H;
  }
  // Row h of an image, of those of the tile.
  __device__ const Vec<T>* row(int image, int h) const {
    return data + (image * (end - begin) + h - begin) * pitch;
  }

  // `image`: the first.
  __device__ void fetch(const CellExtents& e,
                        const CellView<T>& x,
                        const TileThread& thread,
                        const TileRows& rows,
                        int image) const {
    if (thread.vector >= vectors) return;
    const int images = (rows.count + rows.height - 1) / rows.height;
    const int channel = thread.vector * Vec<T>::kWidth, pixels = images * (end - begin) * e.W;
    const Normalisation<T> normalised(x, channel, Vec<T>::kWidth, e.eps);
    x.visit([&](const auto* source) {
      const auto* const from =
          source + (static_cast<int64_t>(image) * e.H + begin) * e.W * x.pitch + channel;
#pragma unroll 4
      for (int i = thread.group; i < pixels; i += thread.groups) {
        const int row = i / e.W;
        const auto* const at = from + static_cast<int64_t>(i) * x.pitch;
        const Vec<T> v = normalised(load_stored<true>(at, Vec<T>::kWidth));
        data[row * pitch + (i - row * e.W) * vectors + thread.vector] = gated(v, v);
      }
    });
  }
};

// One strip of a tile: `width` of its outputs exist, of which the first is the tile's pixel
// `pixel`.
struct TileStrip {
  int image, row, column, width, pixel;
};
// visit(TileStrip) for the strips of a tile that the thread takes, all rows of some columns after
// one another.
template <typename Visit>
__device__ void for_strips(int first, int step, const TileRows& rows, const Visit& visit) {
  const int items = rows.count * ((rows.columns + kStrip - 1) / kStrip);
  for (int i = first; i < items; i += step) {
    const int strip = i / rows.count, column = strip * kStrip, rest = rows.columns - column;
    const int p = i - strip * rows.count, row = rows.first + p, image = row / rows.height;
    visit(TileStrip{image,
                    row - image * rows.height,
                    column,
                    rest < kStrip ? rest : kStrip,
                    p * rows.columns + column});
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
template <CellProducts kProducts, typename T>
__device__ __attribute__((noinline)) void convolve_again(const CellExtents& e,
                                                         const CellTaps<T>& taps,
                                                         const Vec<T>* window,
                                                         int begin,
                                                         int tile,
                                                         Vec<T>* z) {
  const TileThread thread(taps.vectors);
  const CellTiles tiles(e.N, e.H, e.W, taps.stride, taps.vectors);
  const TileRows rows(tiles, tile, tiles.size(tile));
  const int pixel = e.C / Vec<T>::kWidth, channel = thread.vector * Vec<T>::kWidth;
  for_strips(thread.group, thread.groups, rows, [&](const TileStrip& at) {
#pragma unroll 1
    for (int k = 0; k < at.width; ++k) {
      Vec<T> sum{};
#pragma unroll 1
      for (int tap = 0; tap < taps.kernel * taps.kernel; ++tap) {
        const int r = tap / taps.kernel, s = tap % taps.kernel;
        const int h = at.row * taps.stride + taps.offset + r * taps.dilation;
        const int w = (at.column + k) * taps.stride + taps.offset + s * taps.dilation;
        if (h < 0 || h >= e.H || w < 0 || w >= e.W) continue;
        const int from = (at.image * e.H + h - begin) * window_vectors(1, e.W, pixel);
        sum = fma(window[from + w * pixel + thread.vector],
                  Vec<T>::load(taps.depthwise + tap * e.C + channel),
                  sum);
      }
      z[(at.pixel + k) * tile_pitch(taps.vectors) + thread.vector] = rounded(kProducts, sum);
    }
  });
}

// z of a tile, whose rows are given as well: a factor of kProducts.
template <CellProducts kProducts, typename T>
__device__ void convolve(const CellExtents& e,
                         const CellWindow<T>& window,
                         const CellTaps<T>& taps,
                         const TileThread& thread,
                         const TileRows& rows,
                         int tile,
                         Vec<T>* z) {
  using V = Vec<T>;
  if (thread.vector >= window.vectors) {  // a tile has more channels
    for (int p = thread.group; p < rows.count * rows.columns; p += thread.groups) {
      z[p * tile_pitch(thread.vectors) + thread.vector] = V{};
    }
    return;
  }
  bool again = false;
  visit_taps(taps.kernel, taps.stride, taps.dilation, [&](auto fixed) {
    using Fixed = decltype(fixed);
    const T* const weights = taps.depthwise + thread.vector * V::kWidth;
    for_strips(thread.group, thread.groups, rows, [&](const TileStrip& at) {
      const int left = at.column * Fixed::kStride + taps.offset;
      V sums[kStrip] = {};
#pragma unroll 1
      for (int r = 0; r < Fixed::kTaps; ++r) {
        const int h = at.row * Fixed::kStride + taps.offset + r * Fixed::kDilation;
        if (h < 0 || h >= e.H) continue;
        V v[Fixed::kColumns];
        load_strip<Fixed>(v, window.row(at.image, h) + thread.vector, left, e.W, window.vectors);
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
      V* const to = z + at.pixel * tile_pitch(thread.vectors) + thread.vector;
#pragma unroll
      for (int k = 0; k < kStrip; ++k) {
        if (k < at.width) to[k * tile_pitch(thread.vectors)] = rounded(kProducts, sums[k]);
      }
      if (Fixed::kTaps > 1) again |= any_nan(sums);
    });
  });
  if (again) convolve_again<kProducts>(e, taps, window.data, window.begin, tile, z);
}

}  // namespace oche::kernels::cuda
