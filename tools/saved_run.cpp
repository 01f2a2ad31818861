// Opens a run to go on with.
#include "tools/saved_run.h"

#include <fmt/format.h>

#include <utility>

#include "engine/error.h"
#include "nas/checkpoint_files.h"
#include "nas/run_summary.h"
#include "tools/config_file.h"
#include "tools/exit_code.h"
#include "tools/settings.h"

namespace oche::tools {
namespace {

using nas::RunSummary;

std::optional<nas::SearchResult> result_of(const RunSummary& run) {
  if (run.state != RunSummary::State::kFinished) return std::nullopt;
  return nas::SearchResult{.genotype = run.genotype.value(),
                           .train_accuracy = run.accuracies.value().train,
                           .search_accuracy = run.accuracies.value().search,
                           .discrete_accuracy = run.accuracies.value().discrete,
                           .finished = true,
                           .ending = {}};
}

}  // namespace

SavedRun open_saved_run(const std::filesystem::path& directory, Console& console) {
  // The first checkpoint is the last thing that the start of a run writes.
  if (nas::list_checkpoints(directory / "ckpt", 1).empty()) {
    throw UsageError(
        fmt::format("--resume: {} has no checkpoint, so nothing was begun; use --out, with --force "
                    "if the directory is not empty",
                    quote(directory.native(), 4096)));
  }
  const RunSummary run = nas::read_run(directory);
  SafetensorsFile checkpoint =
      nas::open_newest(run.checkpoints, [&](const std::string& line) { console.error(line); });
  const auto config = checkpoint.metadata().find("config");
  if (config == checkpoint.metadata().end()) {
    throw FormatError(fmt::format("{}: carries no configuration", checkpoint.source()));
  }
  std::string toml = config->second;
  nas::SearchConfig parsed = resolve(parse_config(toml, checkpoint.source() + ": config"));
  return {std::move(checkpoint),
          std::move(toml),
          std::move(parsed),
          run.epochs_planned * run.steps_per_epoch,
          result_of(run)};
}

}  // namespace oche::tools
