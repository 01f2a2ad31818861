// The roofline plot: achieved operations a second over operations a byte, under the two roofs.
#pragma once

#include <string>

#include "benchmarks/report.h"

namespace oche::bench {

// An SVG with a numbered marker for each row that computes something, coloured by group, and the
// key beside the plot. `subtitle` says what was measured where.
std::string roofline_svg(const Report& report, const std::string& subtitle);

}  // namespace oche::bench
