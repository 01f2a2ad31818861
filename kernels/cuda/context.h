// A CUDA device and a stream of work on it. No CUDA headers: the engine includes this.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/context.h"

struct CUstream_st;  // what a cudaStream_t points to

namespace oche::kernels {

namespace cuda {
class Libraries;
}

// The kernels of a context run one after another, in the order of the calls, and the calls return
// before they have run. Constructing one makes its device the calling thread's; another thread that
// uses it calls make_current() once before.
class CudaContext {
 public:
  // `device` in [0, cuda::device_count()); anything else throws std::invalid_argument.
  explicit CudaContext(int device);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  void make_current() const;

  int device() const { return device_; }
  CUstream_st* stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  size_t shared_bytes() const { return shared_bytes_; }  // the most that a block may ask for
  // One word of device memory, for kernels that answer with a number.
  int* answer() const { return static_cast<int*>(answer_); }
  // kTickets words that are 0 before and after each kernel: what its blocks count themselves with,
  // to find out which of them is the last (kernels/cuda/merges.cuh).
  static constexpr int kTickets = 1024;
  unsigned* tickets() const { return static_cast<unsigned*>(answer_) + 1; }
  // What may compute in place of our kernels (kernels/cuda/libraries.h).
  cuda::Libraries& libraries() { return *libraries_; }

 private:
  int device_;
  CUstream_st* stream_ = nullptr;
  int multiprocessors_ = 0;
  size_t shared_bytes_ = 0;
  void* answer_ = nullptr;
  std::unique_ptr<cuda::Libraries> libraries_;
};

}  // namespace oche::kernels
