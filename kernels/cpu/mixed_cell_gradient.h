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
  void rebuild(int64_t begin, int64_t count, const StoredPixels<const T>& y, T* to) const {
    with_kept(y, [&](auto* data) {
      for_channels<T>(0, C_, [&](auto tag, int64_t c) {
        using V = typename decltype(tag)::type;
        const Channels<V> gradient = channels<V>(c);
        const T* from = g().data + begin * g().pitch + c;
        const auto* kept = data + begin * y.pitch + c;
        for (int64_t i = 0; i < count; ++i, from += g().pitch, kept += y.pitch)
          gradient(V::load(from), load_kept<V>(kept)).store(to + i * C_ + c);
      });
    });
  }

 private:
  int64_t C_ = 0;
  Moments<const T> moments_;
  CellIncoming<T> incoming_;
  T *scale_ = nullptr, *constant_ = nullptr, *slope_ = nullptr;
};

}  // namespace oche::kernels
