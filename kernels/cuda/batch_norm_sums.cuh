// Pairs of sums over blocks of rows of a (rows, C) matrix, for batch norm: a block of rows each to
// a team of threads, four rows at a time in the element type, beyond that in double.
#pragma once

#include "kernels/cuda/teams.cuh"

namespace oche::kernels::cuda {

// Rows of a block: 4096 elements, a quarter of what the CPU takes, so that a batch of 64 fills a
// device.
inline int64_t block_rows(int64_t C) {
  return std::clamp<int64_t>(4096 / std::max<int64_t>(1, C), 32, 1024);
}

// What block_sums() adds up in W columns: pairs (u, v). at(row, column) is the same for one block.

// Elements around those of the block's first row, and their squares.
template <typename T>
struct AroundFirst {
  const T* x;
  int64_t C;

  template <int W>
  struct Columns {
    const T* x;
    Vec<T, W> shift;
    __device__ void add(int64_t i, T (&u)[W], T (&v)[W]) const {
      const Vec<T, W> value = Vec<T, W>::load(x + i);
#pragma unroll
      for (int j = 0; j < W; ++j) {
        const T d = value[j] - shift[j];
        u[j] += d;
        v[j] = fma(d, d, v[j]);
      }
    }
  };
  template <int W>
  __device__ Columns<W> at(int64_t row, int64_t column) const {
    return {x, Vec<T, W>::load(x + row * C + column)};
  }
};

// Gradients, and their products with the deviations from the mean.
template <typename T>
struct WithDeviation {
  const T *g, *x, *mean;

  template <int W>
  struct Columns {
    const T *g, *x;
    T mean[W];
    __device__ void add(int64_t i, T (&u)[W], T (&v)[W]) const {
      const Vec<T, W> grad = Vec<T, W>::load(g + i), value = Vec<T, W>::load(x + i);
#pragma unroll
      for (int j = 0; j < W; ++j) {
        u[j] += grad[j];
        v[j] = fma(grad[j], value[j] - mean[j], v[j]);
      }
    }
  };
  template <int W>
  __device__ Columns<W> at(int64_t, int64_t column) const {
    Columns<W> c{g, x, {}};
#pragma unroll
    for (int j = 0; j < W; ++j) c.mean[j] = mean[column + j];
    return c;
  }
};

// total += (u, v) over the rows first, first + step, ... (R of them).
template <int R, int W, typename T, typename Columns>
__device__ void add_rows(const Columns& columns,
                         int64_t first,
                         int64_t step,
                         double (&total)[2 * W]) {
  T u[W] = {}, v[W] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) columns.add(first + r * step, u, v);
#pragma unroll
  for (int j = 0; j < W; ++j) {
    total[j] += u[j];
    total[W + j] += v[j];
  }
}

// sums (blocks, 2, C): of u, then of v. An item is W columns of a block of `step` rows.
template <int W, typename T, typename Terms>
__global__ void __launch_bounds__(kBlockSize) block_sums_kernel(int64_t items,
                                                                Divider wide,
                                                                int64_t rows,
                                                                int64_t step,
                                                                int lanes,
                                                                Terms terms,
                                                                double* __restrict__ sums) {
  constexpr int kGroup = 4;
  const Team<false> team(lanes);
  team.for_items(items, [&](int64_t item, bool live) {
    double total[2 * W] = {};
    const int64_t b = wide.quotient(item), column = wide.rest(item, b) * W;
    const int64_t C = wide.divisor() * W, first = b * step;
    if (live) {
      const auto columns = terms.template at<W>(first, column);
      const int64_t rest = rows - first, end = rest < step ? rest : step, stride = lanes * C;
      const int64_t from = first * C + column;
      int64_t k = team.lane;
      for (; k + (kGroup - 1) * lanes < end; k += kGroup * lanes) {
        add_rows<kGroup, W, T>(columns, from + k * C, stride, total);
      }
      for (; k < end; k += lanes) add_rows<1, W, T>(columns, from + k * C, stride, total);
    }
    team.merge(total, Plus{});
    if (live && team.lane == 0) {
#pragma unroll
      for (int j = 0; j < W; ++j) {
        sums[2 * b * C + column + j] = total[j];
        sums[(2 * b + 1) * C + column + j] = total[W + j];
      }
    }
  });
}

// body(W) with the widest vectors that the shape and the pointers allow, as a constant.
template <typename T, typename Body, typename... Pointers>
void with_width(int64_t C, const Body& body, const Pointers*... p) {
  constexpr int kWidth = 16 / sizeof(T);
  if (vector_width<T>(C) == kWidth && aligned<kWidth>(p...)) {
    body(std::integral_constant<int, kWidth>{});
  } else {
    body(std::integral_constant<int, 1>{});
  }
}

template <typename T, typename Terms, typename... Pointers>
void block_sums(CudaContext& ctx,
                int64_t rows,
                int64_t C,
                const Terms& terms,
                double* sums,
                const Pointers*... read) {
  const int64_t step = block_rows(C);
  const int lanes = column_lanes(std::min(rows, step), vector_width<T>(C) * sizeof(T));
  with_width<T>(
      C,
      [&](auto width) {
        constexpr int W = decltype(width)::value;
        const int64_t items = ceil_div(rows, step) * (C / W);
        CU_LAUNCH((block_sums_kernel<W, T, Terms>),
                  team_grid(items, lanes),
                  kBlockSize,
                  0,
                  ctx.stream(),
                  items,
                  Divider(C / W),
                  rows,
                  step,
                  lanes,
                  terms,
                  sums);
      },
      read...);
}

}  // namespace oche::kernels::cuda
