// Random fills on a CUDA device: the bits of kernels/cpu/random.cpp, since both draw with
// kernels/philox.h and round where it says so.
#include <cmath>

#include "kernels/cuda/device.cuh"
#include "kernels/random.h"

namespace oche::kernels {
namespace {

using namespace cuda;

template <typename T>
struct UniformDraw {
  double low, range;
  __device__ double operator()(const RandomBlock& b) const {
    return std::fma(range, static_cast<double>(uniform<T>(b)), low);
  }
};
struct NormalDraw {
  double mean, deviation;
  __device__ double operator()(const RandomBlock& b) const {
    return std::fma(deviation, normal(b), mean);
  }
};
struct GumbelDraw {
  __device__ double operator()(const RandomBlock& b) const { return gumbel(b); }
};
struct DropoutDraw {
  double keep, kept;
  __device__ double operator()(const RandomBlock& b) const {
    return uniform<double>(b) < keep ? kept : 0.0;
  }
};

// y[i] = draw(block of element i): arithmetic throughout, so that stores need not be wide.
template <typename Draw, typename T>
__global__ void __launch_bounds__(kBlockSize)
    fill_draws_kernel(RandomKey key, RandomCounterBase base, int64_t n, Draw draw, T* y) {
  base = base.resolved();
  for (int64_t i = grid_index(); i < n; i += grid_threads()) {
    y[i] = static_cast<T>(draw(random_block(key, base, static_cast<uint64_t>(i))));
  }
}

template <typename Draw, typename T>
void fill_draws(
    CudaContext& ctx, RandomKey key, RandomCounterBase base, int64_t n, const Draw& draw, T* y) {
  CU_LAUNCH((fill_draws_kernel<Draw, T>),
            grid_size(ctx, n),
            kBlockSize,
            0,
            ctx.stream(),
            key,
            base,
            n,
            draw,
            y);
}

}  // namespace

template <typename T>
void fill_uniform(CudaContext& ctx,
                  RandomKey key,
                  RandomCounterBase base,
                  int64_t n,
                  double low,
                  double high,
                  T* y) {
  fill_draws(ctx, key, base, n, UniformDraw<T>{low, high - low}, y);
}

template <typename T>
void fill_normal(CudaContext& ctx,
                 RandomKey key,
                 RandomCounterBase base,
                 int64_t n,
                 double mean,
                 double deviation,
                 T* y) {
  fill_draws(ctx, key, base, n, NormalDraw{mean, deviation}, y);
}

template <typename T>
void fill_gumbel(CudaContext& ctx, RandomKey key, RandomCounterBase base, int64_t n, T* y) {
  fill_draws(ctx, key, base, n, GumbelDraw{}, y);
}

template <typename T>
void dropout_mask(
    CudaContext& ctx, RandomKey key, RandomCounterBase base, int64_t n, double keep, T* y) {
  fill_draws(ctx, key, base, n, DropoutDraw{keep, 1 / keep}, y);
}

#define OCHE_INSTANTIATE(T)                                                           \
  template void fill_uniform(                                                         \
      CudaContext&, RandomKey, RandomCounterBase, int64_t, double, double, T*);       \
  template void fill_normal(                                                          \
      CudaContext&, RandomKey, RandomCounterBase, int64_t, double, double, T*);       \
  template void fill_gumbel(CudaContext&, RandomKey, RandomCounterBase, int64_t, T*); \
  template void dropout_mask(CudaContext&, RandomKey, RandomCounterBase, int64_t, double, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
