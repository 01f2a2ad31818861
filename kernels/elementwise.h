// Unary and binary maps, fill, cast and strided copies.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/context.h"

namespace oche::kernels {

// kSign: -1, 0 or 1, and NaN for a NaN.
enum class Unary { kNegate, kExp, kLog, kSqrt, kSigmoid, kTanh, kReciprocal, kAbs, kSign };
// kGate: a where not (b <= 0), else 0. gate(x, x) is the rectifier; a NaN in b lets a through.
enum class Binary { kAdd, kSubtract, kMultiply, kDivide, kGate };

using Extents = std::span<const int64_t>;  // shape or strides, in elements, outermost first; at
                                           // most 8 dimensions

// y[i] = f(x[i]), i < n.
template <typename T>
void unary(CpuContext&, Unary f, int64_t n, const T* x, T* y);
template <typename T>
void unary(CudaContext&, Unary f, int64_t n, const T* x, T* y);
// y = f(a, b) over `shape`; y contiguous, a and b read through their strides (0 where broadcast).
template <typename T>
void binary(CpuContext&,
            Binary f,
            Extents shape,
            const T* a,
            Extents a_strides,
            const T* b,
            Extents b_strides,
            T* y);
template <typename T>
void binary(CudaContext&,
            Binary f,
            Extents shape,
            const T* a,
            Extents a_strides,
            const T* b,
            Extents b_strides,
            T* y);
// y[i] = scale * x[i] + shift, i < n.
template <typename T>
void affine(CpuContext&, int64_t n, double scale, double shift, const T* x, T* y);
template <typename T>
void affine(CudaContext&, int64_t n, double scale, double shift, const T* x, T* y);
// y[i] += x[i], i < n.
template <typename T>
void accumulate(CpuContext&, int64_t n, const T* x, T* y);
template <typename T>
void accumulate(CudaContext&, int64_t n, const T* x, T* y);
template <typename T>
void fill(CpuContext&, int64_t n, T value, T* y);
template <typename T>
void fill(CudaContext&, int64_t n, T value, T* y);
template <typename From, typename To>
void cast(CpuContext&, int64_t n, const From* x, To* y);
template <typename From, typename To>
void cast(CudaContext&, int64_t n, const From* x, To* y);
// Copies `shape` elements between strided places.
template <typename T>
void copy_strided(
    CpuContext&, Extents shape, const T* x, Extents x_strides, T* y, Extents y_strides);
template <typename T>
void copy_strided(
    CudaContext&, Extents shape, const T* x, Extents x_strides, T* y, Extents y_strides);
// True iff every x[i], i < n, is finite.
template <typename T>
bool all_finite(CpuContext&, int64_t n, const T* x);
template <typename T>
bool all_finite(CudaContext&, int64_t n, const T* x);

}  // namespace oche::kernels
