// What a search step decides, on a CUDA device.
#include <cmath>
#include <limits>

#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/tables.cuh"
#include "kernels/step.h"

namespace oche::kernels {
namespace {

using namespace cuda;

template <typename T>
struct Inspect {
  int64_t code;
  int64_t* flag;

  __device__ void operator()(const FlatTensor<T>& t, int64_t i, int64_t left) const {
    const Vec<T> x = load_group<kWidth<T>>(t.x + i, left);
    bool bad = false;
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) {
      bad |= j < left && !(std::abs(x[j]) <= std::numeric_limits<T>::max());
    }
    if (bad) {
      atomicCAS(
          reinterpret_cast<unsigned long long*>(flag), 0ull, static_cast<unsigned long long>(code));
    }
  }
};

template <typename T>
struct MoveRunning {
  T keep;
  const int64_t* gate;

  __device__ void operator()(const RunningTensor<T>& t, int64_t i, int64_t left) const {
    if (gate && *gate != 0) return;
    const T share = static_cast<T>(t.share);
    Vec<T> running = load_group<kWidth<T>>(t.running + i, left);
    const Vec<T> batch = load_group<kWidth<T>>(t.batch + i, left);
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) running[j] = keep * running[j] + share * batch[j];
    store_group(running, t.running + i, left);
  }
};

__global__ void clip_factor_kernel(double limit, const double* squares, double* factor) {
  *factor = limit > 0 ? std::fmin(1.0, limit / (std::sqrt(*squares) + 1e-6)) : 1;
}

}  // namespace

template <typename T>
void flag_non_finite(CudaContext& ctx,
                     std::span<const FlatTensor<T>> tensors,
                     int64_t code,
                     int64_t* flag) {
  launch_updates<T>(ctx, tensors, Inspect<T>{code, flag});
}

void clip_factor(CudaContext& ctx, double limit, const double* squares, double* factor) {
  CU_LAUNCH(clip_factor_kernel, 1, 1, 0, ctx.stream(), limit, squares, factor);
}

template <typename T>
void move_running(CudaContext& ctx,
                  double keep,
                  std::span<const RunningTensor<T>> tensors,
                  const int64_t* gate) {
  launch_updates<T>(ctx, tensors, MoveRunning<T>{static_cast<T>(keep), gate});
}

#define OCHE_INSTANTIATE(T)                                                                       \
  template void flag_non_finite(CudaContext&, std::span<const FlatTensor<T>>, int64_t, int64_t*); \
  template void move_running(                                                                     \
      CudaContext&, double, std::span<const RunningTensor<T>>, const int64_t*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
