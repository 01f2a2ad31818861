// The gradient through a 3x3 pool of the fused cell: that of each pooled value, with the winning
// tap of a maximum, laid out in planes; then every pixel gathers what the windows over it have for
// it.
#pragma once

#include <vector>

#include "kernels/cpu/mixed_cell_gradient.h"
#include "kernels/cpu/mixed_cell_pool.h"

namespace oche::kernels {

// Of an image, with a margin of zeros, in which nobody writes.
template <typename T>
struct PoolPlanes {
  PoolPlanes(const CellShape& s, Carver& carver)
      : gradient(plain_layout(s, 1), s.C, carver), winner(plain_layout(s, 1), s.C, carver) {}
  // Before the first pool of a task.
  void clear() const {
    gradient.clear();
    winner.clear();
  }
  Planes<T> gradient;         // of the pooled values; an average's divided by its pixels
  Planes<LaneInt<T>> winner;  // tap r * 3 + s of a maximum
};

template <typename T>
class PoolBackward {
 public:
  PoolBackward(const CellShape& shape, const CellPoolBackward<T>& pool, Carver& carver)
      : s_(shape),
        pool_(pool),
        height_(ceil_div(shape.H, pool.stride)),
        width_(ceil_div(shape.W, pool.stride)) {
    for (const CellIncoming<T>& in : pool.incoming)
      incoming_.emplace_back(s_.C, pool.moments, in, carver);
  }

  void prepare() {
    for (GradientOfNormalised<T>& g : incoming_) g.prepare(s_.eps, s_.N * height_ * width_);
  }

  // Adds the gradient to `sum`, the plane of the channels from c on of image n without a margin.
  template <typename V>
  void add(int64_t n, int64_t c, Pixels<const T> x, const PoolPlanes<T>& planes, V* sum) const {
    const T* image = x.data + n * s_.H * s_.W * x.pitch + c;
    V* gradient = planes.gradient.template plane<V>(c);
    auto* winner = planes.winner.template plane<typename V::Int>(c);
    const PlaneLayout& layout = planes.gradient.layout();
    for (int64_t p = 0; p < height_; ++p) {
      const int64_t at = layout.row(p) + layout.column(0);
      sum_incoming(n, p, c, gradient + at);
      if (pool_.pool == CellPool::kMax) {
        through_maxima(p, c, image, x.pitch, gradient + at, winner + at);
      } else {
        through_averages(p, c, image, x.pitch, gradient + at);
      }
    }
    if (pool_.pool == CellPool::kMax) {
      gather<V>(layout, sum, [&](int64_t window, int tap) -> V {
        return {winner[window].v == V::Int::broadcast(tap).v ? gradient[window].v : V{}.v};
      });
    } else {
      gather<V>(layout, sum, [&](int64_t window, int) { return gradient[window]; });
    }
  }

 private:
  // Row p of the gradients of the pooled values, but for what depends on these.
  template <typename V>
  void sum_incoming(int64_t n, int64_t p, int64_t c, V* row) const {
    std::fill_n(row, width_, V{});
    for (const GradientOfNormalised<T>& in : incoming_) {
      const auto gradient = in.template channels<V>(c);
      const T* g = in.g().data + (n * height_ + p) * width_ * in.g().pitch + c;
      for (int64_t q = 0; q < width_; ++q)
        row[q] =
            fma(V{V::load(g + q * in.g().pitch).v - gradient.constant.v}, gradient.scale, row[q]);
    }
  }
  // And what does: gradient - (value - mean) * slope.
  template <typename V>
  struct Slope {
    V mean{}, slope{};
    V operator()(V gradient, V value) const { return {gradient.v - (value.v - mean.v) * slope.v}; }
  };
  template <typename V>
  Slope<V> slope(int64_t c) const {
    Slope<V> all;
    for (const GradientOfNormalised<T>& in : incoming_) {
      const auto gradient = in.template channels<V>(c);
      all.mean = gradient.mean;
      all.slope = fma(gradient.scale, gradient.slope, all.slope);
    }
    return all;
  }

