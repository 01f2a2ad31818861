// The copy bandwidth and the peak of multiply-adds.
#include "benchmarks/roofs.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "benchmarks/device_timing.h"
#include "benchmarks/launch.h"
#include "engine/runtime.h"
#include "kernels/peak.h"

namespace oche::bench {
namespace {

constexpr int64_t kMiB = 1 << 20;

// Twice the last level of cache, for each of two buffers; a virtual machine may not tell its size.
int64_t copy_size() {
  const int64_t cache = std::max<int64_t>(0, sysconf(_SC_LEVEL3_CACHE_SIZE));
  return std::clamp<int64_t>(2 * cache, 64 * kMiB, 512 * kMiB);
}

double copy_seconds(int64_t bytes, const MeasureOptions& options) {
  const std::unique_ptr<char[]> from(new char[bytes]), to(new char[bytes]);
  std::memset(from.get(), 1, bytes);
  std::memset(to.get(), 0, bytes);
  const int64_t parts = cpu_context().threads(), part = bytes / parts;
  const auto copy = [&] {
    cpu_context().parallel(parts, [&](int64_t i) {
      const int64_t end = i + 1 == parts ? bytes : (i + 1) * part;
      std::memcpy(to.get() + i * part, from.get() + i * part, end - i * part);
    });
  };
  copy();
  return std::ranges::min(time("roof/copy", copy, options));
}

template <typename T>
double peak_flops(const MeasureOptions& options) {
  const int64_t tasks = 8 * cpu_context().threads(), rounds = 20000;  // some 50 us a task
  std::vector<T> results(tasks);
  int64_t flops = 0;
  const auto compute = [&] {
    flops = kernels::multiply_add_chains<T>(cpu_context(), tasks, rounds, results.data());
  };
  compute();
  return static_cast<double>(flops) / std::ranges::min(time("roof/peak", compute, options));
}

}  // namespace

Roofs measure_roofs(const MeasureOptions& options) {
  if (on_cuda()) return measure_device_roofs(options);
  const int64_t bytes = copy_size();
  return {.bytes_per_second = 2.0 * static_cast<double>(bytes) / copy_seconds(bytes, options),
          .flops_per_second = options.dtype == DType::kFloat32 ? peak_flops<float>(options)
                                                               : peak_flops<double>(options),
          .copied_bytes = bytes};
}

Rates rates(double bytes, double flops, double seconds, const Roofs& roofs) {
  const double b = bytes / seconds, f = flops / seconds;
  return {.bytes_per_second = b,
          .flops_per_second = f,
          .percent_of_bandwidth = 100 * b / roofs.bytes_per_second,
          .percent_of_peak = 100 * f / roofs.flops_per_second,
          .bound = flops > roofs.ridge() * bytes ? Bound::kPeak : Bound::kBandwidth};
}

}  // namespace oche::bench
