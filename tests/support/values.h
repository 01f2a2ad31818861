// Samples that float holds exactly, outputs that start as NaN, and how far a result is from its
// reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/reference.h"

namespace oche {

template <typename T>
constexpr double kEpsilon = std::numeric_limits<T>::epsilon();

// n multiples of 2^-16 in [low, high]; `seed` tells two such inputs of one size apart.
inline ref::Values random_values(int64_t n, double low = -1, double high = 1, uint32_t seed = 1) {
  std::mt19937 bits(static_cast<uint32_t>(n) + seed);
  ref::Values v(n);
  for (double& x : v)
    x = std::ldexp(std::floor(std::ldexp(low + (high - low) * bits() * 0x1p-32, 16)), -16);
  return v;
}

// n integers in [-4, 4]; `seed` tells two such inputs of one size apart.
inline ref::Values small_integers(int64_t n, uint32_t seed = 1) {
  std::mt19937 bits(seed);
  ref::Values v(n);
  for (double& x : v) x = static_cast<double>(bits() % 9) - 4;
  return v;
}

inline ref::Indices random_indices(int64_t n, int64_t end) {
  std::mt19937 bits(7);
  ref::Indices v(n);
  for (int64_t& x : v) x = bits() % end;
  return v;
}

template <typename T>
std::vector<T> as(const ref::Values& v) {
  return std::vector<T>(v.begin(), v.end());
}

template <typename T>
ref::Values as_values(const std::vector<T>& v) {
  return ref::Values(v.begin(), v.end());
}

// n elements that a kernel must overwrite.
template <typename T>
std::vector<T> poison(int64_t n) {
  return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

// The largest |got - want| / max(1, |want|); infinite where only one is a NaN, or infinities
// differ, or sizes do.
template <typename T>
double worst_error(const std::vector<T>& got, const ref::Values& want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double u = got[i], v = want[i];
    if (u == v || (std::isnan(u) && std::isnan(v))) continue;
    const double error = std::abs(u - v) / std::max(1.0, std::abs(v));
    worst = std::max(worst, std::isnan(error) ? std::numeric_limits<double>::infinity() : error);
  }
  return worst;
}

}  // namespace oche
