// Depthwise convolution: one input channel to each output channel, a vector of channels at a time,
// several neighbouring outputs in registers. Taps above and below the image are skipped.
#include <algorithm>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_taps.h"
#include "kernels/cpu/conv2d_way.h"
#include "kernels/cpu/conv2d_window.h"

namespace oche::kernels {

namespace {

constexpr int64_t kMaxTaps = WindowLayout::kMaxTaps;
constexpr int64_t kBandPixels = 1024;  // target pixels that make a task
constexpr int64_t kMinBand = 16;       // rows, since a task brings in its own margin of source rows

// The part of the window that output row i reads through each row tap inside the image.
template <typename V>
struct TapRows {
  TapRows(const RowWindow<V>& window, const GatherAxis& rows, int64_t i) {
    for (int64_t r = 0; r < rows.taps; ++r) {
      if (!rows.inside(rows.at(i, r))) continue;
      x[count] = window.row(rows.at(i, r));
      tap[count++] = rows.tap + r * rows.tap_step;
    }
  }
  int64_t count = 0;
  const V* x[kMaxTaps];
  int64_t tap[kMaxTaps];  // the row of the kernel
};

// One gather of a convolution or of its adjoint:
//   target = gated(sum over taps of w * gated(source)).
template <typename T>
struct Correlation {
  const Gather& g;
  const WindowLayout& layout;
  int64_t kernel_w;
  const T *source, *source_gate, *w;
  T* target;
  const T* target_gate;

  // Rows [first, last) of image n, channels [begin, end).
  template <typename Taps, typename V>
  void band(int64_t n, int64_t first, int64_t last, int64_t begin, int64_t end) const {
    const int64_t C = g.source_C, image = n * g.rows.extent * g.columns.extent * C;
    RowWindow<V> window(layout);
    for (int64_t c = begin; c < end; c += V::kLanes) {
      window.open(source + image + c, source_gate ? source_gate + image + c : nullptr, C);
      for (int64_t i = first; i < last; ++i) {
        window.advance(i);
        const int64_t at = g.target_pixel(n, i, 0) * C + c;
        row<Taps>(TapRows<V>(window, g.rows, i),
                  w + g.columns.tap * C + c,
                  target + at,
                  target_gate ? target_gate + at : nullptr);
      }
    }
  }

  // The same for all channels.
  template <typename Taps>
  void band(Taps, int64_t n, int64_t first, int64_t last) const {
    for_vector_ranges<T>(0, g.source_C, [&](auto tag, int64_t begin, int64_t end) {
      band<Taps, typename decltype(tag)::type>(n, first, last, begin, end);
    });
  }

