// What a search step decides where its numbers are, on the device: a step that is recorded once and
// then replayed cannot ask the host. Lists of tensors are in the host's memory.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/context.h"

namespace oche::kernels {

template <typename T>
struct FlatTensor {
  int64_t n;
  const T* x;
};
// flag[0] = code (not 0) iff an element of the tensors is not finite, unless flag[0] was set
// before.
template <typename T>
void flag_non_finite(CpuContext&,
                     std::span<const FlatTensor<T>> tensors,
                     int64_t code,
                     int64_t* flag);
template <typename T>
void flag_non_finite(CudaContext&,
                     std::span<const FlatTensor<T>> tensors,
                     int64_t code,
                     int64_t* flag);

// factor[0] = min(1, limit / (sqrt(squares[0]) + 1e-6)): what brings a gradient down to the norm
// `limit`; 1 where limit is 0.
void clip_factor(CpuContext&, double limit, const double* squares, double* factor);
void clip_factor(CudaContext&, double limit, const double* squares, double* factor);

template <typename T>
struct RunningTensor {
  int64_t n;
  const T* batch;
  T* running;
  double share;  // of the batch
};
// running = keep * running + share * batch, element by element, unless gate[0] is set (gate may be
// nullptr).
template <typename T>
void move_running(CpuContext&,
                  double keep,
                  std::span<const RunningTensor<T>> tensors,
                  const int64_t* gate);
template <typename T>
void move_running(CudaContext&,
                  double keep,
                  std::span<const RunningTensor<T>> tensors,
                  const int64_t* gate);

}  // namespace oche::kernels
