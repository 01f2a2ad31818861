// Channel statistics of a data set.
#include "nas/data/dataset.h"

#include <cmath>

namespace oche::nas {
namespace {

template <typename Sum, typename Element>
void measure(const std::vector<Element>& elements, double scale, Dataset& set) {
  const auto channels = static_cast<size_t>(set.channels);
  std::vector<Sum> sum(channels), squares(channels);
  for (size_t i = 0; i < elements.size(); ++i) {
    const Sum v = elements[i];
    sum[i % channels] += v;
    squares[i % channels] += v * v;
  }
  set.mean.assign(channels, 0);
  set.deviation.assign(channels, 1);
  const auto count = static_cast<double>(set.height * set.width * set.size());
  for (size_t c = 0; c < channels && count > 0; ++c) {
    const double mean = static_cast<double>(sum[c]) / count;
    const double variance = std::fma(-mean, mean, static_cast<double>(squares[c]) / count);
    set.mean[c] = mean / scale;
    if (variance > 0) set.deviation[c] = std::sqrt(variance) / scale;
  }
}

}  // namespace

void measure_channels(Dataset& set) {
  if (set.values.empty()) {
    measure<uint64_t>(set.pixels, 255, set);  // sums of integers, hence exact
  } else {
    measure<double>(set.values, 1, set);
  }
}

}  // namespace oche::nas
