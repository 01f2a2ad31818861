// Depthwise convolution: one input channel to each output channel, a vector of channels at a time. A source image, or a
// band of its rows, is first copied into a tile on the stack: gated, with zeros for the padding left and right, its
// columns dealt out by their residue modulo the stride. What neighbouring outputs read through one tap then lies side by
// side, whatever the stride. The padding above and below is skipped.
#include <algorithm>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_gather.h"
#include "kernels/cpu/conv2d_way.h"
#include "kernels/cpu/simd.h"

namespace oche::kernels {

namespace {

constexpr int64_t kTileVectors = 2048;
constexpr int64_t kMaxTaps = 128;  // of a kernel
constexpr int kPixels = 8;         // neighbouring outputs with an accumulator each

// The tiles of a gather: how many output rows share one, and where its columns lie.
struct Tiling {
  explicit Tiling(const Gather& g)
      : rows(g.rows),
        columns(g.columns),
        pitch(ceil_div(columns.positions, kPixels) * kPixels +
              (columns.reach() - 1) / columns.scale),
        width(columns.scale * pitch),
        height(kTileVectors / width),
        band(rows.extent <= height ? std::max<int64_t>(1, rows.positions)
                                   : (height - rows.reach()) / rows.scale + 1) {}

  // True iff a tile holds what one row of outputs reads.
  bool fits() const { return rows.reach() <= height; }
  int64_t bands() const { return ceil_div(rows.positions, band); }

  // The source rows that the output rows [first, last) read: [top, bottom).
  int64_t top(int64_t first) const {
    return std::max<int64_t>(0, first * rows.scale + rows.lowest_offset());
  }
  int64_t bottom(int64_t last) const {
    return std::min(rows.extent, (last - 1) * rows.scale + rows.lowest_offset() + rows.reach());
  }
  // Through column tap t, output column j reads vector column(t) + j of a tile's row.
  int64_t column(int64_t t) const {
    const int64_t from_lowest = columns.at(0, t) - columns.lowest_offset();
    return from_lowest % columns.scale * pitch + from_lowest / columns.scale;
  }

