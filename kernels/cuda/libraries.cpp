// Which products and convolutions go to cuBLAS and cuDNN.
#include "kernels/cuda/libraries.h"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "kernels/cuda/library_support.h"

namespace oche::kernels::cuda {
namespace {

constexpr int64_t kWorthMultiplyAdds = int64_t{1} << 17;

// What cuDNN is asked for at all: extents and offsets that fit its ints.
bool dense(const Conv2dShape& s, bool gated) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  return !gated && s.groups == 1 && input_size(s) <= kMost && output_size(s) <= kMost &&
         weight_size(s) <= kMost && s.padding <= kMost && s.stride <= kMost && s.dilation <= kMost;
}

// True iff a library is there; under kAlways it has to be.
bool available(LibraryUse use, const LibraryState& state) {
  if (state.problem.empty()) return true;
  if (use == LibraryUse::kAlways) {
    throw Error(state.name + " is not in use: " + state.problem);
  }
  return false;
}

}  // namespace

std::vector<std::string> library_places() {
#ifdef OCHE_CUDA_STAND_INS
  return {OCHE_CUDA_STAND_INS};  // of tests/cuda_host
#else
  return {"", "/usr/local/cuda/lib64"};  // where NVIDIA's installer puts them
#endif
}

void fail_library(
    const char* call, const char* file, int line, const char* code, const char* description) {
  int device = -1;
  cudaGetDevice(&device);
  throw Error(std::string(call) + " failed on device " + std::to_string(device) + " (" + file +
              ":" + std::to_string(line) + "): " + code + ": " + description +
              "; OCHE_CUDA_LIBRARIES=none goes on without cuBLAS and cuDNN");
}

LibraryUse library_use_of_environment() {
  const char* const variable = std::getenv("OCHE_CUDA_LIBRARIES");
  const std::string value = variable ? variable : "";
  if (value.empty() || value == "auto") return LibraryUse::kByRule;
  if (value == "none") return LibraryUse::kNone;
  throw std::invalid_argument("OCHE_CUDA_LIBRARIES=" + value + ": expected auto or none");
}

bool worth_a_library(const GemmShape& s) {
  return s.M * s.N * s.K >= kWorthMultiplyAdds;
}

bool worth_a_library(const Conv2dShape& s) {
  return s.groups == 1 && s.kernel_h * s.kernel_w > 1 &&
         output_size(s) * s.kernel_h * s.kernel_w * s.C >= kWorthMultiplyAdds;
}

Libraries::Libraries(CudaContext& ctx) : ctx_(ctx), use_(library_use_of_environment()) {}
Libraries::~Libraries() = default;

GemmLibrary* Libraries::for_gemm(const GemmShape& s) {
  if (use_ == LibraryUse::kNone || s.M * s.N * s.K == 0) return nullptr;
  if (use_ == LibraryUse::kByRule && !worth_a_library(s)) return nullptr;
  if (!available(use_, cublas_state())) return nullptr;
  if (!cublas_) cublas_ = make_cublas(ctx_);
  return cublas_.get();
}

ConvLibrary* Libraries::for_conv2d(const Conv2dShape& s, bool gated) {
  if (use_ == LibraryUse::kNone || output_size(s) * weight_size(s) == 0) return nullptr;
  if (use_ == LibraryUse::kByRule && !worth_a_library(s)) return nullptr;
  if (!dense(s, gated)) {
    declined("cuDNN is asked for convolutions without a gate, of one group and 2^31 elements");
    return nullptr;
  }
  if (!available(use_, cudnn_state())) return nullptr;
  if (!cudnn_) cudnn_ = make_cudnn(ctx_);
  return cudnn_.get();
}

void Libraries::declined(const char* reason) const {
  if (use_ == LibraryUse::kAlways) throw Error(reason);
}

}  // namespace oche::kernels::cuda
