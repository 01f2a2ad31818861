// The matrix of the patches that the outputs of a convolution read. It is gathered onto the stack,
// a few rows at a time; that takes care of gate, padding, stride, dilation and groups. Where a row
// is a pixel as it stands, it is read in place.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/conv2d_gather.h"
#include "kernels/cpu/gemm_tile.h"

namespace oche::kernels {

template <typename T>
void copy_gated(int64_t n, const T* x, const T* gate, T* y) {
  for_channels<T>(0, n, [=](auto tag, int64_t c) {
    using V = typename decltype(tag)::type;
    V v = V::load(x + c);
    if (gate) v = gated(v, V::load(gate + c));
    v.store(y + c);
  });
}

// The patch matrix of one group: row m is the m-th target position in scan order, a column one of
// (row tap, column tap, channel).
template <typename T>
class Patches {
 public:
  Patches(const Gather& gather, const T* source, const T* gate, int64_t first, int64_t channels)
      : g_(gather),
        source_(source + first),
        gate_(gate ? gate + first : nullptr),
        channels_(channels) {}

  int64_t depth() const { return g_.rows.taps * g_.columns.taps * channels_; }

  // How many rows of `depth` columns a buffer of kElements holds; a multiple of the heights of
  // a tile.
  static constexpr int64_t kElements = 6144;  // of a buffer

  static int64_t capacity(int64_t depth) {
    return kElements / std::max<int64_t>(1, depth) / 24 * 24;
  }

  // Rows [m, m + count) and columns [k, k + depth): in place where they are source elements as they
  // stand, else in `buffer`.
  StridedMatrix<T> slab(int64_t m, int64_t count, int64_t k, int64_t depth, T* buffer) const {
    if (pointwise() && !gate_) return {source_ + m * g_.source_C + k, g_.source_C, 1};
    if (pointwise() && depth == g_.source_C) {
      const int64_t at = m * depth;
      copy_gated(count * depth, source_ + at, gate_ ? gate_ + at : nullptr, buffer);
    } else {
      gather(m, count, k, depth, buffer);
    }
    return {buffer, depth, 1};
  }

  // body(row tap, column tap, first channel, first column, columns) for the runs of channels under
  // one tap that make up the columns [k, k + depth), numbered from k.
  template <typename Body>
  void for_runs(int64_t k, int64_t depth, const Body& body) const {
    if (depth == 0) return;
    int64_t c = k % channels_, s = k / channels_ % g_.columns.taps,
            r = k / channels_ / g_.columns.taps;
    for (int64_t column = 0; column < depth;) {
      const int64_t n = std::min(channels_ - c, depth - column);
      body(r, s, c, column, n);
      column += n;
      c = 0;
      if (++s == g_.columns.taps) s = 0, ++r;
    }
  }

 private:
  bool pointwise() const { return g_.rows.is_identity() && g_.columns.is_identity(); }

  void gather(int64_t m, int64_t count, int64_t k, int64_t depth, T* buffer) const {
    auto [n, i, j] = g_.position(m);
    for (T* row = buffer; row < buffer + count * depth; row += depth) {
      for_runs(
          k,
          depth,
          [&, n = n, i = i, j = j](int64_t r, int64_t s, int64_t c, int64_t column, int64_t size) {
            const int64_t h = g_.rows.at(i, r), w = g_.columns.at(j, s);
            if (!g_.rows.inside(h) || !g_.columns.inside(w)) {
              std::fill_n(row + column, size, T(0));
              return;
            }
            const int64_t at = ((n * g_.rows.extent + h) * g_.columns.extent + w) * g_.source_C + c;
            copy_gated(size, source_ + at, gate_ ? gate_ + at : nullptr, row + column);
          });
      if (++j == g_.columns.positions) {
        j = 0;
        if (++i == g_.rows.positions) i = 0, ++n;
      }
    }
  }

  const Gather& g_;
  const T *source_, *gate_;
  int64_t channels_;
};

}  // namespace oche::kernels
