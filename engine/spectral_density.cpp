// Stochastic Lanczos quadrature, and whole spectra of small operators.
#include "engine/spectral_density.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "engine/error.h"
#include "engine/flat.h"

namespace oche {
namespace {

void check(const DensityOptions& o) {
  if (o.probes < 1 || o.steps < 1 || o.points < 2 || !(o.width > 0))
    throw std::invalid_argument(
        fmt::format("spectral density: {} probes, {} steps, {} points, width {}; expected 1, 1, 2 "
                    "or more, and a positive width",
                    o.probes,
                    o.steps,
                    o.points,
                    o.width));
}

// A Gaussian at each value, of mass `weights`, which sum to 1.
SpectralDensity broadened(const Vector& values, const Vector& weights, const DensityOptions& o) {
  const auto [low, high] = std::ranges::minmax(values);
  // Values that are one but for rounding have a width, too.
  const double size = std::max(std::abs(low), std::abs(high));
  const double range = high - low > 1e-12 * size ? high - low : (size > 0 ? size : 1);
  const double deviation = o.width * range;
  SpectralDensity d;
  for (size_t i = 0; i < values.size(); ++i) {
    d.mean += weights[i] * values[i];
    if (values[i] < -deviation) d.negative += weights[i];
  }
  const double from = low - 4 * deviation, length = high - low + 8 * deviation;
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

}  // namespace

SpectralDensity spectral_density(const SymmetricProduct& product,
                                 int64_t n,
                                 const DensityOptions& o) {
  check(o);
  Vector values, weights;
  for (int64_t probe = 0; probe < o.probes; ++probe) {
    const LanczosResult r = lanczos(product,
                                    n,
                                    {.steps = o.steps,
                                     .tolerance = 0,
                                     .seed = o.seed + static_cast<uint64_t>(probe) + 1,
                                     .vectors = 0});
    values.insert(values.end(), r.values.begin(), r.values.end());
    for (const double w : r.weights) weights.push_back(w / static_cast<double>(o.probes));
  }
  return broadened(values, weights, o);
}

SpectralDensity spectral_density(const Vector& eigenvalues, const DensityOptions& o) {
  check(o);
  if (eigenvalues.empty()) throw std::invalid_argument("spectral density: no eigenvalues");
  const double each = 1 / static_cast<double>(eigenvalues.size());
  return broadened(eigenvalues, Vector(eigenvalues.size(), each), o);
}

Vector all_eigenvalues(const SymmetricProduct& product, int64_t n) {
  if (n < 1)
    throw std::invalid_argument(
        fmt::format("all eigenvalues: dimension {}; expected 1 or more", n));
  Vector matrix(n * n, 0), unit(n, 0);
  for (int64_t i = 0; i < n; ++i) {
    unit[i] = 1;
    const Vector row = product(unit);
    unit[i] = 0;
    if (!std::isfinite(norm(row))) throw NonFinite("all eigenvalues", "a product");
    for (int64_t j = 0; j < n; ++j) {
      matrix[i * n + j] += row[j] / 2;
      matrix[j * n + i] += row[j] / 2;
    }
  }
  return symmetric_eigenvectors(std::move(matrix), n).values;
}

Signs signs_of(const Vector& eigenvalues, double rounding) {
  double largest = 0;
  for (const double value : eigenvalues) largest = std::max(largest, std::abs(value));
  Signs signs;
  for (const double value : eigenvalues) {
    if (std::abs(value) <= rounding * largest) {
      ++signs.zero;
    } else if (value < 0) {
      ++signs.negative;
    }
  }
  return signs;
}

}  // namespace oche
