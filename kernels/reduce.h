// Reductions of contiguous (outer, n, inner) tensors over n, and inner products. Sums run over
// blocks fixed by the shape, in the element type inside a block and in double across blocks, so
// they do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

// y: (outer, inner). `workspace`: sum_workspace(outer, n, inner) doubles (0 when a single block
// suffices).
template <typename T>
void sum(CpuContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y, double* workspace);
template <typename T>
void sum(
    CudaContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* y, double* workspace);
int64_t sum_workspace(int64_t outer, int64_t n, int64_t inner);

// y[0] = sum_i a[i] * b[i], i < n. `workspace`: dot_workspace(n) doubles.
template <typename T>
void dot(CpuContext&, int64_t n, const T* a, const T* b, T* y, double* workspace);
template <typename T>
void dot(CudaContext&, int64_t n, const T* a, const T* b, T* y, double* workspace);
int64_t dot_workspace(int64_t n);

// value, index: (outer, inner); the first maximum along n wins a tie, a NaN wins outright.
template <typename T>
void max(
    CpuContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* value, int64_t* index);
template <typename T>
void max(
    CudaContext&, int64_t outer, int64_t n, int64_t inner, const T* x, T* value, int64_t* index);
// y[o,k,i] = x[o, index[o,k,i], i]: x (outer, n, inner), index and y (outer, count, inner). Indices
// are in [0, n): the CPU's relies on it, on a device one that is not gives a NaN.
template <typename T>
void gather(CpuContext&,
            int64_t outer,
            int64_t n,
            int64_t count,
            int64_t inner,
            const T* x,
            const int64_t* index,
            T* y);
template <typename T>
void gather(CudaContext&,
            int64_t outer,
            int64_t n,
            int64_t count,
            int64_t inner,
            const T* x,
            const int64_t* index,
            T* y);
// The adjoint: x[o, index[o,k,i], i] += y[o,k,i] in the order of k, in the element type; x is
// overwritten (zeroed first). On a device an index outside [0, n) adds nothing.
template <typename T>
void scatter_add(CpuContext&,
                 int64_t outer,
                 int64_t n,
                 int64_t count,
                 int64_t inner,
                 const T* y,
                 const int64_t* index,
                 T* x);
template <typename T>
void scatter_add(CudaContext&,
                 int64_t outer,
                 int64_t n,
                 int64_t count,
                 int64_t inner,
                 const T* y,
                 const int64_t* index,
                 T* x);

}  // namespace oche::kernels
