// The run that `oche search --resume` goes on with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "engine/safetensors.h"
#include "nas/search.h"
#include "tools/console.h"

namespace oche::tools {

struct SavedRun {
  SafetensorsFile checkpoint;  // the newest that is whole
  std::string config_toml;     // that it carries
  nas::SearchConfig config;
  int64_t steps;                            // of the whole run
  std::optional<nas::SearchResult> result;  // of a run that has finished
};

// Reads the run in a directory and tells of damaged checkpoints. Throws UsageError where there is
// none to go on with, and FormatError where no checkpoint is whole.
SavedRun open_saved_run(const std::filesystem::path& directory, Console& console);

}  // namespace oche::tools
