// Axes with ticks at round numbers.
#include "nas/report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>

namespace oche::nas::report {
namespace {

constexpr double kLargest = 1e100;
constexpr double kLeastSpan = 1e-9;  // of the largest value: below, the values count as one
constexpr double kLeast = 1e-90;     // what is smaller, and a smaller span, counts as 0
constexpr std::string_view kMinus = "−";

// mantissa * 10^exponent
struct Step {
  int mantissa, exponent;

  // `times` such steps, correctly rounded for moderate exponents.
  double multiple(int64_t times) const {
    const auto units = static_cast<double>(times * mantissa);
    return exponent >= 0 ? units * std::pow(10, exponent) : units / std::pow(10, -exponent);
  }
  std::string label(int64_t times) const {
    const int64_t units = times * mantissa;
    if (units == 0) return "0";
    const std::string_view sign = units < 0 ? kMinus : "";
    if (exponent < -5 || exponent > 4)
      return fmt::format("{}{}e{}", sign, std::abs(units), exponent);
    return fmt::format("{}{:.{}f}", sign, std::abs(multiple(times)), std::max(0, -exponent));
  }
};

// The least that makes at most `most` intervals of the span.
Step round_step(double span, const AxisOptions& options) {
  const double raw = span / options.most;
  const int exponent = static_cast<int>(std::floor(std::log10(raw)));
  for (int e = exponent;; ++e) {
    for (const int mantissa : {1, 2, 5}) {
      const Step step{mantissa, e};
      if (step.multiple(1) >= raw * (1 - 1e-9) && (e >= 0 || !options.whole)) return step;
    }
  }
}

}  // namespace

bool is_drawable(double value) {
  return std::abs(value) <= kLargest;
}

Axis make_axis(double lo, double hi, const AxisOptions& options) {
  if (!is_drawable(lo) || !is_drawable(hi) || lo > hi || options.most < 1) {
    throw std::invalid_argument(
        fmt::format("axis: from {} to {} in {} intervals; expected a range of finite numbers",
                    lo,
                    hi,
                    options.most));
  }
  const double largest = std::max(std::abs(lo), std::abs(hi));
  if (hi - lo <= std::max(largest * kLeastSpan, kLeast)) {
    const double pad = options.whole ? 0.5 : largest <= kLeast ? 1 : largest / 10;
    lo -= pad;
    hi += pad;
  }
  const Step step = round_step(hi - lo, options);
  const double length = step.multiple(1);
  // A value that is a tick but for rounding is one.
  const double slack = 1e-6;
  auto first = static_cast<int64_t>(options.expand ? std::floor(lo / length + slack)
                                                   : std::ceil(lo / length - slack));
  auto last = static_cast<int64_t>(options.expand ? std::ceil(hi / length - slack)
                                                  : std::floor(hi / length + slack));
  if (options.expand && first == last) ++last;
  Axis axis{lo, hi, {}};
  for (int64_t times = first; times <= last; ++times)
    axis.ticks.push_back({step.multiple(times), step.label(times)});
  if (options.expand) axis.lo = axis.ticks.front().value, axis.hi = axis.ticks.back().value;
  for (Tick& tick : axis.ticks) tick.value = std::clamp(tick.value, axis.lo, axis.hi);
  return axis;
}

}  // namespace oche::nas::report
