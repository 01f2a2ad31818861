// What a run directory holds for the page that draws it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "nas/edge_record.h"
#include "nas/genotype.h"
#include "nas/run_summary.h"

namespace oche::nas::report {

// Of a line of genotypes.jsonl.
struct EpochCells {
  int64_t epoch;             // from 1
  CandidateWeights weights;  // a row for each searched edge; NaN where they are not finite
  Genotype genotype;
};

struct ReportData {
  RunSummary run;
  std::vector<EpochCells> cells;                                 // epoch after epoch
  std::string config;                                            // config.toml as it is
  std::vector<std::pair<std::string, std::string>> environment;  // of env.json, in order
};

// Reads the run in `directory`, which may be running, killed or at its end: a line that is being
// written is left out, and so are the files that do not exist yet, but for events.jsonl and
// metrics.csv. Throws IoError where these are missing, and FormatError naming file and line for
// what is malformed.
ReportData read_report_data(const std::filesystem::path& directory);

}  // namespace oche::nas::report
