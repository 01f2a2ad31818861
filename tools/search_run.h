// One search in its run directory, from the start or from where it stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "nas/data/dataset.h"
#include "nas/run_directory.h"
#include "nas/search.h"
#include "tools/console.h"
#include "tools/json_output.h"
#include "tools/saved_run.h"

namespace oche::tools {

// Steps that --profile traces, from 0.
inline constexpr int64_t kTraceFrom = 2, kTraceSteps = 3;

struct RunRequest {
  std::filesystem::path directory;
  bool graphs = true;    // on a CUDA device: replay steps as graphs
  bool force = false;    // replaces the run that is in it
  bool profile = false;  // time and bytes by op, and trace.json
  std::string init;      // file with the first weights; empty: none
  nas::RunOptions options = {.keep_every = 0, .checkpoint_minutes = 10};
};

struct RunOutcome {
  nas::SearchResult result;
  int64_t steps;  // done
  int signal;     // that came; 0: none
  Json profile;   // null unless asked for
};

// Goes on with `saved` where there is one. What happens is told on the console.
RunOutcome run_search(const nas::SearchConfig& config,
                      const nas::Dataset& images,
                      const RunRequest& request,
                      std::optional<SavedRun> saved,
                      Console& console);

}  // namespace oche::tools
