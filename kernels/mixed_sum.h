// The weighted sum of a mixed op in one pass: y = sum_k w[place[k]] * x_k, over n elements.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

// x: K pointers to n elements each; w: a table of weights, of which term k takes w[place[k]]. Lists
// of pointers and places are in the host's memory.
template <typename T>
void mixed_sum_forward(
    CpuContext&, int64_t K, int64_t n, const T* const* x, const T* w, const int64_t* place, T* y);
template <typename T>
void mixed_sum_forward(
    CudaContext&, int64_t K, int64_t n, const T* const* x, const T* w, const int64_t* place, T* y);

// grad_x[k] = w[place[k]] * g (a null grad_x[k] is not wanted). grad_w, `weights` numbers, all
// written: grad_w[i] = the sum of <g, x_k> over the k with place[k] = i (grad_w nullptr: not
// wanted, and then x may be nullptr). `workspace`: mixed_sum_workspace(K, n) doubles, the partial
// products of fixed blocks.
template <typename T>
void mixed_sum_backward(CpuContext&,
                        int64_t K,
                        int64_t n,
                        const T* g,
                        const T* const* x,
                        const T* w,
                        const int64_t* place,
                        T* const* grad_x,
                        int64_t weights,
                        T* grad_w,
                        double* workspace);
template <typename T>
void mixed_sum_backward(CudaContext&,
                        int64_t K,
                        int64_t n,
                        const T* g,
                        const T* const* x,
                        const T* w,
                        const int64_t* place,
                        T* const* grad_x,
                        int64_t weights,
                        T* grad_w,
                        double* workspace);
int64_t mixed_sum_workspace(int64_t K, int64_t n);

}  // namespace oche::kernels