  template <typename V>
  void through_averages(int64_t p, int64_t c, const T* image, int64_t pitch, V* row) const {
    const Slope<V> with = slope<V>(c);
    const int64_t rows =
        std::min(s_.H, p * pool_.stride + 2) - std::max<int64_t>(0, p * pool_.stride - 1);
    pool_row<CellPool::kAverage, V>(s_, pool_.stride, image, pitch, p, [&](int64_t q, V v) {
      const int64_t w = q * pool_.stride;
      const int64_t columns = std::min(s_.W, w + 2) - std::max<int64_t>(0, w - 1);
      row[q].v = with(row[q], v).v * (1 / static_cast<T>(rows * columns));
    });
  }

  template <typename V>
  void through_maxima(
      int64_t p, int64_t c, const T* image, int64_t pitch, V* row, typename V::Int* winner) const {
    const Slope<V> with = slope<V>(c);
    const int64_t top = p * pool_.stride - 1;
    const bool all_rows = top >= 0 && top + 3 <= s_.H;
    for (int64_t q = 0; q < width_; ++q) {
      const int64_t left = q * pool_.stride - 1;
      const T* window = image + (top * s_.W + left) * pitch;
      V value{};
      if (all_rows && left >= 0 && left + 3 <= s_.W) {
        value = maximum<V>(
            window, pitch, [](int, int) { return true; }, winner[q]);
      } else {
        const auto inside = [&](int r, int s) {
          return top + r >= 0 && top + r < s_.H && left + s >= 0 && left + s < s_.W;
        };
        value = maximum<V>(window, pitch, inside, winner[q]);
      }
      row[q] = with(row[q], value);
    }
  }

  // The maximum of a window and its tap, the first in scan order of those that are equal; a NaN
  // wins.
  template <typename V, typename Inside>
  V maximum(const T* window, int64_t pitch, const Inside& inside, typename V::Int& winner) const {
    using Int = typename V::Int;
    V best{};
    Int tap{};
    bool any = false;
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
      for (int s = 0; s < 3; ++s) {
        if (!inside(r, s)) continue;
        const V v = V::load(window + (r * s_.W + s) * pitch);
        const Int here = Int::broadcast(r * 3 + s);
        if (any) {
          tap.v = v.v > best.v ? here.v : tap.v;
          tap.v = v.v != v.v ? here.v : tap.v;
          best = pool_join<CellPool::kMax>(best, v);
        } else {
          best = v;
          tap = here;
        }
        any = true;
      }
    }
    winner = tap;
    return best;
  }

  // sum[h, w] += part(window, tap) for the windows over each pixel.
  template <typename V, typename Part>
  void gather(const PlaneLayout& layout, V* sum, const Part& part) const {
    const int64_t row_size = layout.row_size();
    if (pool_.stride == 1) {
      for (int64_t h = 0; h < s_.H; ++h) {
        const int64_t at = layout.row(h) + layout.column(0);
        for (int64_t w = 0; w < s_.W; ++w) {
          V total = sum[h * s_.W + w];
#pragma GCC unroll 3
          for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
            for (int s = 0; s < 3; ++s)
              total = total + part(at + w + (1 - r) * row_size + (1 - s), r * 3 + s);
          }
          sum[h * s_.W + w] = total;
        }
      }
      return;
    }
    for (int64_t p = 0; p < height_; ++p) {
      for (int64_t q = 0; q < width_; ++q) {
        const int64_t window = layout.row(p) + layout.column(q);
        for (int r = 0; r < 3; ++r) {
          const int64_t h = p * pool_.stride - 1 + r;
          for (int s = 0; s < 3; ++s) {
            const int64_t w = q * pool_.stride - 1 + s;
            if (h < 0 || h >= s_.H || w < 0 || w >= s_.W) continue;
            V& to = sum[h * s_.W + w];
            to = to + part(window, r * 3 + s);
          }
        }
      }
    }
  }

  const CellShape s_;
  const CellPoolBackward<T>& pool_;
  const int64_t height_, width_;
  std::vector<GradientOfNormalised<T>> incoming_;
};

}  // namespace oche::kernels
