// What a run directory tells about its run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nas/checkpoint_files.h"
#include "nas/edge_record.h"
#include "nas/genotype.h"
#include "nas/metrics.h"

namespace oche::nas {

struct RunSummary {
  // The newest start.
  std::string method, dataset;
  uint64_t seed = 0;
  int64_t epochs_planned = 0, steps_per_epoch = 0;
  int64_t weights = 0, alphas = 0;  // how many
  SearchedEdges edges;

  std::vector<EpochMetrics> epochs;

  enum class State { kRunning, kInterrupted, kFinished };  // running, or killed
  State state = State::kRunning;
  struct Accuracies {
    double train, search, discrete;  // over the whole halves; of the derived cells on the latter
  };
  std::optional<Accuracies> accuracies;  // of a finished run, as is the genotype
  std::optional<Genotype> genotype;
  std::string reason;        // why it ended before its last epoch, if a stop ended it
  int64_t chosen_epoch = 0;  // whose cells the stop chose, from 1; 0: no stop ended it

  std::vector<CheckpointFile> checkpoints;  // oldest first
};

std::string_view name_of(RunSummary::State state);

// Reads the run in `directory`. Throws IoError where there is none, and
// FormatError naming file and line for one that is malformed.
RunSummary read_run(const std::filesystem::path& directory);

}  // namespace oche::nas
