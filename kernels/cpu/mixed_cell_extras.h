// Backward parts of the fused cell around its convolutions: gradients through a normalisation,
// pools, skips, and what they add up to.
#pragma once

#include "kernels/cpu/mixed_cell_planes.h"
#include "kernels/cpu/mixed_cell_pool.h"

namespace oche::kernels {

// A gradient that comes through a normalisation, as a function of what was normalised:
//   scale * (g - constant - (y - mean) * slope), a number for each channel each.
template <typename T>
class GradientOfNormalised {
 public:
  GradientOfNormalised() = default;
  GradientOfNormalised(int64_t C,
                       Moments<const T> moments,
                       const CellIncoming<T>& incoming,
                       Carver& carver)
      : C_(C),
        moments_(moments),
        incoming_(incoming),
        scale_(carver.take<T>(C)),
        constant_(carver.take<T>(C)),
        slope_(carver.take<T>(C)) {}

  // `pixels` of all images were normalised.
  void prepare(double eps, int64_t pixels) {
    const T share = 1 / static_cast<T>(pixels), weight = incoming_.weight ? *incoming_.weight : 1;
    inverse_deviations(C_, eps, moments_.var, scale_);
    for (int64_t c = 0; c < C_; ++c) {
      slope_[c] = incoming_.sum_gx[c] * share * scale_[c];
      constant_[c] = incoming_.sum_g[c] * share;
      scale_[c] *= weight;
    }
  }

  // The channels from c on.
  template <typename V>
  struct Channels {
    V mean, scale, constant, slope;
    V operator()(V g, V y) const {
      return {scale.v * (g.v - constant.v - (y.v - mean.v) * slope.v)};
    }
  };
  template <typename V>
  Channels<V> channels(int64_t c) const {
    return {V::load(moments_.mean + c),
            V::load(scale_ + c),
            V::load(constant_ + c),
            V::load(slope_ + c)};
  }
  const Pixels<const T>& g() const { return incoming_.g; }

  // `count` pixels from pixel `begin` on of the results `y`, as (count, C).
  void rebuild(int64_t begin, int64_t count, Pixels<const T> y, T* to) const {
    for_channels<T>(0, C_, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      const Channels<V> gradient = channels<V>(c);
      const T *from = g().data + begin * g().pitch + c, *yp = y.data + begin * y.pitch + c;
      for (int64_t i = 0; i < count; ++i, from += g().pitch, yp += y.pitch)
        gradient(V::load(from), V::load(yp)).store(to + i * C_ + c);
    });
  }

 private:
  int64_t C_ = 0;
  Moments<const T> moments_;
  CellIncoming<T> incoming_;
  T *scale_ = nullptr, *constant_ = nullptr, *slope_ = nullptr;
};

// What reaches a source besides its convolutions.
template <typename T>
class SourceExtras {
 public:
  SourceExtras(const CellShape& shape, const CellSourceBackward<T>& source, Carver& carver)
      : s_(shape), source_(source) {
    for (const CellPoolBackward<T>& p : source.pools) {
      pools_.emplace_back();
      for (const CellIncoming<T>& in : p.incoming)
        pools_.back().emplace_back(s_.C, p.moments, in, carver);
    }
  }

  void prepare() {
    for (size_t i = 0; i < pools_.size(); ++i) {
      const int64_t stride = source_.pools[i].stride;
      for (GradientOfNormalised<T>& g : pools_[i])
        g.prepare(s_.eps, s_.N * ceil_div(s_.H, stride) * ceil_div(s_.W, stride));
    }
  }

  // Adds the gradients through the pools of image n; the planes of `to` have a margin.
  void add_pools(int64_t n, const Planes<T>& to) const {
    for (size_t i = 0; i < pools_.size(); ++i) {
      for_channels<T>(0, s_.C, [&](auto tag, int64_t c) {
        using V = typename decltype(tag)::type;
        if (source_.pools[i].pool == CellPool::kMax) {
          add_pool<CellPool::kMax, V>(i, n, c, to);
        } else {
          add_pool<CellPool::kAverage, V>(i, n, c, to);
        }
      });
    }
  }

