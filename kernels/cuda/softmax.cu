// Softmax and log-softmax over the middle of (outer, n, inner) on a CUDA device.
#include <cmath>
#include <limits>

#include "kernels/cuda/teams.cuh"
#include "kernels/softmax.h"

namespace oche::kernels {
namespace {

using namespace cuda;

template <typename T>
constexpr int kHeld = 32 / sizeof(T);  // elements of a column that a lane keeps in registers

struct Larger {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;  // passes over a NaN, which then makes the sum one
  }
};

// kHeldOnly: a lane has at most kHeld<T> elements and reads them once; else it reads them three
// times.
template <bool kLog, bool kRows, bool kHeldOnly, typename T>
__global__ void __launch_bounds__(kBlockSize) softmax_forward_kernel(int64_t items,
                                                                     int64_t n,
                                                                     Divider inner,
                                                                     int lanes,
                                                                     const T* __restrict__ x,
                                                                     T* __restrict__ y) {
  const Team<kRows> team(lanes);
  team.for_items(items, [&](int64_t item, bool live) {
    const int64_t o = inner.quotient(item), row = inner.divisor();
    const int64_t column = o * n * row + inner.rest(item, o), end = live ? n : 0;
    // body(x, offset) for the elements of this lane
    T held[kHeld<T>];
    if constexpr (kHeldOnly) {
#pragma unroll
      for (int j = 0; j < kHeld<T>; ++j) {
        const int64_t k = team.lane + j * lanes;
        held[j] = k < end ? x[column + k * row] : T(0);
      }
    }
    const auto each = [&](const auto& body) {
      if constexpr (kHeldOnly) {
#pragma unroll
        for (int j = 0; j < kHeld<T>; ++j) {
          const int64_t k = team.lane + j * lanes;
          if (k < end) body(held[j], column + k * row);
        }
      } else {
#pragma unroll 1
        for (int64_t k = team.lane; k < end; k += lanes)
          body(x[column + k * row], column + k * row);
      }
    };

    T max[1] = {-std::numeric_limits<T>::infinity()};
    each([&](T v, int64_t) { max[0] = Larger{}(max[0], v); });
    team.merge(max, Larger{});
    double sum[1] = {0};
    each([&](T v, int64_t) { sum[0] += std::exp(v - max[0]); });
    team.merge(sum, Plus{});
    if constexpr (kLog) {
      const T total = static_cast<T>(std::log(sum[0]));
      each([&](T v, int64_t at) { y[at] = v - max[0] - total; });
    } else {
      const T share = static_cast<T>(1 / sum[0]);
      each([&](T v, int64_t at) { y[at] = std::exp(v - max[0]) * share; });
    }
  });
}

template <bool kLog, bool kRows, typename T>
void launch_softmax(
    CudaContext& ctx, int64_t outer, int64_t n, int64_t inner, int lanes, const T* x, T* y) {
  const bool held = n <= int64_t{lanes} * kHeld<T>;
  CU_LAUNCH((held ? softmax_forward_kernel<kLog, kRows, true, T>
                  : softmax_forward_kernel<kLog, kRows, false, T>),
            team_grid(outer * inner, lanes),
            kBlockSize,
            0,
            ctx.stream(),
            outer * inner,
            n,
            Divider(inner),
            lanes,
            x,
            y);
}

template <bool kLog, typename T>
void softmax(CudaContext& ctx, int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  if (inner == 1) {
    launch_softmax<kLog, true>(ctx, outer, n, inner, row_lanes(n, kHeld<T> / 2), x, y);
  } else {
    launch_softmax<kLog, false>(ctx, outer, n, inner, column_lanes(n, sizeof(T)), x, y);
  }
}

}  // namespace

template <typename T>
void softmax_forward(CudaContext& ctx, int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  softmax<false>(ctx, outer, n, inner, x, y);
}

template <typename T>
void log_softmax_forward(
    CudaContext& ctx, int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  softmax<true>(ctx, outer, n, inner, x, y);
}

#define OCHE_INSTANTIATE(T)                                                             \
  template void softmax_forward(CudaContext&, int64_t, int64_t, int64_t, const T*, T*); \
  template void log_softmax_forward(CudaContext&, int64_t, int64_t, int64_t, const T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
