// Convolution: the choice of a way, the merge of partial weight gradients, and what becomes of
// operands that are not finite.
#include "kernels/conv2d.h"

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_plain.h"
#include "kernels/cpu/conv2d_way.h"
#include "kernels/elementwise.h"

namespace oche::kernels {

namespace {

// The first way that supports the shape; the last supports every shape.
template <typename T>
const Conv2dWay<T>& way_for(const Conv2dShape& shape) {
  static const Conv2dWay<T> ways[] = {depthwise_way<T>(), patches_way<T>()};
  const Conv2dWay<T>* way = ways;
  while (!way->supports(shape)) ++way;
  return *way;
}

// sum[i] = sum_b partials[b * size + i], in double and in the order of the blocks.
template <typename T>
void merge_partials(CpuContext& ctx, int64_t blocks, int64_t size, const T* partials, T* sum) {
  constexpr int64_t kChunk = 64;
  for_blocks(ctx, size, items_per_task(blocks), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kChunk) {
      const int64_t n = std::min(kChunk, end - i);
      double total[kChunk] = {};
      for (int64_t b = 0; b < blocks; ++b) {
        for (int64_t j = 0; j < n; ++j) total[j] += static_cast<double>(partials[b * size + i + j]);
      }
      for (int64_t j = 0; j < n; ++j) sum[i + j] = static_cast<T>(total[j]);
    }
  });
}

// True iff a way may be taken with these weights: it gives the taps in the padding a zero for a
// factor, which is no zero any more where the weight is not finite. Of x and grad_y it multiplies
// only what the equation does, but in a weight gradient: that is mended afterwards, where it shows.
template <typename T>
bool harmless(CpuContext& ctx, const Conv2dShape& s, const T* w) {
  return !meets_padding(s) || all_finite(ctx, weight_size(s), w);
}

// Of partial weight gradients. A zero of the padding that met a NaN or an infinity left a NaN.
template <typename T>
void finish_weight_grad(CpuContext& ctx,
                        const Conv2dShape& s,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* grad_w,
                        const T* partials) {
  merge_partials(ctx, weight_grad_blocks(s), weight_size(s), partials, grad_w);
  if (meets_padding(s)) mend_weight_grad(ctx, s, x, gate, grad_y, grad_w);
}

}  // namespace

template <typename T>
void conv2d_forward(
    CpuContext& ctx, const Conv2dShape& shape, const T* x, const T* gate, const T* w, T* y) {
  if (!harmless(ctx, shape, w)) return plain_forward(ctx, shape, x, gate, w, y);
  way_for<T>(shape).forward(ctx, shape, x, gate, w, y);
}

template <typename T>
void conv2d_input_grad(CpuContext& ctx,
                       const Conv2dShape& shape,
                       const T* grad_y,
                       const T* gate,
                       const T* w,
                       T* grad_x) {
  if (!harmless(ctx, shape, w)) return plain_input_grad(ctx, shape, grad_y, gate, w, grad_x);
  way_for<T>(shape).input_grad(ctx, shape, grad_y, gate, w, grad_x);
}

template <typename T>
void conv2d_weight_grad(CpuContext& ctx,
                        const Conv2dShape& shape,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* grad_w,
                        T* workspace) {
  if (shape.N * shape.out_h() * shape.out_w() == 0) {
    std::fill_n(grad_w, weight_size(shape), T(0));
    return;
  }
  way_for<T>(shape).weight_grad(ctx, shape, x, gate, grad_y, workspace);
  finish_weight_grad(ctx, shape, x, gate, grad_y, grad_w, workspace);
}

template <typename T>
void conv2d_backward(CpuContext& ctx,
                     const Conv2dShape& shape,
                     const T* x,
                     const T* gate,
                     const T* grad_y,
                     const T* w,
                     T* grad_x,
                     T* grad_w,
                     T* workspace) {
  if (shape.N * shape.out_h() * shape.out_w() == 0 || !harmless(ctx, shape, w)) {
    conv2d_input_grad(ctx, shape, grad_y, gate, w, grad_x);
    conv2d_weight_grad(ctx, shape, x, gate, grad_y, grad_w, workspace);
    return;
  }
  way_for<T>(shape).backward(ctx, shape, x, gate, grad_y, w, grad_x, workspace);
  finish_weight_grad(ctx, shape, x, gate, grad_y, grad_w, workspace);
}

int64_t conv2d_weight_grad_workspace(const CpuContext&, const Conv2dShape& shape) {
  return weight_grad_blocks(shape) * weight_size(shape);
}

#define OCHE_INSTANTIATE(T)                                                                        \
  template void conv2d_forward(CpuContext&, const Conv2dShape&, const T*, const T*, const T*, T*); \
  template void conv2d_input_grad(                                                                 \
      CpuContext&, const Conv2dShape&, const T*, const T*, const T*, T*);                          \
  template void conv2d_weight_grad(                                                                \
      CpuContext&, const Conv2dShape&, const T*, const T*, const T*, T*, T*);                      \
  template void conv2d_backward(                                                                   \
      CpuContext&, const Conv2dShape&, const T*, const T*, const T*, const T*, T*, T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
