// How the fused cell lays out an image to work on: in planes, one for each vector of channels, with
// a margin of zeros, so that taps outside the image need no test within a row. Columns are dealt
// out by their residue modulo the stride: what neighbouring outputs read through one tap lies side
// by side.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_gather.h"
#include "kernels/cpu/conv2d_taps.h"
#include "kernels/cpu/narrow.h"

namespace oche::kernels {

// Hands out arrays from a workspace; without one, it only counts.
class Carver {
 public:
  static constexpr int64_t kAlignment = 64;

  explicit Carver(std::byte* base) : base_(base) {}
  template <typename U>
  U* take(int64_t count) {
    const int64_t at = bytes_;
    bytes_ = ceil_div(at + count * static_cast<int64_t>(sizeof(U)), kAlignment) * kAlignment;
    return base_ ? reinterpret_cast<U*>(base_ + at) : nullptr;
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  int64_t bytes_ = 0;
};

// Places are counted in vectors from the beginning of a plane.
struct PlaneLayout {
  int64_t top = 0, left = 0;  // the place of pixel (0, 0), in rows and columns
  int64_t rows = 0, pitch = 0, scale = 1;

  // Grows the margins so that the positions of `row_axis` and `column_axis` can be read, kOutputs
  // at a time along a row.
  void reach(const GatherAxis& row_axis, const GatherAxis& column_axis) {
    if (row_axis.taps == 0 || column_axis.taps == 0) return;
    scale = column_axis.scale;
    top = std::max(top, -row_axis.offset);
    left = std::max(left, -column_axis.offset);
    const auto last = [](const GatherAxis& a, int64_t positions) {
      return std::max(a.extent, (positions - 1) * a.scale + a.offset + a.reach());
    };
    const int64_t outputs = ceil_div(column_axis.positions, kOutputs) * kOutputs;
    bottom = std::max(bottom, last(row_axis, row_axis.positions));
    right = std::max(right, last(column_axis, outputs));
    rows = top + bottom;
    pitch = ceil_div(left + right, scale);
  }

  int64_t row_size() const { return scale * pitch; }
  int64_t size() const { return rows * row_size(); }
  int64_t row(int64_t h) const { return (h + top) * row_size(); }
  int64_t column(int64_t w) const { return (w + left) % scale * pitch + (w + left) / scale; }

  // How the columns' taps lie from where output 0 reads its first.
  ColumnTaps taps(const GatherAxis& columns) const {
    ColumnTaps t{.count = columns.taps};
    if (columns.offset_step % scale == 0) t.spacing = columns.offset_step / scale;
    for (int64_t s = 0; s < columns.taps; ++s)
      t.tap[s] = column(columns.offset + s * columns.offset_step) - column(columns.offset);
    return t;
  }

  int64_t bottom = 0, right = 0;  // one past the last row and column that are read
};

// The planes of C channels.
template <typename T>
class Planes {
 public:
  Planes(const PlaneLayout& layout, int64_t C, Carver& from)
      : layout_(layout),
        C_(C),
        data_(from.take<std::byte>(C * layout.size() * int64_t{sizeof(T)})) {}

  const PlaneLayout& layout() const { return layout_; }
  // That of the channels from c on.
  template <typename V>
  V* plane(int64_t c) const {
    return reinterpret_cast<V*>(data_ + c * layout_.size() * static_cast<int64_t>(sizeof(T)));
  }
  void clear() const { std::memset(data_, 0, C_ * layout_.size() * sizeof(T)); }

