// What a search step decides, on the CPU.
#include "kernels/step.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/cpu/lists.h"

namespace oche::kernels {

template <typename T>
void flag_non_finite(CpuContext& ctx,
                     std::span<const FlatTensor<T>> tensors,
                     int64_t code,
                     int64_t* flag) {
  std::atomic<bool> finite = true;
  for_chunks(ctx, tensors, [&](const FlatTensor<T>& t, int64_t begin, int64_t end) {
    int bad = 0;
    for (int64_t i = begin; i < end; ++i) {
      bad |= !(std::abs(t.x[i]) <= std::numeric_limits<T>::max());
    }
    if (bad) finite.store(false, std::memory_order_relaxed);
  });
  if (!finite && *flag == 0) *flag = code;
}

void clip_factor(CpuContext&, double limit, const double* squares, double* factor) {
  *factor = limit > 0 ? std::min(1.0, limit / (std::sqrt(*squares) + 1e-6)) : 1;
}

template <typename T>
void move_running(CpuContext& ctx,
                  double keep,
                  std::span<const RunningTensor<T>> tensors,
                  const int64_t* gate) {
  if (gate && *gate != 0) return;
  for_chunks(ctx, tensors, [=](const RunningTensor<T>& t, int64_t begin, int64_t end) {
    const T old = static_cast<T>(keep), share = static_cast<T>(t.share);
    for (int64_t i = begin; i < end; ++i) t.running[i] = old * t.running[i] + share * t.batch[i];
  });
}

#define OCHE_INSTANTIATE(T)                                                                      \
  template void flag_non_finite(CpuContext&, std::span<const FlatTensor<T>>, int64_t, int64_t*); \
  template void move_running(                                                                    \
      CpuContext&, double, std::span<const RunningTensor<T>>, const int64_t*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
