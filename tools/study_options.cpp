// The options of studies.
#include "tools/study_options.h"

#include <fmt/format.h>

#include "engine/error.h"
#include "tools/command_line.h"
#include "tools/exit_code.h"

namespace oche::tools {

std::optional<DType> StudyOptions::type() const {
  if (dtype.empty()) return std::nullopt;
  return dtype == "f64" ? DType::kFloat64 : DType::kFloat32;
}

std::vector<std::filesystem::path> StudyOptions::files(const char* command) const {
  if (path.empty() == state.empty())
    throw UsageError(fmt::format("{}: expected one of PATH and --state FILE", command));
  if (!state.empty() && !data.empty())
    throw UsageError("--data: a state has its batches with it, and reads no images");
  if (!epochs.empty() && (!state.empty() || !std::filesystem::is_directory(path)))
    throw UsageError(fmt::format("--epochs: {} is one point; expected a run directory",
                                 quote(state.empty() ? path : state, 4096)));
  if (!state.empty()) return {state};
  return checkpoints_of(path, epochs);
}

FrozenSearch StudyOptions::open(const std::filesystem::path& file,
                                std::optional<DType> type) const {
  const FreezeOptions options{.dtype = type, .data = data, .fuse = fuse};
  FrozenSearch search = state.empty() ? FrozenSearch::from_checkpoint(file, options)
                                      : FrozenSearch::from_state(file, options);
  if (search.most_pairs() && batches > *search.most_pairs())
    throw UsageError(fmt::format("--batches: {} has {} pair of batches; {} were asked for",
                                 search.source(),
                                 *search.most_pairs(),
                                 batches));
  if (search.most_pairs() && batch > 0 && batch != search.config().batch)
    throw UsageError(
        fmt::format("--batch: {} has batches of its own, of {} images; {} were asked for",
                    search.source(),
                    search.config().batch,
                    batch));
  return search;
}

void add_study_options(CLI::App& command, StudyOptions& o) {
  const char* what = "What is studied";
  const auto option =
      [&](const char* name, auto& value, const char* placeholder, const std::string& help) {
        return add_value_option(command, what, name, value, placeholder, help);
      };
  command.add_option("PATH", o.path, "a checkpoint, or a run directory")->check(CLI::ExistingPath);
  option("--state", o.state, "FILE", "a state that benchmarks/peers wrote, with its two batches")
      ->check(CLI::ExistingFile);
  may_repeat(
      option("--epochs", o.epochs, "LIST", "of a run, after these epochs [all that were kept]")
          ->delimiter(','));
  option("--batches", o.batches, "N", "batches of each half [1]")->check(CLI::Range(1, 100000));
  option("--batch", o.batch, "N", "images of a batch [the run's]")->check(CLI::Range(1, 1000000));
  option("--dtype", o.dtype, "TYPE", "f32 or f64 [the run's]; weights are converted")
      ->check(CLI::IsMember({"f32", "f64"}));
  option("--data", o.data, "DIR", "where the images are, if not where the run had them");
  command.add_flag("!--no-fuse", o.fuse, "cells in small ops")->group(what);
  add_device_option(command, o.device)->group("Run");
  add_threads_option(command, o.threads)->group("Run");
}

void prepare(const StudyOptions& options, Console& console) {
  choose_device(options.device, console);
  use_threads(options.threads);
}

}  // namespace oche::tools
