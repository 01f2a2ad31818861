// What the machine can do at best, measured in the same run, and how near a row comes (Williams,
// Waterman, Patterson: "Roofline", CACM 2009).
#pragma once

#include <cstdint>

#include "benchmarks/measure.h"

namespace oche::bench {

struct Roofs {
  double bytes_per_second = 0;  // read and written by a copy of buffers far larger than the caches
  double flops_per_second = 0;  // multiply-adds on registers alone
  int64_t copied_bytes = 0;     // the size of such a buffer

  // The intensity, in operations a byte, from which on the peak binds and not the bandwidth.
  double ridge() const { return flops_per_second / bytes_per_second; }
};

// The fastest of the repetitions, with as many threads as the rows, or on their device.
Roofs measure_roofs(const MeasureOptions& options);

enum class Bound { kBandwidth, kPeak };

struct Rates {
  double bytes_per_second, flops_per_second;
  double percent_of_bandwidth, percent_of_peak;
  Bound bound;  // the roof above the row's intensity
};
Rates rates(double bytes, double flops, double seconds, const Roofs& roofs);

}  // namespace oche::bench
