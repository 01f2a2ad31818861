// What a run found, and its forms: a JSON document, CSV, a table.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/measure.h"
#include "benchmarks/roofs.h"

namespace oche::bench {

struct Report {
  MeasureOptions options;
  Roofs roofs;
  std::vector<Measurement> rows;
  int64_t peak_resident_bytes = 0;  // of the process, when the last row had been measured
  bool on_cuda = false;             // rows and roofs are of the default device, a CUDA device
};

// Schema 1. Says what was measured where, but not whose machine it is: no host name, no paths.
nlohmann::ordered_json to_json(const Report& report);

// One line a row (RFC 4180); a row whose check failed has no times.
std::string to_csv(const Report& report);

// One line a row, the roofs below; the percentage of the roof that binds carries a star.
std::string to_table(const Report& report);

}  // namespace oche::bench
