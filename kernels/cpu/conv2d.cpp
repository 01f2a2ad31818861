// Convolution: the choice of a way, and the merge of partial weight gradients.
#include "kernels/conv2d.h"

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_way.h"

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

}  // namespace

template <typename T>
void conv2d_forward(
    CpuContext& ctx, const Conv2dShape& shape, const T* x, const T* gate, const T* w, T* y) {
  way_for<T>(shape).forward(ctx, shape, x, gate, w, y);
}

template <typename T>
void conv2d_input_grad(CpuContext& ctx,
                       const Conv2dShape& shape,
                       const T* grad_y,
                       const T* gate,
                       const T* w,
                       T* grad_x) {
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
  merge_partials(ctx, weight_grad_blocks(shape), weight_size(shape), workspace, grad_w);
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
  if (shape.N * shape.out_h() * shape.out_w() == 0) {
    conv2d_input_grad(ctx, shape, grad_y, gate, w, grad_x);
    conv2d_weight_grad(ctx, shape, x, gate, grad_y, grad_w, workspace);
    return;
  }
  way_for<T>(shape).backward(ctx, shape, x, gate, grad_y, w, grad_x, workspace);
  merge_partials(ctx, weight_grad_blocks(shape), weight_size(shape), workspace, grad_w);
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
