// Times on a CUDA device by events.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "benchmarks/collector.h"
#include "benchmarks/device_memory.h"
#include "benchmarks/device_timing.h"
#include "benchmarks/kernel_case.h"
#include "engine/error.h"
#include "engine/graph.h"
#include "kernels/cuda/runtime.h"
#include "kernels/elementwise.h"
#include "kernels/peak.h"
#include "kernels/reduce.h"

namespace oche::bench {
namespace {

namespace cuda = kernels::cuda;

kernels::CudaContext& context() {
  return cuda_context(default_device().index);
}
cuda::DeviceProperties properties() {
  return cuda::device_properties(default_device().index);
}

// Memory whose contents do not matter.
std::shared_ptr<void> some_memory(size_t bytes) {
  kernels::CudaContext& ctx = context();
  std::shared_ptr<void> memory(cuda::allocate(ctx, bytes),
                               [&ctx](void* p) { cuda::release(ctx, p); });
  cuda::fill_bytes(ctx, memory.get(), 0, bytes);
  return memory;
}

// Fills the level-2 cache with what no row reads. By reading: what a row would have to push out
// first costs it no traffic.
class Eviction {
 public:
  Eviction()
      : n_(2 * properties().l2_bytes / static_cast<int64_t>(sizeof(float))),
        buffer_(some_memory(n_ * sizeof(float))),
        sum_(some_memory(sizeof(float))),
        workspace_(some_memory(kernels::sum_workspace(1, n_, 1) * sizeof(double))) {}

  void operator()() const {
    kernels::sum<float>(context(),
                        1,
                        n_,
                        1,
                        static_cast<const float*>(buffer_.get()),
                        static_cast<float*>(sum_.get()),
                        static_cast<double*>(workspace_.get()));
  }

 private:
  int64_t n_;
  std::shared_ptr<void> buffer_, sum_, workspace_;
};

// Larger than the cache together, within an eighth of the device's memory.
int64_t copies_of(const Case& c) {
  const cuda::DeviceProperties p = properties();
  const double bytes = std::max(c.bytes, 1.0);
  const double most =
      std::min(static_cast<double>(c.most_copies), static_cast<double>(p.total_bytes) / 8 / bytes);
  const double wanted = std::ceil(2 * static_cast<double>(p.l2_bytes) / bytes);
  return static_cast<int64_t>(std::max(1.0, std::min(std::max(2.0, wanted), most)));
}

// All copies, one after another: recorded where they can be.
class Round {
 public:
  explicit Round(std::vector<Case> copies) : copies_(std::move(copies)) {
    switch (copies_.front().launches) {
      case Launches::kOwnGraphs:
        launches_ = "own graphs";
        break;
      case Launches::kOneByOne:
        launches_ = "one by one: it reads back what the device has written";
        break;
      case Launches::kRecorded:
        record();
        break;
    }
  }
  void operator()() const {
    if (graph_) {
      graph_->replay();
    } else {
      run();
    }
  }
  const std::string& launches() const { return launches_; }

 private:
  void run() const {
    for (const Case& c : copies_) (c.repeat ? c.repeat : c.run)();
  }
  void record() {
    const auto work = [this] { run(); };
    try {
      arena_ = std::make_unique<Arena>(std::max<int64_t>(arena_bytes(work), 256));
      graph_ = std::make_unique<RecordedWork>(work, *arena_);
      launches_ = "graph";
    } catch (const cuda::OutOfMemory&) {
      throw;
    } catch (const cuda::Error& e) {
      launches_ = "one by one: " + one_line(e.what());
      graph_.reset();
      arena_.reset();
    }
  }

