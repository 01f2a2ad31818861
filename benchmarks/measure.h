// Measures rows: each is checked first, then timed by Google Benchmark.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/row.h"

namespace oche::bench {

struct MeasureOptions {
  DType dtype = DType::kFloat32;
  int repetitions = 7;
  double min_seconds = 0.05;  // of one repetition
};

// Seconds of one run, for each repetition; a repetition has as many runs as fill min_seconds.
// Nothing is warmed up.
std::vector<double> time(const std::string& name,
                         const std::function<void()>& run,
                         const MeasureOptions& options);

struct Measurement {
  std::string row, short_name, family, group;
  Arguments arguments;
  double bytes = 0, flops = 0;  // of one run
  Check check = {};
  std::string checked_at = {};       // the row that was checked, where it is a smaller one
  std::vector<double> seconds = {};  // of one run, a repetition each; empty when the check failed
  int64_t peak_tensor_bytes = 0;     // live at once; 0 for kernels, which allocate nothing
  // On a CUDA device (device_timing.h):
  int64_t copies = 0;
  std::string launches = {};
  double copy_seconds = 0;  // what a copy of as many bytes takes there

  bool passed() const { return check.passed(); }
  double median() const;  // NaN without repetitions
  double percent_of_copy() const { return 100 * copy_seconds / median(); }
};

Measurement measure(const Row& row, const MeasureOptions& options);

// The middle one, or the mean of the two in the middle; NaN of nothing.
double median(std::vector<double> values);

}  // namespace oche::bench
