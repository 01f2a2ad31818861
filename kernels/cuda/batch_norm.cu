// Batch normalisation over the rows of a (rows, C) matrix on a CUDA device.
#include <cmath>

#include "kernels/batch_norm.h"
#include "kernels/cuda/batch_norm_sums.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

// Merges the blocks of a channel. The mean first: the blocks' deviations from it then add up
// without cancellation. share, last_share: one over the rows of a block, and of the last one.
template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    merge_statistics_kernel(int64_t rows,
                            int64_t C,
                            int step,
                            double share,
                            double last_share,
                            int lanes,
                            const T* __restrict__ x,
                            const double* __restrict__ sums,
                            T* __restrict__ mean,
                            T* __restrict__ var) {
  const double all = rows > 0 ? static_cast<double>(rows) : 1.0;
  const Team<false> team(lanes);
  team.for_items(C, [&](int64_t c, bool live) {
    // body(rows, one over them, first element, sum of u, sum of v) for the blocks of this lane
    const auto each = [&](const auto& body) {
      if (!live) return;
      for (int64_t b = team.lane; b * step < rows; b += lanes) {
        const int64_t first = b * step, rest = rows - first;
        const double* const u = sums + 2 * b * C + c;
        body(static_cast<double>(rest < step ? rest : step),
             rest > step ? share : last_share,
             static_cast<double>(x[first * C + c]),
             u[0],
             u[C]);
      }
    };
    double total[1] = {0};
    each([&](double count, double, double shift, double u, double) {
      total[0] += fma(count, shift, u);
    });
    team.merge(total, Plus{});
    const double centre = total[0] / all;
    double spread[1] = {0};
    each([&](double count, double inverse, double shift, double u, double v) {
      // Of the block: d is how far its mean is from its first element, then from that of all.
      double d = u * inverse;
      const double within = v - d * u;
      d = d + (shift - centre);
      spread[0] += fma(d * d, count, within);
    });
    team.merge(spread, Plus{});
    if (live && team.lane == 0) {
      mean[c] = static_cast<T>(centre);
      var[c] = static_cast<T>((spread[0] < 0 ? 0.0 : spread[0]) / all);
    }
  });
}

template <typename T>
__device__ T inverse_deviation(T var, T eps) {
  return 1 / std::sqrt(var + eps);
}

// Adds up the blocks of a channel; the sums of all rows take the place of the first block's.
template <typename T>
__global__ void __launch_bounds__(kBlockSize) merge_gradients_kernel(int64_t blocks,
                                                                     int64_t C,
                                                                     int lanes,
                                                                     T eps,
                                                                     const T* __restrict__ var,
                                                                     double* sums,
                                                                     T* __restrict__ grad_weight,
                                                                     T* __restrict__ grad_bias) {
  const Team<false> team(lanes);
  team.for_items(C, [&](int64_t c, bool live) {
    double total[2] = {};
    for (int64_t b = team.lane; live && b < blocks; b += lanes) {
      total[0] += sums[2 * b * C + c];
      total[1] += sums[(2 * b + 1) * C + c];
    }
    team.merge(total, Plus{});
    if (live && team.lane == 0) {
      // Without rows there is no variance either.
      grad_bias[c] = static_cast<T>(total[0]);
      grad_weight[c] =
          blocks > 0 ? static_cast<T>(total[1] * inverse_deviation(var[c], eps)) : T(0);
      if (blocks > 0) {
        sums[c] = total[0];
        sums[C + c] = total[1];
      }
    }
  });
}

// A thread keeps W columns, and goes through the rows of its block's strip: thread / width,
// + rows_at_once, ...
struct Strip {
  int64_t column, row, step;
  bool live;

  // `width` threads side by side, at most the block.
  __device__ Strip(int64_t columns, int width) {
    const int thread = static_cast<int>(threadIdx.x), lanes = kBlockSize / width;
    const int lane = thread / width;
    column = static_cast<int64_t>(blockIdx.y) * width + (thread - lane * width);
    row = static_cast<int64_t>(blockIdx.x) * lanes + lane;
    step = static_cast<int64_t>(gridDim.x) * lanes;
    live = lane < lanes && column < columns;
  }
};

