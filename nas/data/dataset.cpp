// Channel statistics of a data set.
#include "nas/data/dataset.h"

#include <cmath>

namespace oche::nas {

void measure_channels(TrainTest& sets) {
  Dataset& train = sets.train;
  const auto channels = static_cast<size_t>(train.channels);
  std::vector<uint64_t> sum(channels), squares(channels);  // integers, hence exact
  for (size_t i = 0; i < train.pixels.size(); ++i) {
    const uint64_t p = train.pixels[i];
    sum[i % channels] += p;
    squares[i % channels] += p * p;
  }
  train.mean.assign(channels, 0);
  train.deviation.assign(channels, 1);
  const auto count = static_cast<double>(train.height * train.width * train.size());
  for (size_t c = 0; c < channels && count > 0; ++c) {
    const double mean = static_cast<double>(sum[c]) / count;
    const double variance = std::fma(-mean, mean, static_cast<double>(squares[c]) / count);
    train.mean[c] = mean / 255;
    train.deviation[c] = variance > 0 ? std::sqrt(variance) / 255 : 1;
  }
  sets.test.mean = train.mean;
  sets.test.deviation = train.deviation;
}

}  // namespace oche::nas
