// Max and average pooling and their adjoints on a CUDA device. A thread has a few channels of one
// pixel of what it writes; the adjoints gather from the windows that cover an input pixel.
#include "kernels/cuda/channels.cuh"
#include "kernels/pool2d.h"

namespace oche::kernels {
namespace {

using namespace cuda;

// A Pool2dShape as kernels read it.
struct Extents {
  explicit Extents(const Pool2dShape& s)
      : N(s.N),
        C(s.C),
        H(static_cast<int>(s.H)),
        W(static_cast<int>(s.W)),
        out_h(static_cast<int>(s.out_h())),
        out_w(static_cast<int>(s.out_w())),
        kernel(static_cast<int>(s.kernel)),
        stride(static_cast<int>(s.stride)),
        padding(static_cast<int>(s.padding)) {}

  int64_t N, C;
  int H, W, out_h, out_w, kernel, stride, padding;
};

// What a pixel reads along one axis: the source pixels from `begin` up to `end`, the first through
// tap `tap`, the next each `step` further.
struct Reach {
  int begin, end, tap, step;
};
// An output reads the inputs in its window.
__device__ inline Reach window_of(const Extents& e, int p, int extent) {
  const int start = p * e.stride - e.padding, begin = start > 0 ? start : 0;
  const int end = start + e.kernel < extent ? start + e.kernel : extent;
  return {begin, end, begin - start, 1};
}
// An input reads the windows over it: 0 <= h + padding - p * stride < kernel.
__device__ inline Reach windows_over(const Extents& e, int h, int windows) {
  const int at = h + e.padding, past = at - e.kernel + e.stride;  // of the first: its ceiling
  const int begin = past > 0 ? past / e.stride : 0;
  const int last = at / e.stride, end = last + 1 < windows ? last + 1 : windows;
  return {begin, end, at - begin * e.stride, -e.stride};
}

// One pixel and the channels from `channel` on, `count` of which exist.
struct Place {
  int64_t n, channel, count;
  int row, column;
};
__device__ inline Place place(
    int64_t i, int64_t vectors, int width, int rows, int columns, int64_t C) {
  Place at;
  at.channel = take(i, vectors) * width;
  at.count = C - at.channel;
  at.column = static_cast<int>(take(i, columns));
  at.row = static_cast<int>(take(i, rows));
  at.n = i;
  return at;
}

// visit(offset, tap, row, column) for the source pixels that a pixel reads, in scan order: where
// their channel `channel` is, and the tap r * kernel + s that leads to them.
template <typename Visit>
__device__ void for_taps(const Extents& e,
                         const Reach& rows,
                         const Reach& columns,
                         int64_t image_row,  // the first row of the source image
                         int width,
                         int64_t channel,
                         const Visit& visit) {
  int row_tap = rows.tap;
  for (int h = rows.begin; h < rows.end; ++h, row_tap += rows.step) {
    int tap = row_tap * e.kernel + columns.tap;
    int64_t offset = ((image_row + h) * width + columns.begin) * e.C + channel;
#pragma unroll 4
    for (int column = columns.begin; column < columns.end; ++column) {
      visit(offset, tap, h, column);
      tap += columns.step;
      offset += e.C;
    }
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    max_pool2d_forward_kernel(Extents e, const T* x, T* y, uint8_t* index) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t vectors = (e.C + kWidth - 1) / kWidth, items = e.N * e.out_h * e.out_w * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Place at = place(i, vectors, kWidth, e.out_h, e.out_w, e.C);
    const Reach rows = window_of(e, at.row, e.H), columns = window_of(e, at.column, e.W);
    Vec<T> best{};
    Vec<uint8_t, kWidth> winner{};
    bool first = true;
    for_taps(e, rows, columns, at.n * e.H, e.W, at.channel, [&](int64_t offset, int tap, int, int) {
      const Vec<T> value = load_channels<kVector, kWidth>(x + offset, at.count);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        // <= does not hold for a NaN, which therefore wins, and then stays.
        if (!first && (value[j] <= best[j] || best[j] != best[j])) continue;
        best[j] = value[j];
        winner[j] = static_cast<uint8_t>(tap);
      }
      first = false;
    });
    const int64_t to = ((at.n * e.out_h + at.row) * e.out_w + at.column) * e.C + at.channel;
    store_channels<kVector>(best, y + to, at.count);
    store_channels<kVector>(winner, index + to, at.count);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    max_pool2d_gather_kernel(Extents e, const T* x, const uint8_t* index, T* y) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t vectors = (e.C + kWidth - 1) / kWidth, items = e.N * e.out_h * e.out_w * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Place at = place(i, vectors, kWidth, e.out_h, e.out_w, e.C);
    const int64_t to = ((at.n * e.out_h + at.row) * e.out_w + at.column) * e.C + at.channel;
    const auto winner = load_channels<kVector, kWidth>(index + to, at.count);
    Vec<T> value{};
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const int tap = winner[j], r = tap / e.kernel, s = tap - r * e.kernel;
      const int h = at.row * e.stride - e.padding + r,
                column = at.column * e.stride - e.padding + s;
      if (j >= at.count || r >= e.kernel || h < 0 || h >= e.H || column < 0 || column >= e.W)
        continue;
      value[j] = x[((at.n * e.H + h) * e.W + column) * e.C + at.channel + j];
    }
    store_channels<kVector>(value, y + to, at.count);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    max_pool2d_scatter_kernel(Extents e, const T* grad_y, const uint8_t* index, T* grad_x) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t vectors = (e.C + kWidth - 1) / kWidth, items = e.N * e.H * e.W * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Place at = place(i, vectors, kWidth, e.H, e.W, e.C);
    const Reach rows = windows_over(e, at.row, e.out_h);
    const Reach columns = windows_over(e, at.column, e.out_w);
    Vec<T> sum{};
    for_taps(e,
             rows,
             columns,
             at.n * e.out_h,
             e.out_w,
             at.channel,
             [&](int64_t offset, int tap, int, int) {
               const auto winner = load_channels<kVector, kWidth>(index + offset, at.count);
               const auto g = load_channels<kVector, kWidth>(grad_y + offset, at.count);
#pragma unroll
               for (int j = 0; j < kWidth; ++j) sum[j] += winner[j] == tap ? g[j] : T(0);
             });
    const int64_t to = ((at.n * e.H + at.row) * e.W + at.column) * e.C + at.channel;
    store_channels<kVector>(sum, grad_x + to, at.count);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    avg_pool2d_forward_kernel(Extents e, const T* x, T* y) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t vectors = (e.C + kWidth - 1) / kWidth, items = e.N * e.out_h * e.out_w * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Place at = place(i, vectors, kWidth, e.out_h, e.out_w, e.C);
    const Reach rows = window_of(e, at.row, e.H), columns = window_of(e, at.column, e.W);
    const T count = static_cast<T>((rows.end - rows.begin) * (columns.end - columns.begin));
    Vec<T> sum{};
    for_taps(e, rows, columns, at.n * e.H, e.W, at.channel, [&](int64_t offset, int, int, int) {
      const auto value = load_channels<kVector, kWidth>(x + offset, at.count);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += value[j];
    });
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[j] /= count;
    const int64_t to = ((at.n * e.out_h + at.row) * e.out_w + at.column) * e.C + at.channel;
    store_channels<kVector>(sum, y + to, at.count);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    avg_pool2d_backward_kernel(Extents e, const T* grad_y, T* grad_x) {
  constexpr int kWidth = Vec<T>::kWidth;
  const int64_t vectors = (e.C + kWidth - 1) / kWidth, items = e.N * e.H * e.W * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Place at = place(i, vectors, kWidth, e.H, e.W, e.C);
    const Reach rows = windows_over(e, at.row, e.out_h);
    const Reach columns = windows_over(e, at.column, e.out_w);
    Vec<T> sum{};
    for_taps(e,
             rows,
             columns,
             at.n * e.out_h,
             e.out_w,
             at.channel,
             [&](int64_t offset, int, int p, int q) {
               const Reach down = window_of(e, p, e.H), right = window_of(e, q, e.W);
               const T share =
                   1 / static_cast<T>((down.end - down.begin) * (right.end - right.begin));
               const auto g = load_channels<kVector, kWidth>(grad_y + offset, at.count);
#pragma unroll
               for (int j = 0; j < kWidth; ++j) sum[j] = ::fma(g[j], share, sum[j]);
             });
    const int64_t to = ((at.n * e.H + at.row) * e.W + at.column) * e.C + at.channel;
    store_channels<kVector>(sum, grad_x + to, at.count);
  }
}

template <typename T>
int64_t input_items(const Pool2dShape& s) {
  return s.N * s.H * s.W * ((s.C + Vec<T>::kWidth - 1) / Vec<T>::kWidth);
}
template <typename T>
int64_t output_items(const Pool2dShape& s) {
  return s.N * s.out_h() * s.out_w() * ((s.C + Vec<T>::kWidth - 1) / Vec<T>::kWidth);
}

// visit(true as a type) if whole vectors of T and of as many bytes fit C and the pointers.
template <typename T, typename Visit, typename... Pointers>
void with_vectors(const Pool2dShape& s, const Visit& visit, const Pointers*... p) {
  constexpr int kWidth = Vec<T>::kWidth;
  with_bool(s.C % kWidth == 0 && (... && aligned<kWidth>(p)), visit);
}

template <typename T, typename Kernel, typename... Arguments>
void run(
    CudaContext& ctx, const Pool2dShape& s, int64_t items, Kernel kernel, Arguments... arguments) {
  const unsigned grid = grid_size(ctx, items);
  CU_LAUNCH(kernel, grid, kBlockSize, 0, ctx.stream(), Extents(s), arguments...);
}

}  // namespace

