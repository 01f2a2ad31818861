// Parameter updates in place, and the norm that clipping needs, on the CPU.
#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/lists.h"

namespace oche::kernels {
namespace {

// The squares of the elements [first, first + kSumBlock) of the transpose (c, b, a).
template <typename T>
double block_squares(const NormTensor<T>& t, int64_t first) {
  const int64_t count = std::min(kSumBlock, t.n() - first);
  int64_t k = first % t.a, i = first / t.a % t.b, o = first / (t.a * t.b);
  double x[kSumBlock];
  for (int64_t j = 0; j < count;) {
    const T* column = t.x + i * t.c + o;
    for (; k < t.a && j < count; ++k, ++j) x[j] = column[k * t.b * t.c];
    k = 0;
    if (++i == t.b) {
      i = 0;
      ++o;
    }
  }
  return block_sum<double>(count, [&x](int64_t j) { return x[j] * x[j]; });
}

}  // namespace

template <typename T>
void sgd(CpuContext& ctx, const SgdStep& step, std::span<const SgdTensor<T>> tensors) {
  if (step.gate && *step.gate != 0) return;
  const T scale = static_cast<T>(step.grad_scale_at ? *step.grad_scale_at : step.grad_scale);
  const T lr = static_cast<T>(step.lr_at ? *step.lr_at : step.lr);
  const T momentum = static_cast<T>(step.momentum), decay = static_cast<T>(step.weight_decay);
  const bool nesterov = step.nesterov;
  for_chunks(ctx, tensors, [=](const SgdTensor<T>& t, int64_t begin, int64_t end) {
    const T* g = t.g;
    T *w = t.w, *buf = t.buf;
    for (int64_t i = begin; i < end; ++i) {
      const T slope = g ? scale * g[i] : T(0);
      const T d = slope + decay * w[i], moved = momentum * buf[i] + d;
      buf[i] = moved;
      w[i] -= lr * (nesterov ? d + momentum * moved : moved);
    }
  });
}

AdamCorrections corrections_of(const AdamStep& step) {
  const auto count = static_cast<double>(step.step);
  return {1 - std::pow(step.beta1, count), 1 - std::pow(step.beta2, count)};
}

template <typename T>
void adam(CpuContext& ctx, const AdamStep& step, std::span<const AdamTensor<T>> tensors) {
  if (step.gate && *step.gate != 0) return;
  const AdamCorrections corrections =
      step.corrections_at ? *step.corrections_at : corrections_of(step);
  const T beta1 = static_cast<T>(step.beta1), rest1 = static_cast<T>(1 - step.beta1);
  const T beta2 = static_cast<T>(step.beta2), rest2 = static_cast<T>(1 - step.beta2);
  const T eps = static_cast<T>(step.eps), decay = static_cast<T>(step.weight_decay);
  // lr * mhat = rate * m, sqrt(vhat) = root * sqrt(v)
  const T rate = static_cast<T>(step.lr / corrections.first);
  const T root = static_cast<T>(1 / std::sqrt(corrections.second));
  for_chunks(ctx, tensors, [=](const AdamTensor<T>& t, int64_t begin, int64_t end) {
    const T* g = t.g;
    T *w = t.w, *m = t.m, *v = t.v;
    for (int64_t i = begin; i < end; ++i) {
      const T d = (g ? g[i] : T(0)) + decay * w[i];
      const T mean = beta1 * m[i] + rest1 * d;
      const T square = beta2 * v[i] + rest2 * d * d;
      m[i] = mean;
      v[i] = square;
      w[i] -= rate * mean / (root * std::sqrt(square) + eps);
    }
  });
}

template <typename T>
int64_t squares_workspace(std::span<const NormTensor<T>> tensors) {
  int64_t blocks = 0;
  for (const NormTensor<T>& t : tensors) blocks += ceil_div(t.n(), kSumBlock);
  return blocks;
}

template <typename T>
void sum_squares(CpuContext& ctx,
                 std::span<const NormTensor<T>> tensors,
                 double* sum,
                 double* workspace) {
  // A chunk takes the blocks that begin in it.
  int64_t total = 0;
  for (const NormTensor<T>& t : tensors) total += t.n();
  for_blocks(ctx, total, kTask, [=](int64_t first, int64_t last) {
    int64_t start = 0;
    double* result = workspace;
    for (const NormTensor<T>& t : tensors) {
      for (int64_t at = 0; at < t.n(); at += kSumBlock, ++result) {
        if (start + at >= last) return;
        if (start + at >= first) *result = block_squares(t, at);
      }
      start += t.n();
    }
  });
  *sum = 0;
  for (const NormTensor<T>& t : tensors) {
    double squares = 0;
    for (int64_t at = 0; at < t.n(); at += kSumBlock) squares += *workspace++;
    *sum += squares;
  }
}

#define OCHE_INSTANTIATE(T)                                                         \
  template void sgd(CpuContext&, const SgdStep&, std::span<const SgdTensor<T>>);    \
  template void adam(CpuContext&, const AdamStep&, std::span<const AdamTensor<T>>); \
  template int64_t squares_workspace(std::span<const NormTensor<T>>);               \
  template void sum_squares(CpuContext&, std::span<const NormTensor<T>>, double*, double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