  std::vector<Case> copies_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<RecordedWork> graph_;
  std::string launches_;
};

std::vector<double> time_rounds(const std::string& name,
                                const std::function<void()>& before,
                                const std::function<void()>& round,
                                const MeasureOptions& options) {
  cuda::Event begin, end;
  const auto measure = [&](::benchmark::State& state) {
    for (auto _ : state) {
      before();
      begin.record(context());
      round();
      end.record(context());
      state.SetIterationTime(begin.milliseconds_to(end) * 1e-3);
    }
  };
  ::benchmark::RegisterBenchmark(name.c_str(), measure)
      ->UseManualTime()
      ->MinTime(options.min_seconds)
      ->Repetitions(options.repetitions);
  return run_registered(name, options);
}

template <typename T>
double peak_flops(const MeasureOptions& options) {
  const int64_t tasks = int64_t{4} * 2048 * properties().multiprocessors;
  const auto results = some_memory(tasks * sizeof(T));
  int64_t rounds = 16, flops = 0;
  const auto compute = [&] {
    flops =
        kernels::multiply_add_chains<T>(context(), tasks, rounds, static_cast<T*>(results.get()));
  };
  // Long enough that neither the launch nor the last blocks count for much.
  cuda::Event begin, end;
  for (double milliseconds = 0; milliseconds < 1; rounds *= 2) {
    compute();
    begin.record(context());
    compute();
    end.record(context());
    milliseconds = begin.milliseconds_to(end);
  }
  const std::vector<double> seconds = time_rounds(
      "roof/peak", [] {}, compute, options);
  return static_cast<double>(flops) / std::ranges::min(seconds);
}

}  // namespace

std::shared_ptr<void> on_default_device(const void* from, size_t bytes) {
  std::shared_ptr<void> memory = some_memory(bytes);
  cuda::copy_to_device(context(), memory.get(), from, bytes);
  return memory;
}

DeviceTimes time_on_device(const std::string& name,
                           const Case& first,
                           const std::function<Case()>& make,
                           const MeasureOptions& options) {
  std::vector<Case> copies = {first};
  const int64_t count = copies_of(first);
  while (static_cast<int64_t>(copies.size()) < count) {
    copies.push_back(make());
    copies.back().run();
  }
  const Round round(std::move(copies));
  const Eviction evict;
  round();
  DeviceTimes times{
      time_rounds(name, std::cref(evict), std::cref(round), options), count, round.launches()};
  for (double& s : times.seconds) s /= static_cast<double>(count);
  return times;
}

Case copy_case(int64_t bytes, bool by_kernel) {
  const int64_t n = std::max<int64_t>(1, bytes / 8);  // floats that are read, and written
  const auto x = input<float>(n), y = output<float>(n);
  const auto copy = [=](auto& ctx) {
    if constexpr (std::is_same_v<decltype(ctx), kernels::CudaContext&>) {
      if (!by_kernel) return cuda::copy_on_device(ctx, y.data(), x.data(), n * sizeof(float));
    }
    kernels::affine<float>(ctx, n, 1, 0, x.data(), y.data());
  };
  return {.run = launch(copy),
          .check = [=] { return compare(y, x.reference(), 0); },
          .bytes = x.bytes() + y.bytes()};
}

double CopyTimes::seconds(double bytes) {
  const auto key = static_cast<int64_t>(bytes);
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  double best = std::numeric_limits<double>::infinity();
  for (const bool by_kernel : {false, true}) {
    const Case c = copy_case(key, by_kernel);
    c.run();
    const auto make = [&] { return copy_case(key, by_kernel); };
    const std::string name = fmt::format("copy/bytes:{}/kernel:{}", key, by_kernel ? 1 : 0);
    best = std::min(best, median(time_on_device(name, c, make, options_).seconds));
  }
  return known_[key] = best;
}

Roofs measure_device_roofs(const MeasureOptions& options) {
  const int64_t bytes = std::clamp<int64_t>(8 * properties().l2_bytes, 1 << 21, 1 << 30);
  const auto from = some_memory(bytes), to = some_memory(bytes);
  const auto copy = [&] { cuda::copy_on_device(context(), to.get(), from.get(), bytes); };
  copy();
  const double seconds = std::ranges::min(time_rounds(
      "roof/copy", [] {}, copy, options));
  return {.bytes_per_second = 2.0 * static_cast<double>(bytes) / seconds,
          .flops_per_second = options.dtype == DType::kFloat32 ? peak_flops<float>(options)
                                                               : peak_flops<double>(options),
          .copied_bytes = bytes};
}

nlohmann::ordered_json device_conditions() {
  const cuda::DeviceProperties p = properties();
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  return {{"driver", version(p.driver)},
          {"runtime", version(p.runtime)},
          {"multiprocessors", p.multiprocessors},
          {"l2_bytes", p.l2_bytes}};
}

}  // namespace oche::bench
