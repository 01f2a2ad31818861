// Reductions over the middle of (outer, n, inner), inner products, gather and scatter on a CUDA
// device. Sums are cut into the blocks of the CPU: a team of threads each, partial sums in double,
// and a second kernel that adds those up.
#include <limits>

#include "kernels/cuda/runtime.h"
#include "kernels/cuda/sums.cuh"
#include "kernels/reduce.h"

namespace oche::kernels {
namespace {

using namespace cuda;

template <typename T>
struct Products {
  static constexpr int kWidth = 16 / sizeof(T);
  const T *a, *b;

  __device__ bool vectors() const { return aligned<kWidth>(a, b); }
  __device__ T operator()(int64_t i) const { return a[i] * b[i]; }
  __device__ Vec<T> vector(int64_t i) const {
    Vec<T> x = Vec<T>::load(a + i);
    const Vec<T> y = Vec<T>::load(b + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) x[j] *= y[j];
    return x;
  }
};

// A NaN before any number.
struct Larger {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a >= b || a != a ? a : b;
  }
};
struct Earlier {
  __device__ int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
};

template <bool kRows, typename T>
__global__ void __launch_bounds__(kBlockSize) max_kernel(int64_t items,
                                                         int64_t n,
                                                         Divider inner,
                                                         int lanes,
                                                         const T* __restrict__ x,
                                                         T* __restrict__ value,
                                                         int64_t* __restrict__ index) {
  const Team<kRows> team(lanes);
  team.for_items(items, [&](int64_t item, bool live) {
    // Element 0 wins where all are -infinity; of an empty column nothing else is known.
    T best = -std::numeric_limits<T>::infinity();
    int64_t first = 0;
    if (live) {
      const int64_t o = inner.quotient(item), row = inner.divisor();
      const T* column = x + o * n * row + inner.rest(item, o);
#pragma unroll 4
      for (int64_t k = team.lane; k < n; k += lanes) {
        const T v = column[k * row];
        const bool wins = !(v <= best) && best == best;
        best = wins ? v : best;
        first = wins ? k : first;
      }
    }
    T overall[1] = {best};
    team.merge(overall, Larger{});
    const bool reached = best == overall[0] || best != best;
    int64_t at[1] = {reached ? first : std::numeric_limits<int64_t>::max()};
    team.merge(at, Earlier{});
    if (live && team.lane == 0) {
      value[item] = overall[0];
      index[item] = at[0];
    }
  });
}

__device__ inline bool in_range(int64_t k, int64_t n) {
  return static_cast<uint64_t>(k) < static_cast<uint64_t>(n);
}

// Element e of (outer, count, inner) picks from slab o = e / (count * inner), column e % inner.
template <typename T>
__global__ void __launch_bounds__(kBlockSize) gather_kernel(int64_t total,
                                                            int64_t n,
                                                            Divider count,
                                                            Divider inner,
                                                            const T* __restrict__ x,
                                                            const int64_t* __restrict__ index,
                                                            T* __restrict__ y) {
  for (int64_t e = grid_index(); e < total; e += grid_threads()) {
    const int64_t row = inner.quotient(e), o = count.quotient(row);
    const int64_t k = index[e];
    y[e] = in_range(k, n) ? x[(o * n + k) * inner.divisor() + inner.rest(e, row)]
                          : std::numeric_limits<T>::quiet_NaN();
  }
}

// An item is kBlockSize neighbouring rows of a column of x, of which each thread of a block owns
// one. The block goes through the picks of the column kBlockSize at a time; those that hit its rows
// come to lie side by side in the order of k, in which their owners add them up. No order of blocks
// or threads changes that.
template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    scatter_add_rows_kernel(int64_t items,
                            Divider tiles,
                            int64_t n,
                            int64_t count,
                            Divider slab,
                            const T* __restrict__ y,
                            const int64_t* __restrict__ index,
                            T* __restrict__ x) {
  constexpr int kWarps = kBlockSize / kWarpSize;
  CU_SHARED(int, hits, kWarps);
  CU_SHARED(int, row, kBlockSize);
  CU_SHARED(T, value, kBlockSize);
  const int t = static_cast<int>(threadIdx.x), warp = t / kWarpSize, lane = t % kWarpSize;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const int64_t column = tiles.quotient(item), first = tiles.rest(item, column) * kBlockSize;
    const int64_t o = slab.quotient(column), i = slab.rest(column, o), inner = slab.divisor();
    T sum = 0;
    for (int64_t begin = 0; begin < count; begin += kBlockSize) {
      const int64_t k = begin + t, from = (o * count + k) * inner + i;
      const int64_t at = k < count ? index[from] - first : -1;
      const T mine = k < count ? y[from] : T(0);
      const bool hit = at >= 0 && at < kBlockSize;
      const unsigned mask = __ballot_sync(kAllLanes, hit);
      if (lane == 0) hits[warp] = __popc(mask);
      __syncthreads();  // and the picks before have been added
      int place = __popc(mask & ((1u << lane) - 1)), total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        place += w < warp ? hits[w] : 0;
        total += hits[w];
      }
      if (hit) {
        row[place] = static_cast<int>(at);
        value[place] = mine;
      }
      __syncthreads();
#pragma unroll 4
      for (int h = 0; h < total; ++h) {
        if (row[h] == t) sum += value[h];
      }
    }
    if (first + t < n) x[(o * n + first + t) * inner + i] = sum;
  }
}

