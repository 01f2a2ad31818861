// Stochastic Lanczos quadrature.
#include "engine/spectral_density.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace oche {

SpectralDensity spectral_density(const SymmetricProduct& product,
                                 int64_t n,
                                 const DensityOptions& o) {
  if (o.probes < 1 || o.steps < 1 || o.points < 2 || !(o.width > 0))
    throw std::invalid_argument(
        fmt::format("spectral density: {} probes, {} steps, {} points, width {}; expected 1, 1, 2 "
                    "or more, and a positive width",
                    o.probes,
                    o.steps,
                    o.points,
                    o.width));
  std::vector<double> values, weights;
  for (int64_t probe = 0; probe < o.probes; ++probe) {
    const LanczosResult r = lanczos(
        product,
        n,
        {.steps = o.steps, .tolerance = 0, .seed = o.seed + static_cast<uint64_t>(probe) + 1});
    values.insert(values.end(), r.values.begin(), r.values.end());
    for (const double w : r.weights) weights.push_back(w / static_cast<double>(o.probes));
  }
  const auto [low, high] = std::ranges::minmax(values);
  const double range = std::max(high - low, 1e-300), deviation = o.width * range;
  SpectralDensity d;
  for (size_t i = 0; i < values.size(); ++i) {
    d.mean += weights[i] * values[i];
    if (values[i] < -deviation) d.negative += weights[i];
  }
  const double from = low - 4 * deviation, length = range + 8 * deviation;
  for (int64_t k = 0; k < o.points; ++k) {
    const double x = from + length * static_cast<double>(k) / static_cast<double>(o.points - 1);
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double z = (x - values[i]) / deviation;
      sum += weights[i] * std::exp(-z * z / 2);
    }
    d.at.push_back(x);
    d.density.push_back(sum / (deviation * std::sqrt(2 * std::numbers::pi)));
  }
  return d;
}

}  // namespace oche
