// In-place parameter updates on the CPU.
#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {

template <typename T>
void sgd(CpuContext& ctx, const SgdStep& step, int64_t n, const T* g, T* w, T* buf) {
  const T scale = static_cast<T>(step.grad_scale), decay = static_cast<T>(step.weight_decay);
  const T momentum = static_cast<T>(step.momentum), lr = static_cast<T>(step.lr);
  for_blocks(ctx, n, kTask, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T moved = momentum * buf[i] + (scale * g[i] + decay * w[i]);
      buf[i] = moved;
      w[i] -= lr * moved;
    }
  });
}

template <typename T>
void adam(CpuContext& ctx, const AdamStep& step, int64_t n, const T* g, T* w, T* m, T* v) {
  const double t = static_cast<double>(step.step);
  const T beta1 = static_cast<T>(step.beta1), rest1 = static_cast<T>(1 - step.beta1);
  const T beta2 = static_cast<T>(step.beta2), rest2 = static_cast<T>(1 - step.beta2);
  const T eps = static_cast<T>(step.eps), decay = static_cast<T>(step.weight_decay);
  // lr * mhat = rate * m, sqrt(vhat) = root * sqrt(v)
  const T rate = static_cast<T>(step.lr / (1 - std::pow(step.beta1, t)));
  const T root = static_cast<T>(1 / std::sqrt(1 - std::pow(step.beta2, t)));
  for_blocks(ctx, n, kTask, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T d = g[i] + decay * w[i];
      const T mean = beta1 * m[i] + rest1 * d;
      const T square = beta2 * v[i] + rest2 * d * d;
      m[i] = mean;
      v[i] = square;
      w[i] -= rate * mean / (root * std::sqrt(square) + eps);
    }
  });
}

#define OCHE_INSTANTIATE(T)                                                  \
  template void sgd(CpuContext&, const SgdStep&, int64_t, const T*, T*, T*); \
  template void adam(CpuContext&, const AdamStep&, int64_t, const T*, T*, T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
