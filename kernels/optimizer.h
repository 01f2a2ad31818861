// Parameter updates in place, and the norm that clipping needs. Each takes a list of tensors and
// treats it as one flat index space, cut into chunks of a fixed size: a search network has over a
// thousand weights of mostly a few hundred elements, and a parallel call for each would cost more
// than the arithmetic.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/context.h"

namespace oche::kernels {

// Of a step, what ends in _at lies where the kernel runs and, unless it is nullptr, counts in place
// of the number before it: a launch that is recorded once and replayed can take other numbers each
// time. Nothing moves where gate[0] is set (gate may be nullptr).
struct SgdStep {
  double lr, momentum, weight_decay;
  double grad_scale = 1;  // the clipping factor
  const double *lr_at = nullptr, *grad_scale_at = nullptr;
  const int64_t* gate = nullptr;
  bool nesterov = false;
};
template <typename T>
struct SgdTensor {
  int64_t n;
  const T* g;  // nullptr: zeros
  T* w;
  T* buf;  // starts as zeros
};
// d = grad_scale * g + weight_decay * w;  buf = momentum * buf + d;  w -= lr * buf, or with
// nesterov lr * (d + momentum * buf) (Sutskever et al. 2013, in PyTorch's form).
template <typename T>
void sgd(CpuContext&, const SgdStep&, std::span<const SgdTensor<T>> tensors);
template <typename T>
void sgd(CudaContext&, const SgdStep&, std::span<const SgdTensor<T>> tensors);

struct AdamCorrections {
  double first, second;  // 1 - beta1^step, 1 - beta2^step
};
struct AdamStep {
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;  // 1 for the first update
  const AdamCorrections* corrections_at = nullptr;
  const int64_t* gate = nullptr;
};
AdamCorrections corrections_of(const AdamStep&);
template <typename T>
struct AdamTensor {
  int64_t n;
  const T* g;  // nullptr: zeros
  T* w;
  T *m, *v;  // start as zeros
};
// d = g + weight_decay * w;  m, v: the moments;  w -= lr * mhat / (sqrt(vhat) + eps),
// bias-corrected (Kingma and Ba, alg. 1).
template <typename T>
void adam(CpuContext&, const AdamStep&, std::span<const AdamTensor<T>> tensors);
template <typename T>
void adam(CudaContext&, const AdamStep&, std::span<const AdamTensor<T>> tensors);

// One tensor (a, b, c) of a norm, whose elements count in the order of its transpose (c, b, a).
template <typename T>
struct NormTensor {
  int64_t a, b, c;
  const T* x;
  int64_t n() const { return a * b * c; }
};
// sum[0] = the squares of all elements, added in double: in blocks of a tensor's elements in the
// order of the transpose, then over those in an order that the shapes fix; the CPU's is block by
// block, then tensor by tensor. `workspace`: squares_workspace(tensors) doubles.
template <typename T>
void sum_squares(CpuContext&,
                 std::span<const NormTensor<T>> tensors,
                 double* sum,
                 double* workspace);
template <typename T>
void sum_squares(CudaContext&,
                 std::span<const NormTensor<T>> tensors,
                 double* sum,
                 double* workspace);
template <typename T>
int64_t squares_workspace(std::span<const NormTensor<T>> tensors);

}  // namespace oche::kernels
