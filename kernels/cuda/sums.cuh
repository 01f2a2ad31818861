// Sums over the middle of (outer, n, inner), a block of `step` rows at a time: the kernels of a sum
// and of every merge of partial sums.
//   y[(o * blocks + b) * inner + i] = sum of x[(o * n + k) * inner + i], b * step <= k < min(n, (b
//   + 1) * step)
#pragma once

#include "kernels/cuda/teams.cuh"

namespace oche::kernels::cuda {

// What sum_rows() adds up: elements as they are. Others have the same three members.
template <typename T>
struct Elements {
  static constexpr int kWidth = 16 / sizeof(T);
  const T* x;

  __device__ bool vectors() const { return aligned<kWidth>(x); }  // vector(0) may be read
  __device__ T operator()(int64_t i) const { return x[i]; }
  __device__ Vec<T> vector(int64_t i) const { return Vec<T>::load(x + i); }
};

// inner = 1. A lane takes kWidth neighbouring terms at a time, whether or not one load brings them.
template <typename T, typename Terms, typename Y>
__global__ void __launch_bounds__(kBlockSize) sum_rows_kernel(int64_t items,
                                                              Divider blocks,
                                                              int64_t n,
                                                              int64_t step,
                                                              int lanes,
                                                              Terms terms,
                                                              Y* __restrict__ y) {
  constexpr int kWidth = Terms::kWidth;
  const bool vectors = terms.vectors() && (n % kWidth == 0 || items == blocks.divisor());
  const Team<true> team(lanes);
  team.for_items(items, [&](int64_t item, bool live) {
    T total[1] = {0};
    if (live) {
      const int64_t o = blocks.quotient(item), first = blocks.rest(item, o) * step;
      const int64_t rest = n - first, count = rest < step ? rest : step, from = o * n + first;
      int64_t k = team.lane * kWidth;
      const int64_t stride = lanes * kWidth, whole = vectors ? count - kWidth : -1;
#pragma unroll 4
      for (; k <= whole; k += stride) {
        const Vec<T> v = terms.vector(from + k);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) total[0] += v[j];
      }
      for (; k < count; k += stride) {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
          if (k + j < count) total[0] += terms(from + k + j);
        }
      }
    }
    team.merge(total, Plus{});
    if (live && team.lane == 0) y[item] = static_cast<Y>(total[0]);
  });
}

template <typename T, typename Terms, typename Y>
void sum_rows(CudaContext& ctx,
              int64_t outer,
              int64_t blocks,
              int64_t n,
              int64_t step,
              const Terms& terms,
              Y* y) {
  const int lanes = row_lanes(std::min(n, step), 4 * Terms::kWidth);
  CU_LAUNCH((sum_rows_kernel<T, Terms, Y>),
            team_grid(outer * blocks, lanes),
            kBlockSize,
            0,
            ctx.stream(),
            outer * blocks,
            Divider(blocks),
            n,
            step,
            lanes,
            terms,
            y);
}

// An item is W columns of a block of rows.
template <int W, typename T, typename Y>
__global__ void __launch_bounds__(kBlockSize) sum_columns_kernel(int64_t items,
                                                                 Divider blocks,
                                                                 Divider wide,
                                                                 int64_t n,
                                                                 int64_t step,
                                                                 int lanes,
                                                                 const T* __restrict__ x,
                                                                 Y* __restrict__ y) {
  const Team<false> team(lanes);
  team.for_items(items, [&](int64_t item, bool live) {
    T total[W] = {};
    if (live) {
      const int64_t unit = wide.quotient(item), column = wide.rest(item, unit) * W;
      const int64_t o = blocks.quotient(unit), first = blocks.rest(unit, o) * step;
      const int64_t rest = n - first, rows = rest < step ? rest : step;
      const int64_t inner = wide.divisor() * W;
      const T* from = x + (o * n + first) * inner + column;
#pragma unroll 4
      for (int64_t k = team.lane; k < rows; k += lanes) {
        const Vec<T, W> v = Vec<T, W>::load(from + k * inner);
#pragma unroll
        for (int j = 0; j < W; ++j) total[j] += v[j];
      }
    }
    team.merge(total, Plus{});
    if (live && team.lane == 0) {
#pragma unroll
      for (int j = 0; j < W; ++j) y[item * W + j] = static_cast<Y>(total[j]);
    }
  });
}

template <typename T, typename Y>
void sum_blocks(CudaContext& ctx,
                int64_t outer,
                int64_t blocks,
                int64_t n,
                int64_t inner,
                int64_t step,
                const T* x,
                Y* y) {
  if (inner == 1) return sum_rows<T>(ctx, outer, blocks, n, step, Elements<T>{x}, y);
  constexpr int kWidth = 16 / sizeof(T);
  const int lanes = column_lanes(std::min(n, step), vector_width<T>(inner) * sizeof(T));
  const bool wide = vector_width<T>(inner) == kWidth && aligned<kWidth>(x);
  const int64_t columns = wide ? inner / kWidth : inner, items = outer * blocks * columns;
  CU_LAUNCH((wide ? sum_columns_kernel<kWidth, T, Y> : sum_columns_kernel<1, T, Y>),
            team_grid(items, lanes),
            kBlockSize,
            0,
            ctx.stream(),
            items,
            Divider(blocks),
            Divider(columns),
            n,
            step,
            lanes,
            x,
            y);
}

}  // namespace oche::kernels::cuda
