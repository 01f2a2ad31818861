// Multiply-adds on registers alone, on the CPU.
#include "kernels/peak.h"

#include "kernels/cpu/simd.h"

namespace oche::kernels {
namespace {

// Enough to keep two units busy through a latency of five cycles, few enough for sixteen registers.
constexpr int kChains = 12;

}  // namespace

template <typename T>
int64_t multiply_add_chains(CpuContext& ctx, int64_t tasks, int64_t rounds, T* y) {
  using V = WideVec<T>;
  ctx.parallel(tasks, [=](int64_t task) {
    V chain[kChains];
    for (int i = 0; i < kChains; ++i) chain[i] = V::broadcast(static_cast<T>(i + 1));
    // x = x / 2 + 1 tends to 2: neither overflow nor denormal numbers.
    const V half = V::broadcast(T(0.5)), one = V::broadcast(T(1));
    for (int64_t r = 0; r < rounds; ++r) {
      for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], half, one);
    }
    for (int i = 1; i < kChains; ++i) chain[0] = chain[0] + chain[i];
    T lanes[V::kLanes];
    chain[0].store(lanes);
    y[task] = 0;
    for (const T lane : lanes) y[task] += lane;
  });
  return tasks * rounds * 2 * kChains * V::kLanes;
}

template int64_t multiply_add_chains(CpuContext&, int64_t, int64_t, float*);
template int64_t multiply_add_chains(CpuContext&, int64_t, int64_t, double*);

}  // namespace oche::kernels