  // grad of image n = gated(sum) + extra + initial + skips. Adds its sums, (2, C), where wanted.
  void finish(int64_t n,
              const Planes<T>& source,
              const Planes<T>& sum,
              const Planes<T>& extra,
              double* sums) const {
    for_channels<T>(0, s_.C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      const V* gate = source.template plane<V>(c);
      const V *summed = sum.template plane<V>(c), *added = extra.template plane<V>(c);
      const Moments<const T>& moments = source_.source.moments;
      V mean{}, rstd = V::broadcast(1), total[2] = {};
      if (moments.mean) {
        T r[V::kLanes];
        inverse_deviations(V::kLanes, s_.eps, moments.var + c, r);
        mean = V::load(moments.mean + c);
        rstd = V::load(r);
      }
      for (int64_t h = 0; h < s_.H; ++h) {
        const int64_t pixel = (n * s_.H + h) * s_.W;
        const auto at = [&](const auto& pixels) { return pixels.data + pixel * pixels.pitch + c; };
        T* to = at(source_.grad);
        const int64_t gate_row = source.layout().row(h);
        for (int64_t w = 0; w < s_.W; ++w) {
          V v = gated(summed[h * s_.W + w], gate[gate_row + source.layout().column(w)]);
          if (!pools_.empty()) v = v + added[extra.layout().row(h) + extra.layout().column(w)];
          if (source_.initial.data)
            v = v + V::load(at(source_.initial) + w * source_.initial.pitch);
          for (const CellSkipBackward<T>& skip : source_.skips) {
            const V g = V::load(at(skip.g) + w * skip.g.pitch);
            v = fma(g, V::broadcast(skip.weight ? *skip.weight : 1), v);
          }
          v.store(to + w * source_.grad.pitch);
          if (!sums) continue;
          const V x = V::load(at(source_.source.x) + w * source_.source.x.pitch);
          total[0] = total[0] + v;
          total[1] = fma(v, V{(x.v - mean.v) * rstd.v}, total[1]);
        }
      }
      if (!sums) return;
      for (int k = 0; k < 2; ++k) {
        T lanes[V::kLanes];
        total[k].store(lanes);
        for (int l = 0; l < V::kLanes; ++l) sums[k * s_.C + c + l] += static_cast<double>(lanes[l]);
      }
    });
  }

 private:
  template <CellPool kPool, typename V>
  void add_pool(size_t i, int64_t n, int64_t c, const Planes<T>& to) const {
    const CellPoolBackward<T>& pool = source_.pools[i];
    const int64_t height = ceil_div(s_.H, pool.stride), width = ceil_div(s_.W, pool.stride);
    const Pixels<const T>& x = source_.source.x;
    const PlaneLayout& layout = to.layout();
    V* plane = to.template plane<V>(c);
    for (int64_t p = 0; p < height; ++p) {
      const int64_t top = p * pool.stride - 1;
      const bool rows_inside = top >= 0 && top + 3 <= s_.H;
      for (int64_t q = 0; q < width; ++q) {
        const int64_t left = q * pool.stride - 1, at = (n * height + p) * width + q;
        // Everything but the term of the pooled value.
        V g{}, slope{}, mean{};
        for (const GradientOfNormalised<T>& in : pools_[i]) {
          const auto gradient = in.template channels<V>(c);
          g = fma(V{V::load(in.g().data + at * in.g().pitch + c).v - gradient.constant.v},
                  gradient.scale,
                  g);
          slope = fma(gradient.scale, gradient.slope, slope);
          mean = gradient.mean;
        }
        const auto rest = [&](V pooled) { return V{g.v - (pooled.v - mean.v) * slope.v}; };
        const T* window = x.data + ((n * s_.H + top) * s_.W + left) * x.pitch + c;
        V* target = plane + layout.row(top) + layout.column(left);
        if (rows_inside && left >= 0 && left + 3 <= s_.W) {
          const auto all = [](int64_t, int64_t) { return true; };
          spread<kPool, V>(window, x.pitch, layout.row_size(), all, rest, target);
        } else {
          const auto inside = [&](int64_t r, int64_t s) {
            return top + r >= 0 && top + r < s_.H && left + s >= 0 && left + s < s_.W;
          };
          spread<kPool, V>(window, x.pitch, layout.row_size(), inside, rest, target);
        }
      }
    }
  }

  // Pools a window and hands gradient(pooled value) to the pixels that made it.
  template <CellPool kPool, typename V, typename Inside, typename Gradient>
  void spread(const T* window,
              int64_t pitch,
              int64_t target_row,
              const Inside& inside,
              const Gradient& gradient,
              V* target) const {
    const auto load = [&](int64_t r, int64_t s) {
      return V::load(window + (r * s_.W + s) * pitch);
    };
    V value{};
    typename V::Int winner{};
    int count = 0;
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
      for (int s = 0; s < 3; ++s) {
        if (!inside(r, s)) continue;
        const V v = load(r, s);
        if constexpr (kPool == CellPool::kMax) {
          const auto place = decltype(winner)::broadcast(r * 3 + s);
          if (count == 0) {
            value = v;
            winner = place;
          } else {
            const auto wins_now = wins(v, value);
            value.v = wins_now ? v.v : value.v;
            winner.v = wins_now ? place.v : winner.v;
          }
        } else {
          value = value + v;
        }
        ++count;
      }
    }
    if constexpr (kPool == CellPool::kAverage) value.v *= 1 / static_cast<T>(count);
    V g = gradient(value);
    if constexpr (kPool == CellPool::kAverage) g.v *= 1 / static_cast<T>(count);
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
      for (int s = 0; s < 3; ++s) {
        if (!inside(r, s)) continue;
        V& to = target[r * target_row + s];
        if constexpr (kPool == CellPool::kMax) {
          to.v += winner.v == decltype(winner)::broadcast(r * 3 + s).v ? g.v : V{}.v;
        } else {
          to = to + g;
        }
      }
    }
  }

  const CellShape s_;
  const CellSourceBackward<T>& source_;
  std::vector<std::vector<GradientOfNormalised<T>>> pools_;
};

}  // namespace oche::kernels
