// What Google Benchmark reports, as numbers.
#pragma once

#include <string>
#include <vector>

#include "benchmarks/measure.h"

namespace oche::bench {

// Runs the one benchmark that is registered, and forgets it: seconds of an iteration, for each
// repetition.
std::vector<double> run_registered(const std::string& name, const MeasureOptions& options);

}  // namespace oche::bench
