// oche search --seeds: runs that differ in the seed alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "tools/search_run.h"

namespace oche::tools {

// True iff a directory holds runs that --seeds began.
bool has_seeds(const std::filesystem::path& directory);

// Of the runs in such a directory, the one with the lowest seed. Throws UsageError where there is
// none.
SavedRun open_first_run(const std::filesystem::path& directory, Console& console);

// Runs config.seed and the count - 1 seeds after it one after the other, each in its own directory
// below request.directory: DIR/seed0. With `resume`, runs that have finished are left alone, and
// one that was interrupted goes on. Puts the genotype with the best search accuracy, or a JSON
// document of all runs, on stdout, and the spread on the console and into DIR/seeds.json. Returns
// the exit code.
int search_seeds(const nas::SearchConfig& config,
                 int64_t count,
                 const nas::Dataset& images,
                 const RunRequest& request,
                 bool resume,
                 bool as_json,
                 Console& console);

}  // namespace oche::tools
