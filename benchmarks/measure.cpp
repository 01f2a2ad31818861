// Check, warm up, measure.
#include "benchmarks/measure.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "benchmarks/collector.h"
#include "benchmarks/device_timing.h"
#include "benchmarks/launch.h"
#include "engine/storage.h"

namespace oche::bench {
namespace {

// A naive reference makes some 10^8 operations a second.
constexpr double kMaxCheckFlops = 4e8;
constexpr int64_t kSmallestBatch = 2;  // that batch normalisation has a variance of

class Collector : public ::benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.iterations == 0) continue;
      seconds.push_back(run.real_accumulated_time / static_cast<double>(run.iterations));
    }
  }
  std::vector<double> seconds;
};

// The row itself, or one with a smaller batch where the naive reference would take too long.
Row row_to_check(const Row& row, double flops) {
  const std::string_view batch = row.family->batch;
  if (batch.empty() || flops <= kMaxCheckFlops) return row;
  Row smaller = row;
  const auto all = row.arguments[batch];
  const auto affordable = static_cast<int64_t>(static_cast<double>(all) * kMaxCheckFlops / flops);
  smaller.arguments.set(batch, std::min(all, std::max(kSmallestBatch, affordable)));
  return smaller;
}

}  // namespace

std::vector<double> time(const std::string& name,
                         const std::function<void()>& run,
                         const MeasureOptions& options) {
  ::benchmark::RegisterBenchmark(name.c_str(),
                                 [&run](::benchmark::State& state) {
                                   for (auto _ : state) run();
                                 })
      ->UseRealTime()
      ->MinTime(options.min_seconds)
      ->Repetitions(options.repetitions);
  return run_registered(name, options);
}

std::vector<double> run_registered(const std::string& name, const MeasureOptions& options) {
  Collector collector;
  ::benchmark::RunSpecifiedBenchmarks(&collector, ".");
  ::benchmark::ClearRegisteredBenchmarks();
  if (collector.seconds.size() != static_cast<size_t>(options.repetitions)) {
    throw std::logic_error("Google Benchmark did not report every repetition of " + name);
  }
  return collector.seconds;
}

double Measurement::median() const {
  return bench::median(seconds);
}

Measurement measure(const Row& row, const MeasureOptions& options) {
  const Case timed = row.family->make(row.arguments, options.dtype);
  Measurement m{.row = row.name(),
                .short_name = row.short_name(),
                .family = row.family->name,
                .group = row.family->group,
                .arguments = row.arguments,
                .bytes = timed.bytes,
                .flops = timed.flops};
  const Row checked = row_to_check(row, timed.flops);
  reset_peak_memory();
  timed.run();
  if (checked.name() == m.row) {
    m.check = timed.check();
  } else {
    m.checked_at = checked.name();
    const Case smaller = row.family->make(checked.arguments, options.dtype);
    smaller.run();
    m.check = smaller.check();
  }
  if (!m.passed()) return m;
  if (on_cuda()) {
    reset_peak_memory();
    timed.run();
    m.peak_tensor_bytes = memory_stats().peak;
    const auto again = [&] { return row.family->make(row.arguments, options.dtype); };
    DeviceTimes times = time_on_device(m.row, timed, again, options);
    m.seconds = std::move(times.seconds);
    m.copies = times.copies;
    m.launches = std::move(times.launches);
    return m;
  }
  timed.run();
  reset_peak_memory();
  m.seconds = time(m.row, timed.run, options);
  m.peak_tensor_bytes = memory_stats().peak;
  return m;
}

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace oche::bench
