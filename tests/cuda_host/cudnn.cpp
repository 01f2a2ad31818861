// A stand-in for cuDNN on the host: those of its functions that kernels/cuda/cudnn.cpp calls, by
// its header, in plain loops and double. It accepts only what keeps the real one exact and
// repeatable, and like it declines some shapes, some when it is asked for a workspace and some only
// when called: strides above 4 in the gradients; IMPLICIT_PRECOMP_GEMM declines dilation.
#include <cudnn.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/cuda_host/arena.h"
#include "tests/cuda_host/graph.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  int64_t N, C, H, W;
};
struct cudnnFilterStruct {
  int64_t K, C, H, W;
};
struct cudnnConvolutionStruct {
  int64_t padding, stride, dilation;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

namespace {

int64_t size(cudnnTensorDescriptor_t t) {
  return t->N * t->C * t->H * t->W;
}
size_t bytes(cudnnFilterDescriptor_t w) {
  return w->K * w->C * w->H * w->W * sizeof(float);
}

// visit(x, w, y) with the indices of every product of the convolution.
template <typename Visit>
void products(cudnnTensorDescriptor_t x,
              cudnnFilterDescriptor_t w,
              cudnnConvolutionDescriptor_t conv,
              cudnnTensorDescriptor_t y,
              const Visit& visit) {
  for (int64_t n = 0; n < y->N; ++n) {
    for (int64_t p = 0; p < y->H; ++p) {
      for (int64_t q = 0; q < y->W; ++q) {
        for (int64_t o = 0; o < y->C; ++o) {
          for (int64_t r = 0; r < w->H; ++r) {
            for (int64_t s = 0; s < w->W; ++s) {
              const int64_t row = p * conv->stride - conv->padding + r * conv->dilation;
              const int64_t column = q * conv->stride - conv->padding + s * conv->dilation;
              if (row < 0 || row >= x->H || column < 0 || column >= x->W) continue;
              for (int64_t c = 0; c < w->C; ++c) {
                visit(((n * x->H + row) * x->W + column) * x->C + c,
                      ((o * w->H + r) * w->W + s) * w->C + c,
                      ((n * y->H + p) * y->W + q) * y->C + o);
              }
            }
          }
        }
      }
    }
  }
}

// What any of the calls demands: descriptors that fit, aligned pointers, no TF32, alpha 1, beta 0.
cudnnStatus_t check(cudnnHandle_t handle,
                    cudnnTensorDescriptor_t x,
                    cudnnFilterDescriptor_t w,
                    cudnnConvolutionDescriptor_t conv,
                    cudnnTensorDescriptor_t y) {
  if (!handle) return CUDNN_STATUS_NOT_INITIALIZED;
  const auto extent = [&](int64_t in, int64_t kernel) {
    return (in + 2 * conv->padding - conv->dilation * (kernel - 1) - 1) / conv->stride + 1;
  };
  if (y->N != x->N || y->C != w->K || x->C != w->C || y->H != extent(x->H, w->H) ||
      y->W != extent(x->W, w->W)) {
    return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
  }
  return conv->math == CUDNN_FMA_MATH ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

// Of a call, besides; the workspace holds garbage afterwards.
cudnnStatus_t check_memory(std::initializer_list<const void*> pointers,
                           void* workspace,
                           size_t given,
                           size_t needed,
                           const void* alpha,
                           const void* beta) {
  for (const void* p : pointers) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
  }
  if (given != needed || (needed > 0 && !workspace)) {  // the real one takes more, too
    return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
  }
  if (*static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  if (given > 0) std::memset(workspace, 0xff, given);
  return CUDNN_STATUS_SUCCESS;
}

// Now, or where a stream is captured at each replay.
template <typename Work>
cudnnStatus_t in_order(const Work& work) {
  const auto call = [work] {
    const oche::cuda_host::DeviceAccess access;
    work();
    return cudaSuccess;
  };
  if (!oche::cuda_host::recorded(call)) call();
  return CUDNN_STATUS_SUCCESS;
}

void deliver(const std::vector<double>& sums, void* to) {
  for (size_t i = 0; i < sums.size(); ++i) {
    static_cast<float*>(to)[i] = static_cast<float>(sums[i]);
  }
}

template <typename T>
cudnnStatus_t create(T** made) {
  *made = new T{};
  return CUDNN_STATUS_SUCCESS;
}
template <typename T>
cudnnStatus_t destroy(T* made) {
  delete made;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return create(handle);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return destroy(handle);
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}
size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}
const char* cudnnGetErrorString(cudnnStatus_t code) {
  return code == CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH ? "CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH"
                                                       : "CUDNN_STATUS";
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* made) {
  return create(made);
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t made) {
  return destroy(made);
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t t,
                                         cudnnTensorFormat_t format,
                                         cudnnDataType_t type,
                                         int n,
                                         int c,
                                         int h,
                                         int w) {
  if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_NOT_SUPPORTED;
  if (n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  *t = {n, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* made) {
  return create(made);
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t made) {
  return destroy(made);
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t f,
                                         cudnnDataType_t type,
                                         cudnnTensorFormat_t format,
                                         int k,
                                         int c,
                                         int h,
                                         int w) {
  if (format != CUDNN_TENSOR_NHWC || type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_NOT_SUPPORTED;
  if (k < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  *f = {k, c, h, w};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* made) {
  return create(made);
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t made) {
  return destroy(made);
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t conv,
                                              int pad_h,
                                              int pad_w,
                                              int stride_h,
                                              int stride_w,
                                              int dilation_h,
                                              int dilation_w,
                                              cudnnConvolutionMode_t mode,
                                              cudnnDataType_t type) {
  if (pad_h != pad_w || stride_h != stride_w || dilation_h != dilation_w || pad_h < 0 ||
      stride_h < 1 || dilation_h < 1 || mode != CUDNN_CROSS_CORRELATION ||
      type != CUDNN_DATA_FLOAT) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  *conv = {pad_h, stride_h, dilation_h};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv, cudnnMathType_t math) {
  conv->math = math;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle,
                                                      cudnnTensorDescriptor_t x,
                                                      cudnnFilterDescriptor_t w,
                                                      cudnnConvolutionDescriptor_t conv,
                                                      cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algorithm,
                                                      size_t* needed) {
  if (const auto code = check(handle, x, w, conv, y); code != CUDNN_STATUS_SUCCESS) return code;
  *needed = 0;
  if (algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM) return CUDNN_STATUS_SUCCESS;
  if (algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM || conv->dilation > 1) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  *needed = y->H * y->W * sizeof(int);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle,
                                      const void* alpha,
                                      cudnnTensorDescriptor_t x_is,
                                      const void* x,
                                      cudnnFilterDescriptor_t w_is,
                                      const void* w,
                                      cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algorithm,
                                      void* workspace,
                                      size_t given,
                                      const void* beta,
                                      cudnnTensorDescriptor_t y_is,
                                      void* y) {
  size_t needed = 0;
  auto code =
      cudnnGetConvolutionForwardWorkspaceSize(handle, x_is, w_is, conv, y_is, algorithm, &needed);
  if (code != CUDNN_STATUS_SUCCESS) return code;
  if (algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM && conv->stride > 4) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  const oche::cuda_host::DeviceAccess access;
  code = check_memory({x, w, y}, workspace, given, needed, alpha, beta);
  if (code != CUDNN_STATUS_SUCCESS) return code;
  return in_order([=] {
    std::vector<double> sums(size(y_is));
    products(x_is, w_is, conv, y_is, [&](int64_t i, int64_t j, int64_t k) {
      sums[k] +=
          static_cast<double>(static_cast<const float*>(x)[i]) * static_cast<const float*>(w)[j];
    });
    deliver(sums, y);
  });
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t handle,
                                                           cudnnFilterDescriptor_t w,
                                                           cudnnTensorDescriptor_t y,
                                                           cudnnConvolutionDescriptor_t conv,
                                                           cudnnTensorDescriptor_t x,
                                                           cudnnConvolutionBwdDataAlgo_t algorithm,
                                                           size_t* needed) {
  if (const auto code = check(handle, x, w, conv, y); code != CUDNN_STATUS_SUCCESS) return code;
  if (algorithm != CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 || conv->stride > 4) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  *needed = bytes(w);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle,
                                           const void* alpha,
                                           cudnnFilterDescriptor_t w_is,
                                           const void* w,
                                           cudnnTensorDescriptor_t y_is,
                                           const void* grad_y,
                                           cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algorithm,
                                           void* workspace,
                                           size_t given,
                                           const void* beta,
                                           cudnnTensorDescriptor_t x_is,
                                           void* grad_x) {
  size_t needed = 0;
  auto code = cudnnGetConvolutionBackwardDataWorkspaceSize(
      handle, w_is, y_is, conv, x_is, algorithm, &needed);
  if (code != CUDNN_STATUS_SUCCESS) return code;
  const oche::cuda_host::DeviceAccess access;
  code = check_memory({w, grad_y, grad_x}, workspace, given, needed, alpha, beta);
  if (code != CUDNN_STATUS_SUCCESS) return code;
  return in_order([=] {
    std::vector<double> sums(size(x_is));
    products(x_is, w_is, conv, y_is, [&](int64_t i, int64_t j, int64_t k) {
      sums[i] += static_cast<double>(static_cast<const float*>(w)[j]) *
                 static_cast<const float*>(grad_y)[k];
    });
    deliver(sums, grad_x);
  });
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle,
    cudnnTensorDescriptor_t x,
    cudnnTensorDescriptor_t y,
    cudnnConvolutionDescriptor_t conv,
    cudnnFilterDescriptor_t w,
    cudnnConvolutionBwdFilterAlgo_t algorithm,
    size_t* needed) {
  if (const auto code = check(handle, x, w, conv, y); code != CUDNN_STATUS_SUCCESS) return code;
  if (algorithm != CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1) return CUDNN_STATUS_NOT_SUPPORTED;
  *needed = 2 * bytes(w);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle,
                                             const void* alpha,
                                             cudnnTensorDescriptor_t x_is,
                                             const void* x,
                                             cudnnTensorDescriptor_t y_is,
                                             const void* grad_y,
                                             cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm,
                                             void* workspace,
                                             size_t given,
                                             const void* beta,
                                             cudnnFilterDescriptor_t w_is,
                                             void* grad_w) {
  size_t needed = 0;
  auto code = cudnnGetConvolutionBackwardFilterWorkspaceSize(
      handle, x_is, y_is, conv, w_is, algorithm, &needed);
  if (code != CUDNN_STATUS_SUCCESS) return code;
  if (conv->stride > 4) return CUDNN_STATUS_NOT_SUPPORTED;
  const oche::cuda_host::DeviceAccess access;
  code = check_memory({x, grad_y, grad_w}, workspace, given, needed, alpha, beta);
  if (code != CUDNN_STATUS_SUCCESS) return code;
  return in_order([=] {
    std::vector<double> sums(bytes(w_is) / sizeof(float));
    products(x_is, w_is, conv, y_is, [&](int64_t i, int64_t j, int64_t k) {
      sums[j] += static_cast<double>(static_cast<const float*>(x)[i]) *
                 static_cast<const float*>(grad_y)[k];
    });
    deliver(sums, grad_w);
  });
}
