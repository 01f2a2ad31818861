// Max and average pooling and their adjoints on the CPU. A task owns whole rows of what it writes:
// rows of y in the forward direction, rows of grad_x in the adjoint one, which gathers. A row is
// cut into runs of neighbouring pixels that all read the same number of pixels at the same
// distances, so that a kernel is one loop over the elements of a run, a whole window in registers.
#include "kernels/pool2d.h"

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/simd.h"

namespace oche::kernels {
namespace {

// What a pixel reads along one axis: the source pixels begin + i, i < size, through tap(i).
struct Axis {
  int64_t begin, size, first_tap, tap_step;
  int64_t tap(int64_t i) const { return first_tap + i * tap_step; }
};

// An output reads the input pixels in its window.
Axis window_of(const Pool2dShape& s, int64_t p, int64_t extent) {
  const int64_t start = p * s.stride - s.padding, begin = std::max<int64_t>(0, start);
  return {begin, std::min(extent, start + s.kernel) - begin, begin - start, 1};
}

// An input pixel h reads the windows over it: 0 <= h + padding - p * stride < kernel.
Axis windows_over(const Pool2dShape& s, int64_t h, int64_t windows) {
  const int64_t at = h + s.padding;
  const int64_t begin = ceil_div(std::max<int64_t>(0, at - s.kernel + 1), s.stride);
  return {begin,
          std::max<int64_t>(0, std::min(windows, at / s.stride + 1) - begin),
          at - begin * s.stride,
          -s.stride};
}

// `size` elements from `target` on, each of which reads `count` source elements: element j reads
// offset[k] + j through tap[k], in scan order.
struct Run {
  static constexpr int64_t kMaxTaps = 256;
  int64_t target, size, count = 0;
  Axis rows, columns;  // of the first pixel
  int64_t offset[kMaxTaps];
  int tap[kMaxTaps];
};

// body(run) for the runs that make up N images of height x width, which read from images of
// source_h x source_w what axis(shape, pixel, extent) says; neighbours share a run if alike(one's
// axis, the other's).
template <typename MakeAxis, typename Alike, typename Body>
void for_runs(CpuContext& ctx,
              const Pool2dShape& s,
              int64_t height,
              int64_t width,
              int64_t source_h,
              int64_t source_w,
              const MakeAxis& axis,
              const Alike& alike,
              const Body& body) {
  const auto follows = [&](const Axis& first, int64_t q, int64_t distance) {
    const Axis next = axis(s, q, source_w);
    return next.size == first.size && next.begin == first.begin + distance &&
           next.first_tap == first.first_tap && alike(first, next);
  };
  const int64_t block = items_per_task(width * s.C * s.kernel);
  for_blocks(ctx, s.N * height, block, [&](int64_t begin, int64_t end) {
    Run run;
    for (int64_t q = 0, pixels; q < width; q += pixels) {
      run.columns = axis(s, q, source_w);
      pixels = 1;
      while (q + pixels < width && follows(run.columns, q + pixels, pixels)) ++pixels;
      run.size = pixels * s.C;
      for (int64_t at = begin; at < end; ++at) {
        run.target = (at * width + q) * s.C;
        run.rows = axis(s, at % height, source_h);
        run.count = 0;
        for (int64_t i = 0; i < run.rows.size; ++i) {
          const int64_t row = at / height * source_h + run.rows.begin + i;
          for (int64_t j = 0; j < run.columns.size; ++j, ++run.count) {
            run.offset[run.count] = (row * source_w + run.columns.begin + j) * s.C;
            run.tap[run.count] = static_cast<int>(run.rows.tap(i) * s.kernel + run.columns.tap(j));
          }
        }
        body(run);
      }
    }
  });
}

template <typename Body>
void for_output_runs(CpuContext& ctx, const Pool2dShape& s, const Body& body) {
  const auto alike = [](const Axis&, const Axis&) { return true; };
  for_runs(ctx, s, s.out_h(), s.out_w(), s.H, s.W, window_of, alike, body);
}
// In a run the k-th windows over all pixels hold equally many inputs.
template <typename Body>
void for_input_runs(CpuContext& ctx, const Pool2dShape& s, const Body& body) {
  const auto alike = [&](const Axis& a, const Axis& b) {
    for (int64_t i = 0; i < a.size; ++i)
      if (window_of(s, a.begin + i, s.W).size != window_of(s, b.begin + i, s.W).size) return false;
    return true;
  };
  for_runs(ctx, s, s.H, s.W, s.out_h(), s.out_w(), windows_over, alike, body);
}

// body(VecTag<V>, j, taps) for the vectors of a run; taps(visit) calls visit(k) for k < run.count.
template <typename T, typename Body>
void for_elements(const Run& run, const Body& body) {
  constexpr int kUsual = 9;
  if (run.count == kUsual) {
    for_channels<T>(0, run.size, [&](auto tag, int64_t j) {
      body(tag, j, [](const auto& visit) {
#pragma GCC unroll 16
        for (int k = 0; k < kUsual; ++k) visit(k);
      });
    });
  } else {
    for_channels<T>(0, run.size, [&](auto tag, int64_t j) {
      body(tag, j, [&](const auto& visit) {
        for (int64_t k = 0; k < run.count; ++k) visit(k);
      });
    });
  }
}

}  // namespace

template <typename T>
void max_pool2d_forward(CpuContext& ctx, const Pool2dShape& s, const T* x, T* y, uint8_t* index) {
  for_output_runs(ctx, s, [=](const Run& run) {
    for_elements<T>(run, [=, &run](auto tag, int64_t j, const auto& taps) {
      using V = typename decltype(tag)::type;
      V best = V::load(x + run.offset[0] + j);
      auto winner = V::Int::broadcast(run.tap[0]);
      taps([&](int64_t k) {
        const V candidate = V::load(x + run.offset[k] + j);
        // <= does not hold for a NaN, which therefore wins, and then stays.
        const auto stays = (candidate.v <= best.v) | (best.v != best.v);
        best.v = stays ? best.v : candidate.v;
        winner.v = stays ? winner.v : V::Int::broadcast(run.tap[k]).v;
      });
      best.store(y + run.target + j);
      store_bytes(winner, index + run.target + j);
    });
  });
}

template <typename T>
void max_pool2d_gather(
    CpuContext& ctx, const Pool2dShape& s, const T* x, const uint8_t* index, T* y) {
  for_output_runs(ctx, s, [=](const Run& run) {
    for_elements<T>(run, [=, &run](auto tag, int64_t j, const auto& taps) {
      using V = typename decltype(tag)::type;
      const auto winner = load_bytes<typename V::Int>(index + run.target + j);
      V value{};
      taps([&](int64_t k) {
        const V candidate = V::load(x + run.offset[k] + j);
        value.v = winner.v == V::Int::broadcast(run.tap[k]).v ? candidate.v : value.v;
      });
      value.store(y + run.target + j);
    });
  });
}

template <typename T>
void max_pool2d_scatter(
    CpuContext& ctx, const Pool2dShape& s, const T* grad_y, const uint8_t* index, T* grad_x) {
  for_input_runs(ctx, s, [=](const Run& run) {
    for_elements<T>(run, [=, &run](auto tag, int64_t j, const auto& taps) {
      using V = typename decltype(tag)::type;
      V sum{};
      taps([&](int64_t k) {
        const int64_t at = run.offset[k] + j;
        const auto winner = load_bytes<typename V::Int>(index + at);
        const V g = V::load(grad_y + at);
        sum.v += winner.v == V::Int::broadcast(run.tap[k]).v ? g.v : V{}.v;
      });
      sum.store(grad_x + run.target + j);
    });
  });
}

template <typename T>
void avg_pool2d_forward(CpuContext& ctx, const Pool2dShape& s, const T* x, T* y) {
  for_output_runs(ctx, s, [=](const Run& run) {
    const T count = static_cast<T>(run.count);
    for_elements<T>(run, [=, &run](auto tag, int64_t j, const auto& taps) {
      using V = typename decltype(tag)::type;
      V sum{};
      taps([&](int64_t k) { sum = sum + V::load(x + run.offset[k] + j); });
      V{sum.v / V::broadcast(count).v}.store(y + run.target + j);
    });
  });
}

template <typename T>
void avg_pool2d_backward(CpuContext& ctx, const Pool2dShape& s, const T* grad_y, T* grad_x) {
  for_input_runs(ctx, s, [=](const Run& run) {
    T share[Run::kMaxTaps];  // of an input in the average of each window over it
    for (int64_t i = 0, k = 0; i < run.rows.size; ++i) {
      const int64_t rows = window_of(s, run.rows.begin + i, s.H).size;
      for (int64_t j = 0; j < run.columns.size; ++j, ++k)
        share[k] = 1 / static_cast<T>(rows * window_of(s, run.columns.begin + j, s.W).size);
    }
    const bool equal =
        std::all_of(share, share + run.count, [&](T other) { return other == *share; });
    const auto average = [&](const auto& weighted, T factor) {
      for_elements<T>(run, [=, &run](auto tag, int64_t j, const auto& taps) {
        using V = typename decltype(tag)::type;
        V sum{};
        taps([&](int64_t k) { sum = weighted(V::load(grad_y + run.offset[k] + j), k, sum); });
        V{sum.v * factor}.store(grad_x + run.target + j);
      });
    };
    if (equal && run.count > 0) {  // nearly everywhere
      average([](auto g, int64_t, auto sum) { return sum + g; }, *share);
    } else {
      average(
          [&](auto g, int64_t k, auto sum) {
            return fma(g, decltype(g)::broadcast(share[k]), sum);
          },
          1);
    }
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