  template <typename Taps, typename V>
  void row(const TapRows<V>& rows, const T* w0, T* to, const T* gate) const {
    const int64_t C = g.source_C, row_step = kernel_w * C, column_step = g.columns.tap_step * C;
    const int64_t step = g.columns.step * C;
    for (int64_t j = 0; j < g.columns.positions; j += kOutputs) {
      V acc[kOutputs] = {};
      for (int64_t r = 0; r < rows.count; ++r)
        Taps::correlate(layout.taps, rows.x[r] + j, w0 + rows.tap[r] * row_step, column_step, acc);
      const int64_t count = g.columns.positions - j;
      if (gate) {
#pragma GCC unroll 16
        for (int k = 0; k < kOutputs; ++k)
          if (k < count) acc[k] = gated(acc[k], V::load(gate + (j + k) * step));
      }
#pragma GCC unroll 16
      for (int k = 0; k < kOutputs; ++k)
        if (k < count) acc[k].store(to + (j + k) * step);
    }
  }
};

template <typename T>
void correlate(CpuContext& ctx,
               const Gather& g,
               int64_t kernel_w,
               const T* source,
               const T* source_gate,
               const T* w,
               T* target,
               const T* target_gate) {
  const WindowLayout layout(g);
  const Correlation<T> correlation{
      g, layout, kernel_w, source, source_gate, w, target, target_gate};
  const int64_t band = std::max(kMinBand, kBandPixels / std::max<int64_t>(1, g.columns.positions));
  const int64_t bands = ceil_div(g.rows.positions, band);
  with_taps(layout.taps, [&](auto taps) {
    ctx.parallel(g.N * bands, [&](int64_t task) {
      const int64_t first = task % bands * band, last = std::min(g.rows.positions, first + band);
      correlation.band(taps, task / bands, first, last);
    });
  });
}

template <typename T>
void forward(CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  correlate<T>(ctx, forward_gather(s), s.kernel_w, x, gate, w, y, nullptr);
}

template <typename T>
void input_grad(
    CpuContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  for_adjoint_gathers(s, [&](const Gather& g) {
    correlate<T>(ctx, g, s.kernel_w, grad_y, nullptr, w, grad_x, gate);
  });
}

// partial = sum over the images [first, last) of gated(x) * grad_y, for the channels [begin, end).
template <typename Taps, typename V, typename T>
void weight_grad_images(const Gather& g,
                        const WindowLayout& layout,
                        int64_t first,
                        int64_t last,
                        int64_t begin,
                        int64_t end,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* partial) {
  const int64_t C = g.source_C, kernel_w = g.columns.taps, taps = g.rows.taps * kernel_w;
  RowWindow<V> window(layout);
  V sums[kMaxTaps * kMaxTaps];
  for (int64_t c = begin; c < end; c += V::kLanes) {
    std::fill_n(sums, taps, V{});
    for (int64_t n = first; n < last; ++n) {
      const int64_t image = n * g.rows.extent * g.columns.extent * C + c;
      window.open(x + image, gate ? gate + image : nullptr, C);
      for (int64_t i = 0; i < g.rows.positions; ++i) {
        window.advance(i);
        const TapRows<V> rows(window, g.rows, i);
        const T* from = grad_y + g.target_pixel(n, i, 0) * C + c;
        for (int64_t j = 0; j < g.columns.positions; j += kOutputs, from += kOutputs * C) {
          const int64_t count = g.columns.positions - j;
          V dy[kOutputs];
#pragma GCC unroll 16
          for (int k = 0; k < kOutputs; ++k) dy[k] = k < count ? V::load(from + k * C) : V{};
          for (int64_t r = 0; r < rows.count; ++r)
            Taps::weight_grad(layout.taps, rows.x[r] + j, dy, sums + rows.tap[r] * kernel_w);
        }
      }
    }
    for (int64_t t = 0; t < taps; ++t) sums[t].store(partial + t * C + c);
  }
}

// The images of block `block`.
struct Block {
  Block(const Conv2dShape& s, int64_t block)
      : first(block * s.N / weight_grad_blocks(s)),
        last((block + 1) * s.N / weight_grad_blocks(s)) {}
  int64_t first, last;
};

// weight_grad(block) for every block, in parallel with `others`(block).
template <typename T, typename Others>
void for_weight_grad_blocks(CpuContext& ctx,
                            const Conv2dShape& s,
                            const T* x,
                            const T* gate,
                            const T* grad_y,
                            T* partials,
                            const Others& others) {
  const Gather g = forward_gather(s);
  const WindowLayout layout(g);
  with_taps(layout.taps, [&](auto taps) {
    ctx.parallel(weight_grad_blocks(s), [&](int64_t index) {
      const Block block(s, index);
      others(block);
      for_vector_ranges<T>(0, s.C, [&](auto tag, int64_t begin, int64_t end) {
        weight_grad_images<decltype(taps), typename decltype(tag)::type>(
            g,
            layout,
            block.first,
            block.last,
            begin,
            end,
            x,
            gate,
            grad_y,
            partials + index * weight_size(s));
      });
    });
  });
}

template <typename T>
void weight_grad(CpuContext& ctx,
                 const Conv2dShape& s,
                 const T* x,
                 const T* gate,
                 const T* grad_y,
                 T* partials) {
  for_weight_grad_blocks(ctx, s, x, gate, grad_y, partials, [](const Block&) {});
}

template <typename T>
void backward(CpuContext& ctx,
              const Conv2dShape& s,
              const T* x,
              const T* gate,
              const T* grad_y,
              const T* w,
              T* grad_x,
              T* partials) {
  for_weight_grad_blocks(ctx, s, x, gate, grad_y, partials, [&](const Block& block) {
    for_adjoint_gathers(s, [&](const Gather& g) {
      const WindowLayout layout(g);
      const Correlation<T> correlation{g, layout, s.kernel_w, grad_y, nullptr, w, grad_x, gate};
      with_taps(layout.taps, [&](auto taps) {
        for (int64_t n = block.first; n < block.last; ++n)
          correlation.band(taps, n, 0, g.rows.positions);
      });
    });
  });
}

bool supports(const Conv2dShape& s) {
  if (s.groups != s.C || s.out_C != s.C) return false;
  bool fits = WindowLayout(forward_gather(s)).fits();
  for_adjoint_gathers(s, [&](const Gather& g) { fits = fits && WindowLayout(g).fits(); });
  return fits;
}

}  // namespace

template <typename T>
Conv2dWay<T> depthwise_way() {
  return {supports, forward<T>, input_grad<T>, weight_grad<T>, backward<T>};
}
template Conv2dWay<float> depthwise_way();
template Conv2dWay<double> depthwise_way();

}  // namespace oche::kernels