 private:
  PlaneLayout layout_;
  int64_t C_;
  std::byte* data_;
};

// Rows that are worked on together, of `width` pixels each.
inline int64_t band_rows(int64_t width) {
  constexpr int64_t kPixels = 64;
  return std::max<int64_t>(1, kPixels / std::max<int64_t>(1, width));
}

// With a margin of that width all around.
inline PlaneLayout plain_layout(const CellShape& s, int64_t margin = 0) {
  PlaneLayout l;
  l.top = l.left = margin;
  l.bottom = s.H + margin;
  l.right = s.W + margin;
  l.rows = l.top + l.bottom;
  l.pitch = l.left + l.right;
  return l;
}

// The rows and columns that a convolution of a cell reads.
template <typename T>
GatherAxis cell_axis(const CellConv<T>& conv, int64_t extent) {
  return {.extent = extent,
          .positions = ceil_div(extent, conv.stride),
          .start = 0,
          .step = 1,
          .taps = conv.kernel,
          .tap = 0,
          .tap_step = 1,
          .scale = conv.stride,
          .offset = conv.offset,
          .offset_step = conv.dilation};
}

// target(j, v) receives output j of row i, for every column:
//   v = sum over the taps (r, s) inside of w[r, s] * plane[row(i, r), column(j, s)].
// w points at tap (0, 0) of the plane's channels; taps are C apart, `kernel` of them in a row.
template <typename Taps, typename V, typename T, typename Target>
void correlate_row(const PlaneLayout& layout,
                   const GatherAxis& rows,
                   const GatherAxis& columns,
                   const ColumnTaps& taps,
                   int64_t i,
                   const V* plane,
                   const T* w,
                   int64_t C,
                   int64_t kernel,
                   const Target& target) {
  const V* x[ColumnTaps::kMax];
  const T* wr[ColumnTaps::kMax];
  int64_t count = 0;
  for (int64_t r = 0; r < rows.taps; ++r) {
    if (!rows.inside(rows.at(i, r))) continue;
    x[count] = plane + layout.row(rows.at(i, r)) + layout.column(columns.offset);
    wr[count++] = w + ((rows.tap + r * rows.tap_step) * kernel + columns.tap) * C;
  }
  for (int64_t j = 0; j < columns.positions; j += kOutputs) {
    V acc[kOutputs] = {};
    for (int64_t r = 0; r < count; ++r)
      Taps::correlate(taps, x[r] + j, wr[r], columns.tap_step * C, acc);
    const int64_t left = columns.positions - j;
#pragma GCC unroll 16
    for (int k = 0; k < kOutputs; ++k)
      if (k < left) target(j + k, acc[k]);
  }
}

// Rows [first, last) of a depthwise convolution of a source in planes, as (pixels, C) to `y`.
// `ones` stands in for weights that are not there.
template <typename Taps, typename T>
void depthwise_band(const Planes<T>& source,
                    const CellConv<T>& conv,
                    const GatherAxis& rows,
                    const GatherAxis& columns,
                    const ColumnTaps& taps,
                    int64_t first,
                    int64_t last,
                    int64_t C,
                    const T* ones,
                    T* y) {
  const T* weights = conv.depthwise ? conv.depthwise : ones;
  for_channels<T>(0, C, [&](auto tag, int64_t c) {
    using V = typename decltype(tag)::type;
    const V* plane = source.template plane<V>(c);
    for (int64_t p = first; p < last; ++p) {
      T* to = y + (p - first) * columns.positions * C + c;
      correlate_row<Taps>(source.layout(),
                          rows,
                          columns,
                          taps,
                          p,
                          plane,
                          weights + c,
                          C,
                          conv.kernel,
                          [=](int64_t j, V v) { v.store(to + j * C); });
    }
  });
}

// to[l] += lane l.
template <typename V>
void add_lanes(V v, double* to) {
  typename V::Scalar lanes[V::kLanes];
  v.store(lanes);
  for (int l = 0; l < V::kLanes; ++l) to[l] += static_cast<double>(lanes[l]);
}

// 1 / sqrt(var + eps) for each channel.
template <typename T>
void inverse_deviations(int64_t C, double eps, const T* var, T* rstd) {
  for (int64_t c = 0; c < C; ++c) rstd[c] = 1 / std::sqrt(var[c] + static_cast<T>(eps));
}

// normalised(x) of a source, for the channels from c on.
template <typename V>
struct NormalisedChannels {
  template <typename T>
  NormalisedChannels(const CellShape& s, const CellSource<T>& source, int64_t c) {
    if (!source.moments.mean) return;
    T r[V::kLanes];
    inverse_deviations(V::kLanes, s.eps, source.moments.var + c, r);
    mean = V::load(source.moments.mean + c);
    rstd = V::load(r);
  }
  V operator()(V x) const { return {(x.v - mean.v) * rstd.v}; }

  V mean{}, rstd = V::broadcast(1);
};

// Image n of a source, normalised and rectified; the margins stay as they are.
template <typename T>
void load_source(const CellShape& s, const CellSource<T>& source, int64_t n, const Planes<T>& to) {
  const PlaneLayout& l = to.layout();
  with_kept(source.x, [&](auto* data) {
    for_channels<T>(0, s.C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      V* plane = to.template plane<V>(c);
      const NormalisedChannels<V> normalised(s, source, c);
      const auto* x = data + n * s.H * s.W * source.x.pitch + c;
      for (int64_t h = 0; h < s.H; ++h) {
        for (int64_t residue = 0; residue < l.scale; ++residue) {
          // the columns w with this residue, from the leftmost on
          int64_t w = (residue - l.left % l.scale + l.scale) % l.scale;
          const auto* from = x + (h * s.W + w) * source.x.pitch;
          for (V* p = plane + l.row(h) + l.column(w); w < s.W; w += l.scale) {
            const V v = normalised(load_kept<V>(from));
            *p++ = gated(v, v);
            from += l.scale * source.x.pitch;
          }
        }
      }
    });
  });
}

}  // namespace oche::kernels
