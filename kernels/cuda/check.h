// CUDA_CHECK(call): throws cuda::Error unless a call of the CUDA runtime succeeds. And what a
// launch asks of the runtime beforehand.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/runtime.h"

namespace oche::kernels::cuda {

// "<call> failed on device <d> (<file>:<line>): <name>: <description>", and for memory what the
// pool holds.
[[noreturn]] void fail(cudaError_t, const char* call, const char* file, int line);

// Lets launches of a kernel on the current device ask for `bytes` of dynamic shared memory. Without
// that they get what its static arrays leave of 48 KiB; as nobody here knows how much those take,
// whoever asks opts in.
cudaError_t allow_shared(const void* kernel, size_t bytes);

}  // namespace oche::kernels::cuda

#define CUDA_CHECK(call)                                             \
  do {                                                               \
    if (const cudaError_t code_ = (call); code_ != cudaSuccess) {    \
      ::oche::kernels::cuda::fail(code_, #call, __FILE__, __LINE__); \
    }                                                                \
  } while (false)