template <typename T>
void max_pool2d_forward(CudaContext& ctx, const Pool2dShape& s, const T* x, T* y, uint8_t* index) {
  const auto visit = [&](auto whole) {
    run<T>(ctx, s, output_items<T>(s), max_pool2d_forward_kernel<whole, T>, x, y, index);
  };
  with_vectors<T>(s, visit, x, y, index);
}

template <typename T>
void max_pool2d_gather(
    CudaContext& ctx, const Pool2dShape& s, const T* x, const uint8_t* index, T* y) {
  const auto visit = [&](auto whole) {
    run<T>(ctx, s, output_items<T>(s), max_pool2d_gather_kernel<whole, T>, x, index, y);
  };
  with_vectors<T>(s, visit, index, y);
}

template <typename T>
void max_pool2d_scatter(
    CudaContext& ctx, const Pool2dShape& s, const T* grad_y, const uint8_t* index, T* grad_x) {
  const auto visit = [&](auto whole) {
    run<T>(ctx, s, input_items<T>(s), max_pool2d_scatter_kernel<whole, T>, grad_y, index, grad_x);
  };
  with_vectors<T>(s, visit, grad_y, index, grad_x);
}

template <typename T>
void avg_pool2d_forward(CudaContext& ctx, const Pool2dShape& s, const T* x, T* y) {
  const auto visit = [&](auto whole) {
    run<T>(ctx, s, output_items<T>(s), avg_pool2d_forward_kernel<whole, T>, x, y);
  };
  with_vectors<T>(s, visit, x, y);
}

template <typename T>
void avg_pool2d_backward(CudaContext& ctx, const Pool2dShape& s, const T* grad_y, T* grad_x) {
  const auto visit = [&](auto whole) {
    run<T>(ctx, s, input_items<T>(s), avg_pool2d_backward_kernel<whole, T>, grad_y, grad_x);
  };
  with_vectors<T>(s, visit, grad_y, grad_x);
}

#define OCHE_INSTANTIATE(T)                                                                        \
  template void max_pool2d_forward(CudaContext&, const Pool2dShape&, const T*, T*, uint8_t*);      \
  template void max_pool2d_gather(CudaContext&, const Pool2dShape&, const T*, const uint8_t*, T*); \
  template void max_pool2d_scatter(                                                                \
      CudaContext&, const Pool2dShape&, const T*, const uint8_t*, T*);                             \
  template void avg_pool2d_forward(CudaContext&, const Pool2dShape&, const T*, T*);                \
  template void avg_pool2d_backward(CudaContext&, const Pool2dShape&, const T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
