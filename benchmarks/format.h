// Numbers for people.
#pragma once

#include <string>

namespace oche::bench {

// Three significant digits, no exponent: 0.0123, 1.23, 12.3, 123, 1235. "-" for what is not finite.
std::string three_digits(double value);

// With a unit that leaves one to three digits before the point: "1.23 ms".
std::string format_seconds(double seconds);

// Likewise with prefixes of a thousand: format_si(3.2e10, "B/s") is "32.0 GB/s".
std::string format_si(double value, const std::string& unit);

}  // namespace oche::bench