// A thread owns a column of x and adds to it in the order of k. Indices and values are read ahead,
// since every addition waits for the one before.
template <typename T>
__global__ void __launch_bounds__(kBlockSize) scatter_add_kernel(int64_t columns,
                                                                 int64_t n,
                                                                 int64_t count,
                                                                 Divider slab,
                                                                 const T* __restrict__ y,
                                                                 const int64_t* __restrict__ index,
                                                                 T* x) {
  constexpr int kAhead = 32 / sizeof(T);
  for (int64_t column = grid_index(); column < columns; column += grid_threads()) {
    const int64_t o = slab.quotient(column), i = slab.rest(column, o), inner = slab.divisor();
    T* to = x + o * n * inner + i;
    const int64_t from = o * count * inner + i;
    int64_t k = 0;
    for (; k + kAhead <= count; k += kAhead) {
      int64_t at[kAhead];
      T value[kAhead];
#pragma unroll
      for (int j = 0; j < kAhead; ++j) {
        at[j] = index[from + (k + j) * inner];
        value[j] = y[from + (k + j) * inner];
      }
#pragma unroll
      for (int j = 0; j < kAhead; ++j) {
        if (in_range(at[j], n)) to[at[j] * inner] += value[j];
      }
    }
    for (; k < count; ++k) {
      const int64_t at = index[from + k * inner];
      if (in_range(at, n)) to[at * inner] += y[from + k * inner];
    }
  }
}

}  // namespace

template <typename T>
void sum(CudaContext& ctx,
         int64_t outer,
         int64_t n,
         int64_t inner,
         const T* x,
         T* y,
         double* workspace) {
  if (outer * inner == 0) return;
  const int64_t step = inner == 1 ? kSumBlock : kSumRows;
  const int64_t blocks = std::max<int64_t>(1, ceil_div(n, step));
  if (blocks == 1) return sum_blocks(ctx, outer, 1, n, inner, n, x, y);
  sum_blocks(ctx, outer, blocks, n, inner, step, x, workspace);
  sum_blocks(ctx, outer, 1, blocks, inner, blocks, workspace, y);
}

template <typename T>
void dot(CudaContext& ctx, int64_t n, const T* a, const T* b, T* y, double* workspace) {
  const Products<T> products{a, b};
  const int64_t blocks = std::max<int64_t>(1, ceil_div(n, kSumBlock));
  if (blocks == 1) return sum_rows<T>(ctx, 1, 1, n, n, products, y);
  sum_rows<T>(ctx, 1, blocks, n, kSumBlock, products, workspace);
  sum_blocks(ctx, 1, 1, blocks, 1, blocks, workspace, y);
}

template <typename T>
void max(CudaContext& ctx,
         int64_t outer,
         int64_t n,
         int64_t inner,
         const T* x,
         T* value,
         int64_t* index) {
  const bool rows = inner == 1;
  const int lanes = rows ? row_lanes(n, 4) : column_lanes(n, sizeof(T));
  CU_LAUNCH((rows ? max_kernel<true, T> : max_kernel<false, T>),
            team_grid(outer * inner, lanes),
            kBlockSize,
            0,
            ctx.stream(),
            outer * inner,
            n,
            Divider(inner),
            lanes,
            x,
            value,
            index);
}

template <typename T>
void gather(CudaContext& ctx,
            int64_t outer,
            int64_t n,
            int64_t count,
            int64_t inner,
            const T* x,
            const int64_t* index,
            T* y) {
  const int64_t total = outer * count * inner;
  CU_LAUNCH(gather_kernel<T>,
            grid_size(ctx, total),
            kBlockSize,
            0,
            ctx.stream(),
            total,
            n,
            Divider(count),
            Divider(inner),
            x,
            index,
            y);
}

template <typename T>
void scatter_add(CudaContext& ctx,
                 int64_t outer,
                 int64_t n,
                 int64_t count,
                 int64_t inner,
                 const T* y,
                 const int64_t* index,
                 T* x) {
  const int64_t columns = outer * inner;
  // Long columns, and too few to be a thread's work each.
  if (count >= kBlockSize && columns < kBlockSize * int64_t{ctx.multiprocessors()}) {
    const int64_t tiles = ceil_div(n, kBlockSize);
    CU_LAUNCH(scatter_add_rows_kernel<T>,
              grid_blocks(columns * tiles),
              kBlockSize,
              0,
              ctx.stream(),
              columns * tiles,
              Divider(tiles),
              n,
              count,
              Divider(inner),
              y,
              index,
              x);
    return;
  }
  fill_bytes(ctx, x, 0, outer * n * inner * sizeof(T));
  CU_LAUNCH(scatter_add_kernel<T>,
            grid_size(ctx, count == 0 ? 0 : columns),
            kBlockSize,
            0,
            ctx.stream(),
            columns,
            n,
            count,
            Divider(inner),
            y,
            index,
            x);
}

#define OCHE_INSTANTIATE(T)                                                            \
  template void sum(CudaContext&, int64_t, int64_t, int64_t, const T*, T*, double*);   \
  template void dot(CudaContext&, int64_t, const T*, const T*, T*, double*);           \
  template void max(CudaContext&, int64_t, int64_t, int64_t, const T*, T*, int64_t*);  \
  template void gather(                                                                \
      CudaContext&, int64_t, int64_t, int64_t, int64_t, const T*, const int64_t*, T*); \
  template void scatter_add(                                                           \
      CudaContext&, int64_t, int64_t, int64_t, int64_t, const T*, const int64_t*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
