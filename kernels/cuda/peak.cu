// Multiply-adds on registers alone, on a CUDA device.
#include <cmath>

#include "kernels/cuda/device.cuh"
#include "kernels/peak.h"

namespace oche::kernels {
namespace {

using namespace cuda;

// A task is a thread. Four warps cover the latency of a unit already; so many chains let fewer do.
constexpr int kChains = 8;

template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    multiply_add_chains_kernel(int64_t tasks, int64_t rounds, T* __restrict__ y) {
  const int64_t task = static_cast<int64_t>(blockIdx.x) * kBlockSize + threadIdx.x;
  if (task >= tasks) return;
  T chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = static_cast<T>(i + 1);
    // x = x / 2 + 1 tends to 2: neither overflow nor denormal numbers.
#pragma unroll 16
  for (int64_t r = 0; r < rounds; ++r) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) chain[i] = std::fma(chain[i], T(0.5), T(1));
  }
  for (int i = 1; i < kChains; ++i) chain[0] += chain[i];
  y[task] = chain[0];
}

}  // namespace

template <typename T>
int64_t multiply_add_chains(CudaContext& ctx, int64_t tasks, int64_t rounds, T* y) {
  if (tasks == 0) return 0;
  const auto blocks = static_cast<unsigned>((tasks + kBlockSize - 1) / kBlockSize);
  CU_LAUNCH(multiply_add_chains_kernel<T>, blocks, kBlockSize, 0, ctx.stream(), tasks, rounds, y);
  return tasks * rounds * 2 * kChains;
}

template int64_t multiply_add_chains(CudaContext&, int64_t, int64_t, float*);
template int64_t multiply_add_chains(CudaContext&, int64_t, int64_t, double*);

}  // namespace oche::kernels
