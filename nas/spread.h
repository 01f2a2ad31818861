// How far the figures of runs that differ in the seed alone lie apart.
#pragma once

#include <cstdint>
#include <span>

namespace oche::nas {

enum class Better { kHigher, kLower };

struct Spread {
  double mean;
  double deviation;  // of the sample: over n - 1; NaN for a single value
  int64_t n;
  double best;
};

// Throws std::invalid_argument where there are no values.
Spread spread_of(std::span<const double> values, Better better);

}  // namespace oche::nas
