// The functions of cuDNN that we call. It is never linked: they are looked up by name, and have the
// signatures of its header.
//
// Of its two interfaces this is the one with a function for each convolution. cuDNN 9 calls it
// deprecated in favour of graphs of operations, which take far more code to say the same. A version
// without it is refused when it is loaded, and our kernels go on alone.
#pragma once

#include <cudnn.h>

#include <memory>

#include "kernels/cuda/shared_library.h"

namespace oche::kernels::cuda {

#define OCHE_CUDNN_FUNCTIONS(F)                     \
  F(cudnnCreate)                                    \
  F(cudnnDestroy)                                   \
  F(cudnnSetStream)                                 \
  F(cudnnGetVersion)                                \
  F(cudnnGetErrorString)                            \
  F(cudnnCreateTensorDescriptor)                    \
  F(cudnnSetTensor4dDescriptor)                     \
  F(cudnnDestroyTensorDescriptor)                   \
  F(cudnnCreateFilterDescriptor)                    \
  F(cudnnSetFilter4dDescriptor)                     \
  F(cudnnDestroyFilterDescriptor)                   \
  F(cudnnCreateConvolutionDescriptor)               \
  F(cudnnSetConvolution2dDescriptor)                \
  F(cudnnSetConvolutionMathType)                    \
  F(cudnnDestroyConvolutionDescriptor)              \
  F(cudnnGetConvolutionForwardWorkspaceSize)        \
  F(cudnnGetConvolutionBackwardDataWorkspaceSize)   \
  F(cudnnGetConvolutionBackwardFilterWorkspaceSize) \
  F(cudnnConvolutionForward)                        \
  F(cudnnConvolutionBackwardData)                   \
  F(cudnnConvolutionBackwardFilter)

struct CudnnApi {
#define OCHE_DECLARE(function) decltype(&::function) function;  // NOLINT: a name
  OCHE_CUDNN_FUNCTIONS(OCHE_DECLARE)
#undef OCHE_DECLARE
};

const CudnnApi& cudnn();  // once cudnn_state() has found it

[[noreturn]] void fail(cudnnStatus_t, const char* call, const char* file, int line);

#define CUDNN_CHECK(call)                                            \
  do {                                                               \
    if (const auto code_ = (call); code_ != CUDNN_STATUS_SUCCESS) {  \
      ::oche::kernels::cuda::fail(code_, #call, __FILE__, __LINE__); \
    }                                                                \
  } while (false)

struct CudnnDestroy {
  void operator()(cudnnContext* p) const { cudnn().cudnnDestroy(p); }
  void operator()(cudnnTensorStruct* p) const { cudnn().cudnnDestroyTensorDescriptor(p); }
  void operator()(cudnnFilterStruct* p) const { cudnn().cudnnDestroyFilterDescriptor(p); }
  void operator()(cudnnConvolutionStruct* p) const { cudnn().cudnnDestroyConvolutionDescriptor(p); }
};
template <typename T>
using CudnnOwned = std::unique_ptr<T, CudnnDestroy>;

}  // namespace oche::kernels::cuda
