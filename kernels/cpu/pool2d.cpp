// Max and average pooling and their adjoints on the CPU. A task owns whole rows of what it writes:
// rows of y in the forward direction, rows of grad_x in the adjoint one, which gathers. For each
// tap a row of y meets a row of x in runs of contiguous elements; every kernel is a loop over such
// runs.
#include "kernels/pool2d.h"

#include <limits>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// The taps of window p that fall inside an image of `extent` pixels.
Range taps_inside(const Pool2dShape& s, int64_t p, int64_t extent) {
  const int64_t start = p * s.stride - s.padding;
  return {std::max<int64_t>(0, -start), std::min(s.kernel, extent - start)};
}

// The windows whose tap t falls inside an image of `extent` pixels: 0 <= p * stride - padding + t <
// extent.
Range windows_inside(const Pool2dShape& s, int64_t t, int64_t extent, int64_t windows) {
  const int64_t first = std::max<int64_t>(0, s.padding - t);
  const int64_t last = std::max<int64_t>(0, extent + s.padding - t);
  return {ceil_div(first, s.stride), std::min(windows, ceil_div(last, s.stride))};
}

// The windows that cover pixel h: 0 <= h + padding - p * stride < kernel.
Range windows_over(const Pool2dShape& s, int64_t h, int64_t windows) {
  const int64_t at = h + s.padding;
  return {ceil_div(std::max<int64_t>(0, at - s.kernel + 1), s.stride),
          std::min(windows, at / s.stride + 1)};
}

// Pixels q, q + 1, ... of a row of y that meet neighbouring pixels of a row of x at one tap: `size`
// elements from y[y] and from x[x].
struct Run {
  int64_t p, q, y, x, size;
  uint8_t tap;
};

// visit(run) for the runs in which row p of y meets row h of x, image n, columns of the window in
// order.
template <typename Visit>
void visit_runs(const Pool2dShape& s, int64_t n, int64_t p, int64_t h, const Visit& visit) {
  const int64_t out_w = s.out_w(), r = h + s.padding - p * s.stride;
  const int64_t y_row = (n * s.out_h() + p) * out_w, x_row = (n * s.H + h) * s.W;
  for (int64_t t = 0; t < s.kernel; ++t) {
    const Range Q = windows_inside(s, t, s.W, out_w);
    const int64_t pixels =
        s.stride == 1 ? Q.size() : 1;  // with a stride, no two are neighbours in x
    for (int64_t q = Q.begin; q < Q.end; q += pixels) {
      visit(Run{.p = p,
                .q = q,
                .y = (y_row + q) * s.C,
                .x = (x_row + q * s.stride - s.padding + t) * s.C,
                .size = pixels * s.C,
                .tap = static_cast<uint8_t>(r * s.kernel + t)});
    }
  }
}

// visit(run) for all taps of row p of y, in scan order.
template <typename Visit>
void visit_output_row(const Pool2dShape& s, int64_t n, int64_t p, const Visit& visit) {
  const Range rows = taps_inside(s, p, s.H);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    visit_runs(s, n, p, p * s.stride - s.padding + r, visit);
  }
}

// visit(run) for all windows over row h of x, in scan order.
template <typename Visit>
void visit_input_row(const Pool2dShape& s, int64_t n, int64_t h, const Visit& visit) {
  const Range P = windows_over(s, h, s.out_h());
  for (int64_t p = P.begin; p < P.end; ++p) visit_runs(s, n, p, h, visit);
}

// body(n, row, first) for the rows of N images of `height` rows of `size` elements; `first` is a
// row's first element.
template <typename Body>
void for_rows(
    CpuContext& ctx, const Pool2dShape& s, int64_t height, int64_t size, const Body& body) {
  for_blocks(ctx, s.N * height, items_per_task(size * s.kernel), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row / height, row % height, row * size);
  });
}

// The loops over runs. Free functions, because compilers honour __restrict on parameters only.

template <typename T>
void keep_larger(
    int64_t n, uint8_t tap, const T* __restrict x, T* __restrict best, uint8_t* __restrict winner) {
  for (int64_t j = 0; j < n; ++j) {
    const T candidate = x[j], champion = best[j];
    const uint8_t former = winner[j];
    // <= does not hold for a NaN, which therefore wins, and then stays.
    const bool stays = (candidate <= champion) | (champion != champion);
    best[j] = stays ? champion : candidate;
    winner[j] = stays ? former : tap;
  }
}

template <typename T>
void copy_winners(int64_t n,
                  uint8_t tap,
                  const T* __restrict x,
                  const uint8_t* __restrict winner,
                  T* __restrict y) {
  for (int64_t j = 0; j < n; ++j) {
    const T value = x[j], other = y[j];
    y[j] = winner[j] == tap ? value : other;
  }
}

template <typename T>
void add_winners(int64_t n,
                 uint8_t tap,
                 const T* __restrict g,
                 const uint8_t* __restrict winner,
                 T* __restrict sum) {
  for (int64_t j = 0; j < n; ++j) {
    const T value = g[j];
    sum[j] += winner[j] == tap ? value : T(0);
  }
}

