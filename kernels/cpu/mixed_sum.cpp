// The weighted sum of a mixed op on the CPU: cut into blocks of elements, so that the block of y or
// g that all candidates share stays in the first-level cache.
#include "kernels/mixed_sum.h"

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

// y = the first G terms at the elements [begin, end), added to y unless `first`.
template <int G, typename T>
void add_group(bool first,
               int64_t begin,
               int64_t end,
               const T* const* x,
               const T* w,
               const int64_t* place,
               T* __restrict y) {
  const T* in[G];
  T weight[G];
  for (int k = 0; k < G; ++k) in[k] = x[k], weight[k] = w[place[k]];
  for (int64_t i = begin; i < end; ++i) {
    T total = weight[0] * in[0][i];
    for (int k = 1; k < G; ++k) total += weight[k] * in[k][i];
    y[i] = first ? total : y[i] + total;
  }
}

template <typename T>
void scale(int64_t n, T factor, const T* __restrict x, T* __restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] = factor * x[i];
}

}  // namespace

template <typename T>
void mixed_sum_forward(CpuContext& ctx,
                       int64_t K,
                       int64_t n,
                       const T* const* x,
                       const T* w,
                       const int64_t* place,
                       T* y) {
  for_blocks(ctx, n, kSumBlock, [=](int64_t begin, int64_t end) {
    if (K == 0) std::fill(y + begin, y + end, T(0));
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) add_group<4>(k == 0, begin, end, x + k, w, place + k, y);
    for (; k < K; ++k) add_group<1>(k == 0, begin, end, x + k, w, place + k, y);
  });
}

int64_t mixed_sum_workspace(int64_t K, int64_t n) {
  return K * (ceil_div(n, kSumBlock) + 1);
}

template <typename T>
void mixed_sum_backward(CpuContext& ctx,
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
  for_blocks(ctx, n, kSumBlock, [=](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    const T* grad = g + begin;
    for (int64_t k = 0; k < K; ++k) {
      if (grad_x[k]) scale(count, w[place[k]], grad, grad_x[k] + begin);
      if (grad_w) {
        const T* in = x[k] + begin;
        workspace[begin / kSumBlock * K + k] =
            block_sum<T>(count, [=](int64_t i) { return grad[i] * in[i]; });
      }
    }
  });
  if (!grad_w) return;
  const int64_t blocks = ceil_div(n, kSumBlock);
  double* const products = workspace + blocks * K;
  for (int64_t k = 0; k < K; ++k) {
    products[k] = 0;
    for (int64_t b = 0; b < blocks; ++b) products[k] += workspace[b * K + k];
  }
  for (int64_t i = 0; i < weights; ++i) {
    double total = 0;
    for (int64_t k = 0; k < K; ++k) total += place[k] == i ? products[k] : 0.0;
    grad_w[i] = static_cast<T>(total);
  }
}

#define OCHE_INSTANTIATE(T)                                                          \
  template void mixed_sum_forward(                                                   \
      CpuContext&, int64_t, int64_t, const T* const*, const T*, const int64_t*, T*); \
  template void mixed_sum_backward(CpuContext&,                                      \
                                   int64_t,                                          \
                                   int64_t,                                          \
                                   const T*,                                         \
                                   const T* const*,                                  \
                                   const T*,                                         \
                                   const int64_t*,                                   \
                                   T* const*,                                        \
                                   int64_t,                                          \
                                   T*,                                               \
                                   double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
