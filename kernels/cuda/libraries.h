// cuBLAS and cuDNN for plain dense work, where they are installed. They are loaded the first time
// that a device has something for them: a program without one starts without their 200 MB, and one
// binary serves machines with and without them. No CUDA headers here.
//
// Kernels of our own compute everything; the libraries come first for what they do well. Both run
// on the stream of the context and are set up to give the same bits in every run: cuBLAS with a
// workspace of its own, cuDNN by fixed algorithms that are deterministic. float stays float (no
// TF32). Their last bits are others than ours, and may change with their version, with the device,
// and those of cuBLAS with the alignment of its operands.
//
// The environment variable OCHE_CUDA_LIBRARIES=none turns them off (`auto`: as without it).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/conv2d.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/shared_library.h"
#include "kernels/gemm.h"

namespace oche::kernels::cuda {

// The libraries of this process. The first call loads them, which takes some 60 ms (several times
// that from a cold disk) and is in vain without a device.
const LibraryState& cublas_state();
const LibraryState& cudnn_state();
// What would come of looking in `directories` alone (as load_library() does).
LibraryState find_cublas(const std::vector<std::string>& directories);
LibraryState find_cudnn(const std::vector<std::string>& directories);

class GemmLibrary {
 public:
  virtual ~GemmLibrary() = default;
  // As kernels/gemm.h. M, N, K > 0.
  virtual void gemm(const GemmShape&, const float* a, const float* b, float* c) = 0;
  virtual void gemm(const GemmShape&, const double* a, const double* b, double* c) = 0;
};

// Convolutions without a gate of one group, in float: as kernels/conv2d.h. Scratch memory comes
// from the pool. False iff the library does not support the shape; then nothing was computed.
class ConvLibrary {
 public:
  virtual ~ConvLibrary() = default;
  virtual bool forward(const Conv2dShape&, const float* x, const float* w, float* y) = 0;
  virtual bool input_grad(const Conv2dShape&,
                          const float* grad_y,
                          const float* w,
                          float* grad_x) = 0;
  virtual bool weight_grad(const Conv2dShape&,
                           const float* x,
                           const float* grad_y,
                           float* grad_w) = 0;
};

// Over cublas_state() and cudnn_state(), which have found them. Throw Error.
std::unique_ptr<GemmLibrary> make_cublas(CudaContext&);
std::unique_ptr<ConvLibrary> make_cudnn(CudaContext&);

enum class LibraryUse {
  kNone,    // kernels of our own only
  kByRule,  // the libraries for the shapes that worth_a_library() names, where they are installed
  kAlways,  // wherever there is a choice, as a baseline; Error where a library cannot do it
};

// What OCHE_CUDA_LIBRARIES says: kNone or kByRule. std::invalid_argument for any other value.
LibraryUse library_use_of_environment();

// The rule, by shape alone: from the products of the classifier of the usual search network on (a
// batch of 64, 256 channels, 10 classes), and dense convolutions of more than one tap, such as the
// stem's. Pointwise convolutions stay with our kernels, which gate them in the same pass. The
// bounds are no measurement: nobody has timed either side on a device yet.
bool worth_a_library(const GemmShape&);
bool worth_a_library(const Conv2dShape&);

// The libraries of one context. A handle is made when it is first needed, which takes memory and
// must not be while the stream is captured.
class Libraries {
 public:
  explicit Libraries(CudaContext&);  // library_use_of_environment(), until set_use()
  ~Libraries();
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  LibraryUse use() const { return use_; }
  void set_use(LibraryUse use) { use_ = use; }

  // The library that computes this, or nullptr: kernels of our own do.
  GemmLibrary* for_gemm(const GemmShape&);
  ConvLibrary* for_conv2d(const Conv2dShape&, bool gated);
  // No library does what is asked for: Error with the reason under kAlways.
  void declined(const char* reason) const;

 private:
  CudaContext& ctx_;
  LibraryUse use_;
  std::unique_ptr<GemmLibrary> cublas_;
  std::unique_ptr<ConvLibrary> cudnn_;
};

}  // namespace oche::kernels::cuda
