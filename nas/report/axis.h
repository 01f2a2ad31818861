// Axes with ticks at round numbers.
#pragma once

#include <string>
#include <vector>

namespace oche::nas::report {

struct Tick {
  double value;
  std::string label;  // the value exactly, with as many decimals as the others; zero is "0"
};

struct Axis {
  double lo, hi;            // lo < hi
  std::vector<Tick> ticks;  // increasing, within [lo, hi]
};

struct AxisOptions {
  int most = 5;         // intervals between ticks, about
  bool whole = false;   // ticks at whole numbers alone
  bool expand = false;  // outwards, so that it begins and ends at ticks
};

// An axis for values from lo to hi, at most 1e100 from 0. Its ticks are the multiples of a step of
// 1, 2 or 5 times a power of ten. Where the values are one, or differ by no more than rounding
// errors, the axis reaches to both sides of them. Throws std::invalid_argument for others.
Axis make_axis(double lo, double hi, const AxisOptions& options);

// True iff a value can be drawn: finite, and at most 1e100 from 0.
bool is_drawable(double value);

}  // namespace oche::nas::report
