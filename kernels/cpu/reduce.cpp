// Reductions over the middle of (outer, n, inner), inner products, gather and scatter on the CPU.
#include "kernels/reduce.h"

#include <limits>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

int64_t rows_per_block(int64_t inner) {
  return inner == 1 ? kSumBlock : kSumRows;
}
int64_t blocks_of(int64_t n, int64_t inner) {
  return std::max<int64_t>(1, ceil_div(n, rows_per_block(inner)));
}

// y[i] = sum_r x[r * inner + i] over `rows` rows, for the columns [begin, end), at most kColumns.
template <typename T, typename Y>
void column_sums(int64_t rows, int64_t inner, int64_t begin, int64_t end, const T* x, Y* y) {
  if (inner == 1) {
    *y = block_sum<T>(rows, [=](int64_t r) { return x[r]; });
    return;
  }
  const int64_t width = end - begin;
  T total[kColumns];
  std::fill(total, total + width, T(0));
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * inner + begin;
    for (int64_t j = 0; j < width; ++j) total[j] += row[j];
  }
  for (int64_t j = 0; j < width; ++j) y[begin + j] = total[j];
}

}  // namespace

int64_t sum_workspace(int64_t outer, int64_t n, int64_t inner) {
  const int64_t blocks = blocks_of(n, inner);
  return blocks == 1 ? 0 : outer * blocks * inner;
}

template <typename T>
void sum(
    CpuContext& ctx, int64_t outer, int64_t n, int64_t inner, const T* x, T* y, double* workspace) {
  const int64_t step = rows_per_block(inner), blocks = blocks_of(n, inner);
  const int64_t depth = std::min(n, step);
  for_columns(ctx, outer * blocks, depth, inner, [=](int64_t u, int64_t begin, int64_t end) {
    const int64_t o = u / blocks, row = (u % blocks) * step, rows = std::min(n - row, step);
    const T* block = x + (o * n + row) * inner;
    if (blocks == 1) {
      column_sums(rows, inner, begin, end, block, y + o * inner);
    } else {
      column_sums(rows, inner, begin, end, block, workspace + u * inner);
    }
  });
  if (blocks == 1) return;
  for_columns(ctx, outer, blocks, inner, [=](int64_t o, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double total = 0;
      for (int64_t b = 0; b < blocks; ++b) total += workspace[(o * blocks + b) * inner + i];
      y[o * inner + i] = static_cast<T>(total);
    }
  });
}

int64_t dot_workspace(int64_t n) {
  return ceil_div(n, kSumBlock);
}

template <typename T>
void dot(CpuContext& ctx, int64_t n, const T* a, const T* b, T* y, double* workspace) {
  const int64_t blocks = dot_workspace(n);
  for_blocks(ctx, blocks, items_per_task(kSumBlock), [=](int64_t first, int64_t last) {
    for (int64_t u = first; u < last; ++u) {
      const int64_t at = u * kSumBlock;
      workspace[u] = block_sum<T>(std::min(n - at, kSumBlock),
                                  [=](int64_t i) { return a[at + i] * b[at + i]; });
    }
  });
  double total = 0;
  for (int64_t u = 0; u < blocks; ++u) total += workspace[u];
  *y = static_cast<T>(total);
}

template <typename T>
void max(CpuContext& ctx,
         int64_t outer,
         int64_t n,
         int64_t inner,
         const T* x,
         T* value,
         int64_t* index) {
  for_columns(ctx, outer, n, inner, [=](int64_t o, int64_t begin, int64_t end) {
    T* best = value + o * inner;
    int64_t* at = index + o * inner;
    std::fill(best + begin, best + end, -std::numeric_limits<T>::infinity());
    std::fill(at + begin, at + end, 0);
    for (int64_t k = 0; k < n; ++k) {
      const T* row = x + (o * n + k) * inner;
      for (int64_t i = begin; i < end; ++i) {
        // !(row <= best) holds when row is larger or either is a NaN; the second test keeps the
        // first NaN.
        const bool wins = !(row[i] <= best[i]) && best[i] == best[i];
        best[i] = wins ? row[i] : best[i];
        at[i] = wins ? k : at[i];
      }
    }
  });
}

template <typename T>
void gather(CpuContext& ctx,
            int64_t outer,
            int64_t n,
            int64_t count,
            int64_t inner,
            const T* x,
            const int64_t* index,
            T* y) {
  for_columns(ctx, outer, count, inner, [=](int64_t o, int64_t begin, int64_t end) {
    const T* from = x + o * n * inner;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = (o * count + k) * inner;
      for (int64_t i = begin; i < end; ++i) y[row + i] = from[index[row + i] * inner + i];
    }
  });
}

template <typename T>
void scatter_add(CpuContext& ctx,
                 int64_t outer,
                 int64_t n,
                 int64_t count,
                 int64_t inner,
                 const T* y,
                 const int64_t* index,
                 T* x) {
  // A column of x is written by the task that owns it, in the order of k.
  for_columns(ctx, outer, n + count, inner, [=](int64_t o, int64_t begin, int64_t end) {
    T* to = x + o * n * inner;
    for (int64_t r = 0; r < n; ++r) std::fill(to + r * inner + begin, to + r * inner + end, T(0));
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = (o * count + k) * inner;
      for (int64_t i = begin; i < end; ++i) to[index[row + i] * inner + i] += y[row + i];
    }
  });
}

#define OCHE_INSTANTIATE(T)                                                           \
  template void sum(CpuContext&, int64_t, int64_t, int64_t, const T*, T*, double*);   \
  template void dot(CpuContext&, int64_t, const T*, const T*, T*, double*);           \
  template void max(CpuContext&, int64_t, int64_t, int64_t, const T*, T*, int64_t*);  \
  template void gather(                                                               \
      CpuContext&, int64_t, int64_t, int64_t, int64_t, const T*, const int64_t*, T*); \
  template void scatter_add(                                                          \
      CpuContext&, int64_t, int64_t, int64_t, int64_t, const T*, const int64_t*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
