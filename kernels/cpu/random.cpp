// Random fills on the CPU.
#include "kernels/random.h"

#include <cmath>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

constexpr int64_t kDrawsPerTask = 4096;  // some 100 us

// y[i] = draw(block of element i).
template <typename T, typename Draw>
void fill_draws(
    CpuContext& ctx, RandomKey key, RandomCounterBase at, int64_t n, T* y, const Draw& draw) {
  const RandomCounterBase base = at.resolved();
  for_blocks(ctx, n, kDrawsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      y[i] = static_cast<T>(draw(random_block(key, base, static_cast<uint64_t>(i))));
    }
  });
}

}  // namespace

template <typename T>
void fill_uniform(CpuContext& ctx,
                  RandomKey key,
                  RandomCounterBase base,
                  int64_t n,
                  double low,
                  double high,
                  T* y) {
  fill_draws(ctx, key, base, n, y, [=](const RandomBlock& b) {
    return std::fma(high - low, static_cast<double>(uniform<T>(b)), low);
  });
}

template <typename T>
void fill_normal(CpuContext& ctx,
                 RandomKey key,
                 RandomCounterBase base,
                 int64_t n,
                 double mean,
                 double deviation,
                 T* y) {
  fill_draws(ctx, key, base, n, y, [=](const RandomBlock& b) {
    return std::fma(deviation, normal(b), mean);
  });
}

template <typename T>
void fill_gumbel(CpuContext& ctx, RandomKey key, RandomCounterBase base, int64_t n, T* y) {
  fill_draws(ctx, key, base, n, y, [](const RandomBlock& b) { return gumbel(b); });
}

template <typename T>
void dropout_mask(
    CpuContext& ctx, RandomKey key, RandomCounterBase base, int64_t n, double keep, T* y) {
  fill_draws(ctx, key, base, n, y, [=](const RandomBlock& b) {
    return uniform<double>(b) < keep ? 1 / keep : 0.0;
  });
}

#define OCHE_INSTANTIATE(T)                                                          \
  template void fill_uniform(                                                        \
      CpuContext&, RandomKey, RandomCounterBase, int64_t, double, double, T*);       \
  template void fill_normal(                                                         \
      CpuContext&, RandomKey, RandomCounterBase, int64_t, double, double, T*);       \
  template void fill_gumbel(CpuContext&, RandomKey, RandomCounterBase, int64_t, T*); \
  template void dropout_mask(CpuContext&, RandomKey, RandomCounterBase, int64_t, double, T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
