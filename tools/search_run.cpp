// Runs a search and keeps what it leaves.
#include "tools/search_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/profile.h"
#include "engine/storage.h"
#include "nas/checkpoint.h"
#include "tools/genotype_output.h"
#include "tools/profile_report.h"
#include "tools/progress.h"
#include "tools/settings.h"
#include "tools/signals.h"

namespace oche::tools {
namespace {

using nas::SearchResult;

class Observer final : public nas::SearchObserver {
 public:
  // `profiler` may be null.
  Observer(nas::Search& search,
           nas::RunDirectory& directory,
           const SignalWatch& signals,
           Console& console,
           Profiler* profiler)
      : search_(search),
        directory_(directory),
        signals_(signals),
        profiler_(profiler),
        first_step_(search.progress().steps),
        progress_(console, search.config().epochs, first_step_) {
    trace();
  }

  void on_step(const nas::StepReport& report) override {
    progress_.step(report);
    directory_.record_step(search_);
    trace();
  }
  void on_epoch(const nas::EpochReport& report) override {
    directory_.record_epoch(search_, report);
    progress_.epoch(report);
  }
  bool keep_going() override { return signals_.received() == 0; }

 private:
  // Turns the trace on and off between steps.
  void trace() {
    if (!profiler_) return;
    const int64_t steps = search_.config().epochs * search_.steps_per_epoch();
    const int64_t from = std::min(first_step_ + kTraceFrom, steps - 1);
    const int64_t next = search_.progress().steps;
    const bool is_long = profiler_->events().size() > Profiler::kMaxEvents / 2;
    profiler_->keep_events(next >= from && next < from + kTraceSteps && !is_long);
  }

  nas::Search& search_;
  nas::RunDirectory& directory_;
  const SignalWatch& signals_;
  Profiler* profiler_;
  int64_t first_step_;
  Progress progress_;
};

// What the call returns. A file system that fails it loses nothing that a checkpoint has.
template <typename Call>
auto resumable(const nas::RunDirectory& directory, Call call) {
  try {
    return call();
  } catch (const IoError& e) {
    throw std::runtime_error(fmt::format(
        "{}; when that is mended, go on with --resume {}", e.what(), directory.path().native()));
  }
}

}  // namespace

RunOutcome run_search(const SearchConfig& config,
                      const nas::Dataset& images,
                      const RunRequest& request,
                      std::optional<SavedRun> saved,
                      Console& console) {
  nas::Search search(config, images);
  search.state().use_graphs(request.graphs);
  if (!request.init.empty()) {
    nas::load_initial_state(search.state(), SafetensorsFile::open(request.init));
  }
  if (saved) nas::load_checkpoint(search, saved->checkpoint);

  // Nothing is written before all of this has succeeded. From the first file on, a signal is an
  // orderly end.
  const SignalWatch signals;
  nas::RunDirectory directory(request.directory,
                              saved           ? nas::Existing::kContinue
                              : request.force ? nas::Existing::kReplace
                                              : nas::Existing::kRefuse,
                              request.options);
  console.note(fmt::format("run directory: {}", directory.path().native()));
  const std::string toml = saved ? saved->config_toml : to_toml(config);
  console.detail(toml);
  if (saved) {
    const std::vector<std::string> changes = directory.resume(search, toml);
    if (!changes.empty()) {
      console.error(fmt::format("{}: not what the run was started with: {}; last bits may differ",
                                (directory.path() / "env.json").native(),
                                fmt::join(changes, ", ")));
    }
    console.note(fmt::format("going on after {} epochs, {} steps: {}",
                             search.progress().epochs,
                             search.progress().steps,
                             saved->checkpoint.source()));
  } else {
    directory.start(search, toml);
    const int64_t earliest = search.stopped().stop->earliest(config.alpha_from);
    if (earliest >= config.epochs)
      console.note(
          fmt::format("the stop {} may end a search after {} epochs at the earliest; this "
                      "one has {}",
                      config.stop,
                      earliest + 1,
                      config.epochs));
  }
  saved.reset();  // a checkpoint is as large as the state itself

  std::optional<Profiler> profiler;
  if (request.profile) profiler.emplace();
  Observer observer(search, directory, signals, console, profiler ? &*profiler : nullptr);
  const SearchResult result = resumable(directory, [&] { return search.run(observer); });
  if (const auto cost = search.state().recorded_cost()) {
    console.detail(fmt::format("a step is {} launches in two graphs, with {:.1f} MiB of memory",
                               cost->launches,
                               static_cast<double>(cost->arena_bytes) / (1 << 20)));
  }
  release_unused_memory();  // whoever draws the pictures needs some
  const std::vector<std::string> written =
      resumable(directory, [&] { return directory.finish(search, result); });
  if (result.ending) {
    console.note(fmt::format("ended after epoch {} with the genotype of epoch {}: {}",
                             search.progress().epochs,
                             result.ending->epoch + 1,
                             result.ending->reason));
  }
  if (result.finished) {
    console.note(
        fmt::format("whole halves: accuracy train {:.2f} %, search {:.2f} %, derived {:.2f} %",
                    100 * result.train_accuracy,
                    100 * result.search_accuracy,
                    100 * result.discrete_accuracy));
    report_empty_cells(result.genotype, console);
  } else {
    console.note(fmt::format("stopped after {} steps; checkpoint: {}; go on with --resume {}",
                             search.progress().steps,
                             (directory.path() / written.front()).native(),
                             directory.path().native()));
  }
  if (profiler) {
    write_trace(*profiler, directory.path() / "trace.json");
    console.note(profile_table(*profiler));
  }
  return {.result = result,
          .steps = search.progress().steps,
          .signal = signals.received(),
          .profile = profiler ? profile_json(*profiler) : Json()};
}

}  // namespace oche::tools
