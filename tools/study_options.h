// What is studied: the options that `oche gradient-error` and `oche hessian` share.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/console.h"
#include "tools/device_option.h"
#include "tools/frozen_search.h"

namespace oche::tools {

struct StudyOptions {
  std::string path, state, data, dtype, device = "auto";
  std::vector<int64_t> epochs;
  int64_t batches = 1, batch = 0;  // 0: the run's
  int threads = default_threads();
  bool fuse = true;

  std::optional<DType> type() const;  // that was asked for
  // The files to open, one after the other: of a run its checkpoints, else the one that was named.
  // Throws UsageError unless there is exactly one source, and for options that it has no use for.
  std::vector<std::filesystem::path> files(const char* command) const;
  // One of them, in `type` if it says one. Throws UsageError where it has fewer batches than were
  // asked for, or others.
  FrozenSearch open(const std::filesystem::path& file, std::optional<DType> type) const;
};

void add_study_options(CLI::App& command, StudyOptions& options);
// Chooses the device and the number of threads.
void prepare(const StudyOptions& options, Console& console);

}  // namespace oche::tools
