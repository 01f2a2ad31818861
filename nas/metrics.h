// The figures that each epoch leaves in metrics.csv.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nas/search.h"

namespace oche::nas {

struct EpochMetrics {
  int64_t epoch;  // from 1
  double lr;
  double train_loss, search_loss;
  double train_accuracy, search_accuracy, discrete_accuracy, discretisation_gap;
  int64_t skip_normal, skip_reduce;       // skip connections in the derived cells
  double entropy_normal, entropy_reduce;  // see mean_entropy()
  double temperature;
  double seconds, images_per_second;
  int64_t peak_bytes;
};

EpochMetrics metrics_of(const EpochReport& report);

// A member of EpochMetrics under the name of its column.
struct MetricColumn {
  std::string_view name;
  std::variant<int64_t EpochMetrics::*, double EpochMetrics::*> member;
};
std::span<const MetricColumn> metric_columns();  // in file order

// CSV as RFC 4180 has it: one header line, lines end in CR LF. Numbers read back to the same bits.
std::string csv_header();
std::string csv_row(const EpochMetrics& metrics);

// Such a file, also with LF alone; see whole_lines() for a torn end. Throws FormatError naming
// source, line and column.
std::vector<EpochMetrics> parse_metrics(std::string_view csv, const std::string& source);

}  // namespace oche::nas
