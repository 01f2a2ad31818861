// Convolution on a CUDA device: the choice of a way (cuDNN, or one of ours), the pointwise one, and
// the merge of partial weight gradients.
#include "kernels/conv2d.h"
#include "kernels/cuda/conv2d_way.h"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/gemm_gated.h"
#include "kernels/cuda/libraries.h"

namespace oche::kernels {

using namespace cuda;

namespace cuda {
namespace {

bool pointwise_supports(const Conv2dShape& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.groups == 1 && s.stride == 1 && s.padding == 0;
}

// Enough ranges of pixels to occupy a device, of enough pixels to pay for a partial gradient each.
int64_t pointwise_grad_blocks(const Conv2dShape& s) {
  const int64_t tiles = ceil_div(s.C, 32) * ceil_div(s.out_C, 32);
  const int64_t enough = 512 / std::max<int64_t>(1, tiles);
  return std::clamp<int64_t>(std::min(output_pixels(s) / 128, enough), 1, 256);
}

template <typename T>
void pointwise_forward(
    CudaContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  const GemmShape shape{.M = output_pixels(s), .N = s.out_C, .K = s.C};
  gemm_gated<T>(ctx, {.shape = shape, .a = x, .gate_a = gate, .b = w, .c = y});
}

template <typename T>
void pointwise_input_grad(
    CudaContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  const GemmShape shape{.M = output_pixels(s), .N = s.C, .K = s.out_C, .transpose_b = true};
  gemm_gated<T>(
      ctx, {.shape = shape, .a = grad_y, .gate_a = nullptr, .b = w, .c = grad_x, .gate_c = gate});
}

template <typename T>
void pointwise_weight_grad(CudaContext& ctx,
                           const Conv2dShape& s,
                           const T* x,
                           const T* gate,
                           const T* grad_y,
                           T* partials) {
  gemm_gated<T>(ctx,
                {.shape = {.M = s.C, .N = s.out_C, .K = output_pixels(s), .transpose_a = true},
                 .a = x,
                 .gate_a = gate,
                 .b = grad_y,
                 .c = partials,
                 .splits = pointwise_grad_blocks(s)});
}

}  // namespace

template <typename T>
ConvWay<T> pointwise_way() {
  return {pointwise_supports,
          pointwise_grad_blocks,
          pointwise_forward<T>,
          pointwise_input_grad<T>,
          pointwise_weight_grad<T>};
}

}  // namespace cuda

namespace {

// compute(cuDNN), if that takes the shape; false iff it is for the ways below.
template <typename T, typename Compute>
bool by_library(CudaContext& ctx, const Conv2dShape& s, const T* gate, const Compute& compute) {
  Libraries& libraries = ctx.libraries();
  if constexpr (std::is_same_v<T, float>) {
    ConvLibrary* const cudnn = libraries.for_conv2d(s, gate != nullptr);
    if (cudnn == nullptr) return false;
    if (compute(*cudnn)) return true;
    libraries.declined("cuDNN does not support this convolution");
  } else {  // for checks, and its layouts know float only
    libraries.declined("cuDNN is asked for convolutions of float only");
  }
  return false;
}

// The first way that supports the shape; the last supports every shape.
template <typename T>
const ConvWay<T>& way_for(const Conv2dShape& shape) {
  static const ConvWay<T> ways[] = {pointwise_way<T>(), depthwise_way<T>(), direct_way<T>()};
  const ConvWay<T>* way = ways;
  while (!way->supports(shape)) ++way;
  return *way;
}

// sum[i] = sum_b partials[b * size + i], in double. A block has 32 neighbouring i; its row j of
// threads adds up the blocks j, j + kMergeRows, …, and the rows are merged in order.
constexpr int kMergeRows = 8;

template <typename T>
__global__ void __launch_bounds__(kWarpSize* kMergeRows)
    merge_partials_kernel(int64_t blocks, int64_t size, const T* partials, T* sum) {
  CU_SHARED(double, rows, kWarpSize* kMergeRows);
  const int t = static_cast<int>(threadIdx.x);
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarpSize + t % kWarpSize;
  double total = 0;
  if (i < size) {
#pragma unroll 8
    for (int64_t b = t / kWarpSize; b < blocks; b += kMergeRows) {
      total += static_cast<double>(partials[b * size + i]);
    }
  }
  rows[t] = total;
  __syncthreads();
  if (t >= kWarpSize || i >= size) return;
#pragma unroll
  for (int j = 1; j < kMergeRows; ++j) total += rows[j * kWarpSize + t];
  sum[i] = static_cast<T>(total);
}

}  // namespace

template <typename T>
void conv2d_forward(
    CudaContext& ctx, const Conv2dShape& shape, const T* x, const T* gate, const T* w, T* y) {
  const auto call = [&](auto& cudnn) { return cudnn.forward(shape, x, w, y); };
  if (by_library(ctx, shape, gate, call)) return;
  way_for<T>(shape).forward(ctx, shape, x, gate, w, y);
}

template <typename T>
void conv2d_input_grad(CudaContext& ctx,
                       const Conv2dShape& shape,
                       const T* grad_y,
                       const T* gate,
                       const T* w,
                       T* grad_x) {
  const auto call = [&](auto& cudnn) { return cudnn.input_grad(shape, grad_y, w, grad_x); };
  if (by_library(ctx, shape, gate, call)) return;
  way_for<T>(shape).input_grad(ctx, shape, grad_y, gate, w, grad_x);
}

template <typename T>
void conv2d_weight_grad(CudaContext& ctx,
                        const Conv2dShape& shape,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* grad_w,
                        T* workspace) {
  const int64_t size = weight_size(shape);
  if (size == 0) return;
  const auto call = [&](auto& cudnn) { return cudnn.weight_grad(shape, x, grad_y, grad_w); };
  if (by_library(ctx, shape, gate, call)) return;
  const ConvWay<T>& way = way_for<T>(shape);
  const int64_t blocks = way.weight_grad_blocks(shape);
  way.weight_grad(ctx, shape, x, gate, grad_y, blocks > 1 ? workspace : grad_w);
  if (blocks == 1) return;
  CU_LAUNCH(merge_partials_kernel<T>,
            grid_blocks(ceil_div(size, kWarpSize)),
            kWarpSize * kMergeRows,
            0,
            ctx.stream(),
            blocks,
            size,
            workspace,
            grad_w);
}

// Two passes: what the second reads of grad_y is mostly in the cache, where they are small enough.
template <typename T>
void conv2d_backward(CudaContext& ctx,
                     const Conv2dShape& shape,
                     const T* x,
                     const T* gate,
                     const T* grad_y,
                     const T* w,
                     T* grad_x,
                     T* grad_w,
                     T* workspace) {
  conv2d_input_grad(ctx, shape, grad_y, gate, w, grad_x);
  conv2d_weight_grad(ctx, shape, x, gate, grad_y, grad_w, workspace);
}

// What our ways need, whether or not cuDNN is there: it brings scratch memory of its own.
int64_t conv2d_weight_grad_workspace(const CudaContext&, const Conv2dShape& shape) {
  return way_for<float>(shape).weight_grad_blocks(shape) * weight_size(shape);
}

#define OCHE_INSTANTIATE(T)                                                    \
  template void conv2d_forward(                                                \
      CudaContext&, const Conv2dShape&, const T*, const T*, const T*, T*);     \
  template void conv2d_input_grad(                                             \
      CudaContext&, const Conv2dShape&, const T*, const T*, const T*, T*);     \
  template void conv2d_weight_grad(                                            \
      CudaContext&, const Conv2dShape&, const T*, const T*, const T*, T*, T*); \
  template void conv2d_backward(                                               \
      CudaContext&, const Conv2dShape&, const T*, const T*, const T*, const T*, T*, T*, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
