// Softmax and log-softmax over the middle of (outer, n, inner) on the CPU.
#include "kernels/softmax.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

// The maximum m of each of `width` columns of x, and sum_j exp(x[j] - m) in double; y, if there is
// one, gets the terms.
template <typename T>
struct Columns {
  T max[kColumns];
  double sum[kColumns];

  Columns(int64_t n, int64_t inner, int64_t width, const T* x, T* y) {
    std::fill(max, max + width, -std::numeric_limits<T>::infinity());
    std::fill(sum, sum + width, 0.0);
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = 0; j < width; ++j) max[j] = std::max(max[j], x[k * inner + j]);
    }
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = 0; j < width; ++j) {
        const T e = std::exp(x[k * inner + j] - max[j]);
        if (y) y[k * inner + j] = e;
        sum[j] += e;
      }
    }
  }
};

}  // namespace

template <typename T>
void softmax_forward(CpuContext& ctx, int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  for_columns(ctx, outer, n, inner, [=](int64_t o, int64_t begin, int64_t end) {
    const int64_t at = o * n * inner + begin, width = end - begin;
    const Columns<T> columns(n, inner, width, x + at, y + at);
    for (int64_t k = 0; k < n; ++k) {
      T* row = y + at + k * inner;
      for (int64_t j = 0; j < width; ++j) row[j] /= static_cast<T>(columns.sum[j]);
    }
  });
}

template <typename T>
void log_softmax_forward(
    CpuContext& ctx, int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  for_columns(ctx, outer, n, inner, [=](int64_t o, int64_t begin, int64_t end) {
    const int64_t at = o * n * inner + begin, width = end - begin;
    const Columns<T> columns(n, inner, width, x + at, nullptr);
    T log_sum[kColumns];
    for (int64_t j = 0; j < width; ++j) log_sum[j] = static_cast<T>(std::log(columns.sum[j]));
    for (int64_t k = 0; k < n; ++k) {
      const int64_t row = at + k * inner;
      for (int64_t j = 0; j < width; ++j) y[row + j] = x[row + j] - columns.max[j] - log_sum[j];
    }
  });
}

#define OCHE_INSTANTIATE(T)                                                            \
  template void softmax_forward(CpuContext&, int64_t, int64_t, int64_t, const T*, T*); \
  template void log_softmax_forward(CpuContext&, int64_t, int64_t, int64_t, const T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
