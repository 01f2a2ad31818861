// In-place parameter updates, one parameter tensor of n elements at a time.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

struct SgdStep {
  double lr, momentum, weight_decay;
  double grad_scale = 1;  // the clipping factor
};
// d = grad_scale * g + weight_decay * w;  buf = momentum * buf + d;  w -= lr * buf.  buf starts as
// zeros.
template <typename T>
void sgd(CpuContext&, const SgdStep&, int64_t n, const T* g, T* w, T* buf);

struct AdamStep {
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;  // 1 for the first update
};
// d = g + weight_decay * w;  m, v: the moments;  w -= lr * mhat / (sqrt(vhat) + eps),
// bias-corrected (Kingma and Ba, alg. 1).
template <typename T>
void adam(CpuContext&, const AdamStep&, int64_t n, const T* g, T* w, T* m, T* v);

}  // namespace oche::kernels
