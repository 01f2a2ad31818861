// y[i] = exp(x[i]-m) / sum_j exp(x[j]-m), m = max_j x[j], over n; and its logarithm. x, y: (outer,
// n, inner), contiguous.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

template <typename T>
void softmax_forward(CpuContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y);
template <typename T>
void softmax_forward(CudaContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y);
template <typename T>
void log_softmax_forward(CpuContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y);
template <typename T>
void log_softmax_forward(CudaContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y);

}  // namespace oche::kernels
