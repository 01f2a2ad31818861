// The weighted sum of a mixed op on a CUDA device: one pass over y or g for up to kSources
// candidates, whose pointers travel with the launch.
#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/sums.cuh"
#include "kernels/mixed_sum.h"

namespace oche::kernels {
namespace {

using namespace cuda;

constexpr int kSources = 32;  // candidates of a launch
constexpr int kAtOnce = 4;    // candidates whose elements a thread holds at a time

template <typename T>
struct Candidates {
  int count;
  const T* x[kSources];
  T* grad_x[kSources];  // null: not wanted
  int64_t place[kSources];
};

// body(first, candidates) for the launches that K candidates take.
template <typename T, typename Body>
void for_launches(
    int64_t K, const T* const* x, const int64_t* place, T* const* grad_x, const Body& body) {
  for (int64_t first = 0; first < K || first == 0; first += kSources) {
    Candidates<T> c{};
    c.count = static_cast<int>(std::min<int64_t>(K - first, kSources));
    for (int k = 0; k < c.count; ++k) {
      if (x) c.x[k] = x[first + k];
      if (grad_x) c.grad_x[k] = grad_x[first + k];
      c.place[k] = place[first + k];
    }
    body(first, c);
  }
}

// y = (add ? y : 0) + sum_k w[place[k]] x_k
template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    mixed_sum_forward_kernel(int64_t n,
                             bool add,
                             const __grid_constant__ Candidates<T> in,
                             const T* __restrict__ w,
                             T* __restrict__ y) {
  constexpr int kWidth = 16 / sizeof(T);
  for (int64_t i = grid_index() * kWidth; i < n; i += grid_threads() * kWidth) {
    const int64_t left = n - i;
    Vec<T> total{};
    if (add) total = load_group<kWidth>(y + i, left);
    for (int first = 0; first < in.count; first += kAtOnce) {
      Vec<T> x[kAtOnce];
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        if (first + j < in.count) x[j] = load_group<kWidth>(in.x[first + j] + i, left);
      }
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        if (first + j >= in.count) continue;
        const T weight = w[in.place[first + j]];
#pragma unroll
        for (int e = 0; e < kWidth; ++e) total[e] = fma(weight, x[j][e], total[e]);
      }
    }
    store_group(total, y + i, left);
  }
}

// Block (b, k): elements [b * kSumBlock, ...) of the candidates [k * kAtOnce, ...). <g, x_k> of the
// block goes to partial[b * stride + k].
template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    mixed_sum_backward_kernel(int64_t n,
                              const __grid_constant__ Candidates<T> c,
                              int64_t stride,
                              const T* __restrict__ g,
                              const T* __restrict__ w,
                              double* __restrict__ partial) {
  constexpr int kWidth = 16 / sizeof(T);
  const int first = static_cast<int>(blockIdx.y) * kAtOnce;
  T weight[kAtOnce];
#pragma unroll
  for (int j = 0; j < kAtOnce; ++j) weight[j] = first + j < c.count ? w[c.place[first + j]] : T(0);
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {
    T total[kAtOnce] = {};
#pragma unroll 2
    for (int at = static_cast<int>(threadIdx.x) * kWidth; at < kSumBlock;
         at += kBlockSize * kWidth) {
      const int64_t i = b * kSumBlock + at, left = n - i;
      if (left <= 0) break;
      const Vec<T> grad = load_group<kWidth>(g + i, left);
      Vec<T> x[kAtOnce];
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        if (partial && first + j < c.count) x[j] = load_group<kWidth>(c.x[first + j] + i, left);
      }
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        if (first + j >= c.count) continue;
        if (T* const grad_x = c.grad_x[first + j]) {
          Vec<T> scaled = grad;
#pragma unroll
          for (int e = 0; e < kWidth; ++e) scaled[e] *= weight[j];
          store_group(scaled, grad_x + i, left);
        }
        if (partial) {
#pragma unroll
          for (int e = 0; e < kWidth; ++e) total[j] = fma(grad[e], x[j][e], total[j]);
        }
      }
    }
    if (!partial) continue;
    Team<true>(kBlockSize).merge(total, Plus{});
    if (threadIdx.x != 0) continue;
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      if (first + j < c.count) partial[b * stride + first + j] = total[j];
    }
  }
}

// grad_w[i] = (add ? grad_w[i] : 0) + the sum of product[k] over the candidates k at place i.
template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    mixed_sum_places_kernel(int64_t weights,
                            bool add,
                            const __grid_constant__ Candidates<T> c,
                            const double* __restrict__ product,
                            T* __restrict__ grad_w) {
  for (int64_t i = grid_index(); i < weights; i += grid_threads()) {
    double total = add ? static_cast<double>(grad_w[i]) : 0.0;
    for (int k = 0; k < c.count; ++k) {
      if (c.place[k] == i) total += product[k];
    }
    grad_w[i] = static_cast<T>(total);
  }
}

}  // namespace

template <typename T>
void mixed_sum_forward(CudaContext& ctx,
                       int64_t K,
                       int64_t n,
                       const T* const* x,
                       const T* w,
                       const int64_t* place,
                       T* y) {
  constexpr int kWidth = 16 / sizeof(T);
  for_launches<T>(K, x, place, nullptr, [&](int64_t first, const Candidates<T>& in) {
    CU_LAUNCH(mixed_sum_forward_kernel<T>,
              grid_size(ctx, ceil_div(n, kWidth)),
              kBlockSize,
              0,
              ctx.stream(),
              n,
              first > 0,
              in,
              w,
              y);
  });
}

template <typename T>
void mixed_sum_backward(CudaContext& ctx,
                        int64_t K,
                        int64_t n,
                        const T* g,
                        const T* const* x,
                        const T* w,
                        const int64_t* place,
                        T* const* grad_x,
                        int64_t weights,
                        T* grad_w,
                        double* workspace) {
  const int64_t blocks = ceil_div(n, kSumBlock);
  if (K > 0) {
    for_launches<T>(
        K, grad_w ? x : nullptr, place, grad_x, [&](int64_t first, const Candidates<T>& c) {
          const dim3 grid(grid_blocks(blocks), static_cast<unsigned>(ceil_div(c.count, kAtOnce)));
          CU_LAUNCH(mixed_sum_backward_kernel<T>,
                    grid,
                    kBlockSize,
                    0,
                    ctx.stream(),
                    n,
                    c,
                    K,
                    g,
                    w,
                    grad_w ? workspace + first : nullptr);
        });
  }
  if (!grad_w) return;
  double* products = workspace;
  if (blocks != 1) {
    products = workspace + blocks * K;
    if (K > 0) sum_blocks(ctx, 1, 1, blocks, K, blocks, workspace, products);
  }
  for_launches<T>(K, nullptr, place, nullptr, [&](int64_t first, const Candidates<T>& c) {
    CU_LAUNCH(mixed_sum_places_kernel<T>,
              grid_size(ctx, weights),
              kBlockSize,
              0,
              ctx.stream(),
              weights,
              first > 0,
              c,
              products + first,
              grad_w);
  });
}

#define OCHE_INSTANTIATE(T)                                                           \
  template void mixed_sum_forward(                                                    \
      CudaContext&, int64_t, int64_t, const T* const*, const T*, const int64_t*, T*); \
  template void mixed_sum_backward(CudaContext&,                                      \
                                   int64_t,                                           \
                                   int64_t,                                           \
                                   const T*,                                          \
                                   const T* const*,                                   \
                                   const T*,                                          \
                                   const int64_t*,                                    \
                                   T* const*,                                         \
                                   int64_t,                                           \
                                   T*,                                                \
                                   double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
