// Numbers for people.
#include "benchmarks/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace oche::bench {
namespace {

// `value` in units of the largest of 1, 10^3, ... that it reaches once it is rounded.
std::string scaled(double value, std::initializer_list<std::string_view> units) {
  const std::string_view* unit = units.begin();
  while (std::isfinite(value) && value >= 999.5 && unit + 1 != units.end()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), *unit);
}

}  // namespace

std::string three_digits(double value) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  // Rounded first, so that 9.996 counts as 10.0.
  const double unit = std::pow(10, std::floor(std::log10(std::abs(value))) - 2);
  const double rounded = std::round(value / unit) * unit;
  const int leading = static_cast<int>(std::floor(std::log10(std::abs(rounded)) + 1e-9));
  return fmt::format(
      "{:.{}f}", std::abs(value) >= 999.5 ? value : rounded, std::max(0, 2 - leading));
}

std::string format_seconds(double seconds) {
  return scaled(seconds * 1e9, {"ns", "us", "ms", "s"});
}

std::string format_si(double value, const std::string& unit) {
  const std::string k = "k" + unit, m = "M" + unit, g = "G" + unit, t = "T" + unit;
  return scaled(value, {unit, k, m, g, t});
}

}  // namespace oche::bench
