// Mean, deviation, best.
#include "nas/spread.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace oche::nas {

Spread spread_of(std::span<const double> values, Better better) {
  if (values.empty()) throw std::invalid_argument("spread_of: no values");
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {.mean = mean,
          .deviation = std::sqrt(squares / (n - 1)),  // 0 / 0 for one value
          .n = static_cast<int64_t>(values.size()),
          .best = better == Better::kHigher ? *std::ranges::max_element(values)
                                            : *std::ranges::min_element(values)};
}

}  // namespace oche::nas
