// What reaches a source of the fused cell besides its convolutions, and what all adds up to.
#pragma once

#include "kernels/cpu/mixed_cell_gradient.h"
#include "kernels/cpu/mixed_cell_pool_backward.h"

namespace oche::kernels {

template <typename T>
class SourceExtras {
 public:
  SourceExtras(const CellShape& shape, const CellSourceBackward<T>& source, Carver& carver)
      : s_(shape), source_(source) {
    for (const CellPoolBackward<T>& p : source.pools) pools_.emplace_back(s_, p, carver);
  }

  void prepare() {
    for (PoolBackward<T>& p : pools_) p.prepare();
  }

  // grad of image n = gated(sum) + initial + pools + skips, where `sum` is the gradient of the
  // rectified source. Adds the sums of grad, (2, C), where wanted.
  void finish(int64_t n,
              const Planes<T>& source,
              const Planes<T>& sum,
              const PoolPlanes<T>& pools,
              double* sums) const {
    for_channels<T>(0, s_.C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      V* summed = sum.template plane<V>(c);
      gate<V>(source.layout(), source.template plane<V>(c), summed);
      for (const PoolBackward<T>& p : pools_)
        p.template add<V>(n, c, source_.source.x.whole(), pools, summed);
      const NormalisedChannels<V> normalised(s_, source_.source, c);
      V total[2] = {};
      for (int64_t h = 0; h < s_.H; ++h) {
        V* row = summed + h * s_.W;
        if (source_.initial.data) add_row(source_.initial, n, h, c, V::broadcast(1), row);
        for (const CellSkipBackward<T>& skip : source_.skips)
          add_row(skip.g, n, h, c, V::broadcast(skip.weight ? *skip.weight : 1), row);
        if (sums) {
          with_kept(source_.source.x, [&](auto* x) {
            add_sums(
                x + (n * s_.H + h) * s_.W * source_.source.x.pitch + c, row, normalised, total);
          });
        }
        T* to = source_.grad.data + (n * s_.H + h) * s_.W * source_.grad.pitch + c;
        for (int64_t w = 0; w < s_.W; ++w) row[w].store(to + w * source_.grad.pitch);
      }
      if (!sums) return;
      for (int k = 0; k < 2; ++k) add_lanes(total[k], sums + k * s_.C + c);
    });
  }

 private:
  // 0 where the source is not positive.
  template <typename V>
  void gate(const PlaneLayout& layout, const V* source, V* sum) const {
    for (int64_t h = 0; h < s_.H; ++h) {
      V* row = sum + h * s_.W;
      for (int64_t residue = 0; residue < layout.scale; ++residue) {
        const V* from = source + layout.row(h) + layout.column(residue);
        for (int64_t w = residue; w < s_.W; w += layout.scale) row[w] = gated(row[w], *from++);
      }
    }
  }

  // row += scale * row h of image n.
  template <typename V>
  void add_row(Pixels<const T> x, int64_t n, int64_t h, int64_t c, V scale, V* row) const {
    const T* from = x.data + (n * s_.H + h) * s_.W * x.pitch + c;
    for (int64_t w = 0; w < s_.W; ++w) row[w] = fma(V::load(from + w * x.pitch), scale, row[w]);
  }

  // total += the sums of the row, and of it times the normalised source, whose row is at `x`.
  template <typename V, typename Kept>
  void add_sums(const Kept* x,
                const V* row,
                const NormalisedChannels<V>& normalised,
                V (&total)[2]) const {
    for (int64_t w = 0; w < s_.W; ++w, x += source_.source.x.pitch) {
      total[0] = total[0] + row[w];
      total[1] = fma(row[w], normalised(load_kept<V>(x)), total[1]);
    }
  }

  const CellShape s_;
  const CellSourceBackward<T>& source_;
  std::vector<PoolBackward<T>> pools_;
};

}  // namespace oche::kernels
