// A sliding window of source rows for one vector of channels: gated, with zeros for the padding
// left and right, and the columns dealt out by their residue modulo the stride, so that what
// neighbouring outputs read through one tap lies side by side, whatever the stride. Every source
// row is brought in once, and the window stays in the first-level cache.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_gather.h"
#include "kernels/cpu/conv2d_taps.h"

namespace oche::kernels {

struct WindowLayout {
  static constexpr int64_t kVectors = 2048;  // that a window holds at most
  static constexpr int64_t kMaxScale = 4, kMaxTaps = ColumnTaps::kMax;

  explicit WindowLayout(const Gather& g) : rows(g.rows), columns(g.columns) {
    const int64_t outputs = ceil_div(std::max<int64_t>(1, columns.positions), kOutputs) * kOutputs;
    pitch = outputs + (columns.reach() - 1) / columns.scale;
    width = columns.scale * pitch;
    const int64_t needed = std::min(rows.reach(), std::max<int64_t>(1, rows.extent));
    height = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(needed)));
    if (!fits()) return;
    taps.count = columns.taps;
    taps.spacing =
        columns.offset_step % columns.scale == 0 ? columns.offset_step / columns.scale : 0;
    for (int64_t s = 0; s < columns.taps; ++s) {
      const int64_t from_first = s * columns.offset_step;
      taps.tap[s] = from_first % columns.scale * pitch + from_first / columns.scale;
    }
    for (int64_t residue = 0; residue < columns.scale; ++residue) {
      const int64_t leftmost = columns.offset + residue;
      begin[residue] = std::clamp<int64_t>(ceil_div(-leftmost, columns.scale), 0, pitch);
      end[residue] =
          std::clamp(ceil_div(columns.extent - leftmost, columns.scale), begin[residue], pitch);
    }
  }

  // True iff a window holds the rows that one row of outputs reads.
  bool fits() const {
    return columns.scale <= kMaxScale && std::max(rows.taps, columns.taps) <= kMaxTaps &&
           height * width <= kVectors;
  }

  GatherAxis rows, columns;
  int64_t pitch;          // vectors of one residue; reads past the last output of a row stay in it
  int64_t width, height;  // vectors of a row; rows, a power of two
  ColumnTaps taps;
  int64_t begin[kMaxScale], end[kMaxScale];  // the vectors of a residue that lie in the image
};

template <typename V>
class RowWindow {
 public:
  using T = typename V::Scalar;

  explicit RowWindow(const WindowLayout& layout) : l_(layout) {
    std::fill_n(vectors_, l_.height * l_.width, V{});  // the margins stay so
  }

  // Turns to an image and its gate (or nullptr), both at the first channel of the vector; pixels
  // are C apart.
  void open(const T* image, const T* gate, int64_t C) {
    image_ = image;
    gate_ = gate;
    C_ = C;
    next_ = 0;
  }

  // Brings in the rows that output row i reads. Within an image i ascends.
  void advance(int64_t i) {
    const int64_t first = l_.rows.at(i, 0), end = std::min(l_.rows.extent, first + l_.rows.reach());
    for (next_ = std::max(next_, first); next_ < end; ++next_) load(next_);
  }

  // Source row h, which was brought in.
  const V* row(int64_t h) const { return vectors_ + slot(h); }

 private:
  int64_t slot(int64_t h) const { return (h & (l_.height - 1)) * l_.width; }

  void load(int64_t h) {
    V* row = vectors_ + slot(h);
    const int64_t scale = l_.columns.scale, step = scale * C_;
    for (int64_t residue = 0; residue < scale; ++residue, row += l_.pitch) {
      const int64_t column = l_.columns.offset + residue + l_.begin[residue] * scale;
      const int64_t at = (h * l_.columns.extent + column) * C_;
      const T* x = image_ + at;
      V *to = row + l_.begin[residue], *end = row + l_.end[residue];
      if (gate_) {
        for (const T* gate = gate_ + at; to < end; x += step, gate += step)
          *to++ = gated(V::load(x), V::load(gate));
      } else {
        for (; to < end; x += step) *to++ = V::load(x);
      }
    }
  }

  const WindowLayout& l_;
  const T *image_ = nullptr, *gate_ = nullptr;
  int64_t C_ = 0, next_ = 0;
  V vectors_[WindowLayout::kVectors];
};

}  // namespace oche::kernels
