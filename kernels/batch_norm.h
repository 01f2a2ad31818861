// Batch normalisation over the rows of a (rows, C) matrix; NHWC activations are rows = N*H*W.
//   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps),  weight and bias nullptr
//   when there is no affine part.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

// mean[c], var[c]: the batch mean and the population variance, accumulated in double over fixed
// blocks of rows around the block's first row, merged in fixed order (no cancellation when |mean|
// >> deviation). `workspace`: batch_norm_workspace(ctx, rows, C) doubles.
template <typename T>
void batch_norm_statistics(
    CpuContext&, int64_t rows, int64_t C, const T* x, T* mean, T* var, double* workspace);
template <typename T>
void batch_norm_statistics(
    CudaContext&, int64_t rows, int64_t C, const T* x, T* mean, T* var, double* workspace);

template <typename T>
void batch_norm_forward(CpuContext&,
                        int64_t rows,
                        int64_t C,
                        double eps,
                        const T* x,
                        const T* mean,
                        const T* var,
                        const T* weight,
                        const T* bias,
                        T* y);
template <typename T>
void batch_norm_forward(CudaContext&,
                        int64_t rows,
                        int64_t C,
                        double eps,
                        const T* x,
                        const T* mean,
                        const T* var,
                        const T* weight,
                        const T* bias,
                        T* y);

// The gradient through batch statistics:
//   grad_x = weight * rstd * (g - sum(g)/rows - xhat * sum(g*xhat)/rows), grad_weight =
//   sum(g*xhat), grad_bias = sum(g).
// grad_x may be nullptr (not wanted). grad_weight and grad_bias (C each) are always written.
template <typename T>
void batch_norm_backward(CpuContext&,
                         int64_t rows,
                         int64_t C,
                         double eps,
                         const T* g,
                         const T* x,
                         const T* mean,
                         const T* var,
                         const T* weight,
                         T* grad_x,
                         T* grad_weight,
                         T* grad_bias,
                         double* workspace);
template <typename T>
void batch_norm_backward(CudaContext&,
                         int64_t rows,
                         int64_t C,
                         double eps,
                         const T* g,
                         const T* x,
                         const T* mean,
                         const T* var,
                         const T* weight,
                         T* grad_x,
                         T* grad_weight,
                         T* grad_bias,
                         double* workspace);

int64_t batch_norm_workspace(const CpuContext&, int64_t rows, int64_t C);
int64_t batch_norm_workspace(const CudaContext&, int64_t rows, int64_t C);

}  // namespace oche::kernels