template <typename T>
void add(int64_t n, const T* __restrict x, T* __restrict sum) {
  for (int64_t j = 0; j < n; ++j) sum[j] += x[j];
}

template <typename T>
void add_scaled(int64_t n, T scale, const T* __restrict x, T* __restrict sum) {
  for (int64_t j = 0; j < n; ++j) sum[j] += scale * x[j];
}

}  // namespace

template <typename T>
void max_pool2d_forward(CpuContext& ctx, const Pool2dShape& s, const T* x, T* y, uint8_t* index) {
  const int64_t out_w = s.out_w();
  for_rows(ctx, s, s.out_h(), out_w * s.C, [=](int64_t n, int64_t p, int64_t first) {
    std::fill(y + first, y + first + out_w * s.C, -std::numeric_limits<T>::infinity());
    const int64_t r = taps_inside(s, p, s.H).begin;
    for (int64_t q = 0; q < out_w; ++q) {  // what wins when all are -infinity
      const int64_t tap = r * s.kernel + taps_inside(s, q, s.W).begin;
      std::fill_n(index + first + q * s.C, s.C, static_cast<uint8_t>(tap));
    }
    visit_output_row(s, n, p, [=](const Run& run) {
      keep_larger(run.size, run.tap, x + run.x, y + run.y, index + run.y);
    });
  });
}

template <typename T>
void max_pool2d_gather(
    CpuContext& ctx, const Pool2dShape& s, const T* x, const uint8_t* index, T* y) {
  const int64_t size = s.out_w() * s.C;
  for_rows(ctx, s, s.out_h(), size, [=](int64_t n, int64_t p, int64_t first) {
    std::fill_n(y + first, size, T(0));
    visit_output_row(s, n, p, [=](const Run& run) {
      copy_winners(run.size, run.tap, x + run.x, index + run.y, y + run.y);
    });
  });
}

template <typename T>
void max_pool2d_scatter(
    CpuContext& ctx, const Pool2dShape& s, const T* grad_y, const uint8_t* index, T* grad_x) {
  const int64_t size = s.W * s.C;
  for_rows(ctx, s, s.H, size, [=](int64_t n, int64_t h, int64_t first) {
    std::fill_n(grad_x + first, size, T(0));
    visit_input_row(s, n, h, [=](const Run& run) {
      add_winners(run.size, run.tap, grad_y + run.y, index + run.y, grad_x + run.x);
    });
  });
}

template <typename T>
void avg_pool2d_forward(CpuContext& ctx, const Pool2dShape& s, const T* x, T* y) {
  const int64_t out_w = s.out_w();
  for_rows(ctx, s, s.out_h(), out_w * s.C, [=](int64_t n, int64_t p, int64_t first) {
    std::fill_n(y + first, out_w * s.C, T(0));
    visit_output_row(s, n, p, [=](const Run& run) { add(run.size, x + run.x, y + run.y); });
    const int64_t rows = taps_inside(s, p, s.H).size();
    for (int64_t q = 0; q < out_w; ++q) {
      const T count = static_cast<T>(rows * taps_inside(s, q, s.W).size());
      T* out = y + first + q * s.C;
      for (int64_t c = 0; c < s.C; ++c) out[c] /= count;
    }
  });
}

template <typename T>
void avg_pool2d_backward(CpuContext& ctx, const Pool2dShape& s, const T* grad_y, T* grad_x) {
  const int64_t size = s.W * s.C;
  // The windows whose columns all lie inside share a divisor; a run is cut where it leaves them.
  const Range whole{windows_inside(s, 0, s.W, s.out_w()).begin,
                    windows_inside(s, s.kernel - 1, s.W, s.out_w()).end};
  for_rows(ctx, s, s.H, size, [=](int64_t n, int64_t h, int64_t first) {
    std::fill_n(grad_x + first, size, T(0));
    visit_input_row(s, n, h, [=](const Run& run) {
      const int64_t rows = taps_inside(s, run.p, s.H).size();
      for (int64_t at = 0, q = run.q; at < run.size;) {
        const bool inside = whole.begin <= q && q < whole.end;
        const int64_t piece = std::min(run.size - at, (inside ? whole.end - q : 1) * s.C);
        const T share = 1 / static_cast<T>(rows * taps_inside(s, q, s.W).size());
        add_scaled(piece, share, grad_y + run.y + at, grad_x + run.x + at);
        at += piece;
        q += piece / s.C;
      }
    });
  });
}

#define OCHE_INSTANTIATE(T)                                                                        \
  template void max_pool2d_forward(CpuContext&, const Pool2dShape&, const T*, T*, uint8_t*);       \
  template void max_pool2d_gather(CpuContext&, const Pool2dShape&, const T*, const uint8_t*, T*);  \
  template void max_pool2d_scatter(CpuContext&, const Pool2dShape&, const T*, const uint8_t*, T*); \
  template void avg_pool2d_forward(CpuContext&, const Pool2dShape&, const T*, T*);                 \
  template void avg_pool2d_backward(CpuContext&, const Pool2dShape&, const T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
