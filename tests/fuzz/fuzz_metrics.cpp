// Fuzz target: metrics.csv. Rows read the same when written again.
#include "engine/error.h"
#include "nas/metrics.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

namespace {

std::string to_csv(const std::vector<EpochMetrics>& rows) {
  std::string csv = csv_header();
  for (const EpochMetrics& row : rows) csv += csv_row(row);
  return csv;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<EpochMetrics> rows;
  if (fuzz::accepts<FormatError>(
          [&] { rows = parse_metrics(fuzz::text_of(data, size), "metrics.csv"); })) {
    const std::string csv = to_csv(rows);
    fuzz::require(to_csv(parse_metrics(csv, "again")) == csv, "rows read as written");
  }
  return 0;
}
