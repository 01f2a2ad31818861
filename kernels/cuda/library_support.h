// What the callers of cuBLAS and cuDNN share: where to look, errors in the words of the library,
// scratch memory.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace oche::kernels::cuda {

// Where the libraries are looked for, as for load_library().
std::vector<std::string> library_places();

// Throws Error: "<call> failed on device <d> (<file>:<line>): <code>: <description>", and how to go
// on without the library.
[[noreturn]] void fail_library(
    const char* call, const char* file, int line, const char* code, const char* description);

// Device memory for the duration of a scope, ordered on the stream like all that uses it.
class Scratch {
 public:
  Scratch(CudaContext& ctx, size_t bytes) : ctx_(ctx), data_(allocate(ctx, bytes)) {}
  ~Scratch() { release(ctx_, data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* data() const { return data_; }

 private:
  CudaContext& ctx_;
  void* data_;
};

}  // namespace oche::kernels::cuda
