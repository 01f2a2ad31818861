// Random fills. Element i takes the Philox block (key, base, i) and nothing else: the same numbers
// for any number of threads and on every device, and float is double rounded (for uniform:
// truncated).
#pragma once

#include <cstdint>

#include "kernels/context.h"
#include "kernels/philox.h"

namespace oche::kernels {

// y[i] uniform in [low, high), i < n; rounding to T can reach `high` itself.
template <typename T>
void fill_uniform(
    CpuContext&, RandomKey, RandomCounterBase, int64_t n, double low, double high, T* y);
template <typename T>
void fill_uniform(
    CudaContext&, RandomKey, RandomCounterBase, int64_t n, double low, double high, T* y);
// y[i] normal with this mean and standard deviation, i < n.
template <typename T>
void fill_normal(
    CpuContext&, RandomKey, RandomCounterBase, int64_t n, double mean, double deviation, T* y);
template <typename T>
void fill_normal(
    CudaContext&, RandomKey, RandomCounterBase, int64_t n, double mean, double deviation, T* y);
// y[i] standard Gumbel, i < n.
template <typename T>
void fill_gumbel(CpuContext&, RandomKey, RandomCounterBase, int64_t n, T* y);
template <typename T>
void fill_gumbel(CudaContext&, RandomKey, RandomCounterBase, int64_t n, T* y);
// y[i] = 1 / keep with probability keep, else 0, i < n; 0 < keep <= 1. The same mask for every T.
template <typename T>
void dropout_mask(CpuContext&, RandomKey, RandomCounterBase, int64_t n, double keep, T* y);
template <typename T>
void dropout_mask(CudaContext&, RandomKey, RandomCounterBase, int64_t n, double keep, T* y);

}  // namespace oche::kernels