template <int W, typename T>
__global__ void __launch_bounds__(kBlockSize)
    batch_norm_forward_kernel(int64_t rows,
                              int64_t columns,
                              int width,
                              T eps,
                              const T* __restrict__ x,
                              const T* __restrict__ mean,
                              const T* __restrict__ var,
                              const T* __restrict__ weight,
                              const T* __restrict__ bias,
                              T* __restrict__ y) {
  const Strip strip(columns, width);
  if (!strip.live) return;
  T centre[W], scale[W], shift[W];
#pragma unroll
  for (int j = 0; j < W; ++j) {
    const int64_t c = strip.column * W + j;
    centre[j] = mean[c];
    scale[j] = inverse_deviation(var[c], eps) * (weight ? weight[c] : T(1));
    shift[j] = bias ? bias[c] : T(0);
  }
#pragma unroll 4
  for (int64_t r = strip.row; r < rows; r += strip.step) {
    const int64_t i = (r * columns + strip.column) * W;
    Vec<T, W> v = Vec<T, W>::load(x + i);
#pragma unroll
    for (int j = 0; j < W; ++j) v[j] = fma(v[j] - centre[j], scale[j], shift[j]);
    v.store(y + i);
  }
}

// grad_x = scale * (g - constant - (x - mean) * slope); `sums` of all rows.
template <int W, typename T>
__global__ void __launch_bounds__(kBlockSize)
    batch_norm_backward_kernel(int64_t rows,
                               int64_t columns,
                               int width,
                               T eps,
                               const T* __restrict__ g,
                               const T* __restrict__ x,
                               const T* __restrict__ mean,
                               const T* __restrict__ var,
                               const T* __restrict__ weight,
                               const double* __restrict__ sums,
                               T* __restrict__ grad_x) {
  const Strip strip(columns, width);
  if (!strip.live) return;
  T centre[W], scale[W], constant[W], slope[W];
  const double share = 1 / static_cast<double>(rows);
#pragma unroll
  for (int j = 0; j < W; ++j) {
    const int64_t c = strip.column * W + j;
    const T rstd = inverse_deviation(var[c], eps);
    centre[j] = mean[c];
    scale[j] = rstd * (weight ? weight[c] : T(1));
    constant[j] = static_cast<T>(sums[c] * share);
    slope[j] = static_cast<T>(sums[columns * W + c] * share) * rstd * rstd;
  }
#pragma unroll 2
  for (int64_t r = strip.row; r < rows; r += strip.step) {
    const int64_t i = (r * columns + strip.column) * W;
    Vec<T, W> d = Vec<T, W>::load(g + i);
    const Vec<T, W> v = Vec<T, W>::load(x + i);
#pragma unroll
    for (int j = 0; j < W; ++j) {
      d[j] = scale[j] * (d[j] - constant[j] - (v[j] - centre[j]) * slope[j]);
    }
    d.store(grad_x + i);
  }
}

// Four rows or more for each thread of a strip, as far as they fill the device.
template <typename T>
dim3 strips(const CudaContext& ctx, int64_t rows, int64_t columns, int* width) {
  *width = static_cast<int>(std::min<int64_t>(columns, kBlockSize));
  const int64_t lanes = kBlockSize / *width;
  const unsigned x = grid_size(ctx, ceil_div(rows, 4 * lanes) * kBlockSize);
  return dim3(x, static_cast<unsigned>(ceil_div(columns, *width)));
}

}  // namespace

int64_t batch_norm_workspace(const CudaContext&, int64_t rows, int64_t C) {
  return std::max<int64_t>(1, ceil_div(rows, block_rows(C))) * 2 * C;
}