  const GatherAxis &rows, &columns;
  int64_t pitch;   // vectors of one residue
  int64_t width;   // vectors of a row
  int64_t height;  // rows at most
  int64_t band;    // output rows
};

// The taps that an output pixel reads: those of row tap r that lie in the image form one range.
struct RowTaps {
  RowTaps(const GatherAxis& rows, int64_t i) {
    const auto inside = [&](int64_t t) { return rows.at(i, t) >= 0 && rows.at(i, t) < rows.extent; };
    while (begin < rows.taps && !inside(begin)) ++begin;
    end = begin;
    while (end < rows.taps && inside(end)) ++end;
  }
  int64_t begin = 0, end;
};

template <typename V, typename T>
void fill_tile(const Tiling& t, int64_t top, int64_t bottom, const T* image, const T* gate, int64_t C, V* tile) {
  const GatherAxis& columns = t.columns;
  for (int64_t h = top; h < bottom; ++h) {
    for (int64_t residue = 0; residue < columns.scale; ++residue, tile += t.pitch) {
      const int64_t leftmost = columns.lowest_offset() + residue;  // source column of tile[0]
      const int64_t begin = std::clamp<int64_t>(ceil_div(-leftmost, columns.scale), 0, t.pitch);
      const int64_t end = std::clamp(ceil_div(columns.extent - leftmost, columns.scale), begin, t.pitch);
      const int64_t at = (h * columns.extent + leftmost) * C, step = columns.scale * C;
      std::fill(tile, tile + begin, V{});
      if (gate) {
        for (int64_t j = begin; j < end; ++j) tile[j] = gated(V::load(image + at + j * step), V::load(gate + at + j * step));
      } else {
        for (int64_t j = begin; j < end; ++j) tile[j] = V::load(image + at + j * step);
      }
      std::fill(tile + end, tile + t.pitch, V{});
    }
  }
}

// One gather of a depthwise convolution or of its adjoint: target = gated(sum over taps of w * gated(source)).
template <typename T>
void correlate(CpuContext& ctx, const Gather& g, int64_t kernel_w, const T* source, const T* source_gate, const T* w, T* target, const T* target_gate) {
  const int64_t C = g.source_C;
  const Tiling tiling(g);
  int64_t column[kMaxTaps];
  for (int64_t t = 0; t < g.columns.taps; ++t) column[t] = tiling.column(t);

  ctx.parallel(g.N * tiling.bands(), [&](int64_t task) {
    const int64_t n = task / tiling.bands(), first = task % tiling.bands() * tiling.band, last = std::min(g.rows.positions, first + tiling.band);
    const int64_t top = tiling.top(first), image = n * g.rows.extent * g.columns.extent * C;
    for_channels<T>(C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      V tile[kTileVectors];
      fill_tile(tiling, top, tiling.bottom(last), source + image + c, source_gate ? source_gate + image + c : nullptr, C, tile);
      for (int64_t i = first; i < last; ++i) {
        const RowTaps taps(g.rows, i);
        for (int64_t j = 0; j < g.columns.positions; j += kPixels) {
          V acc[kPixels] = {};
          for (int64_t r = taps.begin; r < taps.end; ++r) {
            const V* row = tile + (g.rows.at(i, r) - top) * tiling.width + j;
            const T* wr = w + ((g.rows.tap + r * g.rows.tap_step) * kernel_w + g.columns.tap) * C + c;
            for (int64_t s = 0; s < g.columns.taps; ++s) {
              const V wv = V::load(wr + s * g.columns.tap_step * C);
              const V* x = row + column[s];
#pragma GCC unroll 8
              for (int k = 0; k < kPixels; ++k) acc[k] = fma(x[k], wv, acc[k]);
            }
          }
          const int64_t at = g.target_pixel(n, i, j) * C + c, step = g.columns.step * C;
          const int64_t left = g.columns.positions - j;
#pragma GCC unroll 8
          for (int k = 0; k < kPixels; ++k) {
            if (k >= left) break;
            if (target_gate) acc[k] = gated(acc[k], V::load(target_gate + at + k * step));
            acc[k].store(target + at + k * step);
          }
        }
      }
    });
  });
}

template <typename T>
void forward(CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  correlate<T>(ctx, forward_gather(s), s.kernel_w, x, gate, w, y, nullptr);
}

template <typename T>
void input_grad(CpuContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  for_adjoint_gathers(s, [&](const Gather& g) {
    correlate<T>(ctx, g, s.kernel_w, grad_y, nullptr, w, grad_x, gate);
  });
}

template <typename T>
void weight_grad(CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* grad_y, T* partials) {
  const Gather g = forward_gather(s);
  const Tiling tiling(g);
  const int64_t C = s.C, taps = s.kernel_h * s.kernel_w, blocks = weight_grad_blocks(s);
  int64_t column[kMaxTaps];
  for (int64_t t = 0; t < s.kernel_w; ++t) column[t] = tiling.column(t);

  ctx.parallel(blocks, [&](int64_t block) {
    const int64_t first_image = block * s.N / blocks, last_image = (block + 1) * s.N / blocks;
    for_channels<T>(C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      V tile[kTileVectors];
      V acc[kMaxTaps];
      std::fill_n(acc, taps, V{});
      for (int64_t n = first_image; n < last_image; ++n) {
        const int64_t image = n * s.H * s.W * C + c;
        for (int64_t first = 0; first < g.rows.positions; first += tiling.band) {
          const int64_t last = std::min(g.rows.positions, first + tiling.band), top = tiling.top(first);
          fill_tile(tiling, top, tiling.bottom(last), x + image, gate ? gate + image : nullptr, C, tile);
          for (int64_t i = first; i < last; ++i) {
            const RowTaps rows(g.rows, i);
            for (int64_t j = 0; j < g.columns.positions; j += kPixels) {
              const T* gy = grad_y + g.target_pixel(n, i, j) * C + c;
              const int64_t left = g.columns.positions - j;
              V dy[kPixels];
#pragma GCC unroll 8
              for (int k = 0; k < kPixels; ++k) dy[k] = k < left ? V::load(gy + k * C) : V{};
              for (int64_t r = rows.begin; r < rows.end; ++r) {
                const V* row = tile + (g.rows.at(i, r) - top) * tiling.width + j;
                for (int64_t t = 0; t < s.kernel_w; ++t) {
                  const V* xv = row + column[t];
                  V even = acc[r * s.kernel_w + t], odd{};
#pragma GCC unroll 8
                  for (int k = 0; k < kPixels; k += 2) {
                    even = fma(xv[k], dy[k], even);
                    odd = fma(xv[k + 1], dy[k + 1], odd);
                  }
                  acc[r * s.kernel_w + t] = even + odd;
                }
              }
            }
          }
        }
      }
      for (int64_t t = 0; t < taps; ++t) acc[t].store(partials + (block * taps + t) * C + c);
    });
  });
}

bool supports(const Conv2dShape& s) {
  if (s.groups != s.C || s.out_C != s.C || s.kernel_h * s.kernel_w > kMaxTaps) return false;
  bool fits = Tiling(forward_gather(s)).fits();
  for_adjoint_gathers(s, [&](const Gather& g) { fits = fits && Tiling(g).fits(); });
  return fits;
}

}  // namespace

template <typename T>
Conv2dWay<T> depthwise_way() {
  return {supports, forward<T>, input_grad<T>, weight_grad<T>};
}
template Conv2dWay<float> depthwise_way();
template Conv2dWay<double> depthwise_way();

}  // namespace oche::kernels