template <typename T>
void batch_norm_statistics(
    CudaContext& ctx, int64_t rows, int64_t C, const T* x, T* mean, T* var, double* workspace) {
  if (C == 0) return;
  block_sums<T>(ctx, rows, C, AroundFirst<T>{x, C}, workspace, x);
  const int64_t step = block_rows(C), blocks = ceil_div(rows, step);
  const int64_t last = blocks > 0 ? rows - (blocks - 1) * step : 1;
  const int lanes = column_lanes(blocks, sizeof(double));
  CU_LAUNCH(merge_statistics_kernel<T>,
            team_grid(C, lanes),
            kBlockSize,
            0,
            ctx.stream(),
            rows,
            C,
            static_cast<int>(step),
            1 / static_cast<double>(step),
            1 / static_cast<double>(last),
            lanes,
            x,
            workspace,
            mean,
            var);
}

template <typename T>
void batch_norm_forward(CudaContext& ctx,
                        int64_t rows,
                        int64_t C,
                        double eps,
                        const T* x,
                        const T* mean,
                        const T* var,
                        const T* weight,
                        const T* bias,
                        T* y) {
  if (rows * C == 0) return;
  with_width<T>(
      C,
      [&](auto vector) {
        constexpr int W = decltype(vector)::value;
        int width = 0;
        const dim3 grid = strips<T>(ctx, rows, C / W, &width);
        CU_LAUNCH((batch_norm_forward_kernel<W, T>),
                  grid,
                  kBlockSize,
                  0,
                  ctx.stream(),
                  rows,
                  C / W,
                  width,
                  static_cast<T>(eps),
                  x,
                  mean,
                  var,
                  weight,
                  bias,
                  y);
      },
      x,
      y);
}

template <typename T>
void batch_norm_backward(CudaContext& ctx,
                         int64_t rows,
                         int64_t C,
                         double eps,
                         const T* g,
                         const T* x,
                         const T* mean,
                         const T* var,
                         const T* weight,
                         T* grad_x,
                         T* grad_weight,
                         T* grad_bias,
                         double* workspace) {
  if (C == 0) return;
  block_sums<T>(ctx, rows, C, WithDeviation<T>{g, x, mean}, workspace, g, x);
  const int64_t blocks = ceil_div(rows, block_rows(C));
  const int lanes = column_lanes(blocks, sizeof(double));
  CU_LAUNCH(merge_gradients_kernel<T>,
            team_grid(C, lanes),
            kBlockSize,
            0,
            ctx.stream(),
            blocks,
            C,
            lanes,
            static_cast<T>(eps),
            var,
            workspace,
            grad_weight,
            grad_bias);
  if (!grad_x || rows == 0) return;
  with_width<T>(
      C,
      [&](auto vector) {
        constexpr int W = decltype(vector)::value;
        int width = 0;
        const dim3 grid = strips<T>(ctx, rows, C / W, &width);
        CU_LAUNCH((batch_norm_backward_kernel<W, T>),
                  grid,
                  kBlockSize,
                  0,
                  ctx.stream(),
                  rows,
                  C / W,
                  width,
                  static_cast<T>(eps),
                  g,
                  x,
                  mean,
                  var,
                  weight,
                  workspace,
                  grad_x);
      },
      g,
      x,
      grad_x);
}

#define OCHE_INSTANTIATE(T)                                                                       \
  template void batch_norm_statistics(CudaContext&, int64_t, int64_t, const T*, T*, T*, double*); \
  template void batch_norm_forward(CudaContext&,                                                  \
                                   int64_t,                                                       \
                                   int64_t,                                                       \
                                   double,                                                        \
                                   const T*,                                                      \
                                   const T*,                                                      \
                                   const T*,                                                      \
                                   const T*,                                                      \
                                   const T*,                                                      \
                                   T*);                                                           \
  template void batch_norm_backward(CudaContext&,                                                 \
                                    int64_t,                                                      \
                                    int64_t,                                                      \
                                    double,                                                       \
                                    const T*,                                                     \
                                    const T*,                                                     \
                                    const T*,                                                     \
                                    const T*,                                                     \
                                    const T*,                                                     \
                                    T*,                                                           \
                                    T*,                                                           \
                                    T*,                                                           \
                                    double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
