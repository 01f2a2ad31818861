// Runs of several seeds, and their spread.
#include "tools/search_seeds.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/checkpoint_files.h"
#include "nas/run_summary.h"
#include "nas/spread.h"
#include "tools/exit_code.h"
#include "tools/genotype_output.h"
#include "tools/settings.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;
using nas::Better;
using nas::RunSummary;
using nas::Spread;

constexpr std::string_view kPrefix = "seed";

fs::path run_directory(const fs::path& directory, uint64_t seed) {
  return directory / fmt::format("{}{}", kPrefix, seed);
}

std::optional<uint64_t> seed_in(const fs::path& run) {
  const std::string name = run.filename().native();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  uint64_t seed = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, seed);
  return error == std::errc() && stop == end ? std::optional(seed) : std::nullopt;
}

bool has_begun(const fs::path& run) {
  return !nas::list_checkpoints(run / "ckpt", 1).empty();
}

std::optional<uint64_t> lowest_seed(const fs::path& directory) {
  std::optional<uint64_t> lowest;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::optional<uint64_t> seed = seed_in(entry.path());
    if (seed && has_begun(entry.path())) lowest = std::min(lowest.value_or(*seed), *seed);
  }
  return lowest;
}

// A figure of a finished run.
struct Figure {
  const char *key, *title;
  Better better;
  double (*of)(const RunSummary&);
  bool percent() const { return better == Better::kHigher; }
};

const Figure kFigures[] = {
    {"train_accuracy",
     "train accuracy",
     Better::kHigher,
     [](const RunSummary& run) { return run.accuracies.value().train; }},
    {"search_accuracy",
     "search accuracy",
     Better::kHigher,
     [](const RunSummary& run) { return run.accuracies.value().search; }},
    {"discrete_accuracy",
     "derived accuracy",
     Better::kHigher,
     [](const RunSummary& run) { return run.accuracies.value().discrete; }},
    {"train_loss",
     "train loss",
     Better::kLower,
     [](const RunSummary& run) { return run.epochs.back().train_loss; }},
    {"search_loss",
     "search loss",
     Better::kLower,
     [](const RunSummary& run) { return run.epochs.back().search_loss; }},
};

struct Finished {
  fs::path directory;
  RunSummary run;
};

Spread spread_of(const std::vector<Finished>& runs, const Figure& figure) {
  std::vector<double> values;
  for (const Finished& f : runs) values.push_back(figure.of(f.run));
  return nas::spread_of(values, figure.better);
}

// The search half chooses, the first of equals; the test images are never used.
const Finished& best_of(const std::vector<Finished>& runs) {
  return *std::ranges::max_element(
      runs, {}, [](const Finished& f) { return f.run.accuracies.value().search; });
}

std::string shown(double value, const Figure& figure) {
  return figure.percent() ? fmt::format("{:.2f} %", 100 * value) : fmt::format("{:.4f}", value);
}

std::string table(const std::vector<Finished>& runs) {
  std::string out = fmt::format("{:<20}", "");
  for (const Figure& figure : kFigures) out += fmt::format(" {:>16}", figure.title);
  const auto row = [&](const std::string& name, const auto& cell) {
    out += fmt::format("\n{:<20}", name);
    for (const Figure& figure : kFigures) out += fmt::format(" {:>16}", cell(figure));
  };
  for (const Finished& f : runs) {
    row(fmt::format("seed {}", f.run.seed),
        [&](const Figure& figure) { return shown(figure.of(f.run), figure); });
  }
  row("mean", [&](const Figure& f) { return shown(spread_of(runs, f).mean, f); });
  row("standard deviation", [&](const Figure& f) {
    return runs.size() == 1 ? std::string("-") : shown(spread_of(runs, f).deviation, f);
  });
  row("n", [&](const Figure& f) { return fmt::format("{}", spread_of(runs, f).n); });
  row("best", [&](const Figure& f) { return shown(spread_of(runs, f).best, f); });
  return out;
}

// A deviation that a single run does not have is null.
Json to_json(const std::vector<Finished>& runs, int64_t count) {
  Json document = {{"schema", 1},
                   {"kind", "seeds"},
                   {"finished", static_cast<int64_t>(runs.size()) == count},
                   {"runs", Json::array()}};
  for (const Finished& f : runs) {
    Json entry = {{"seed", f.run.seed}, {"run_directory", f.directory.native()}};
    for (const Figure& figure : kFigures) entry[figure.key] = figure.of(f.run);
    document["runs"].push_back(entry);
  }
  if (runs.empty()) return document;
  for (const Figure& figure : kFigures) {
    const Spread s = spread_of(runs, figure);
    document["spread"][figure.key] = {
        {"mean", s.mean}, {"standard_deviation", s.deviation}, {"n", s.n}, {"best", s.best}};
  }
  document["best_seed"] = best_of(runs).run.seed;
  add_genotype(document, best_of(runs).run.genotype.value());
  return document;
}

// The run of this seed, to go on with; nullopt where it has not begun.
std::optional<SavedRun> saved_run(const fs::path& directory,
                                  const nas::SearchConfig& config,
                                  Console& console) {
  if (!has_begun(directory)) return std::nullopt;
  SavedRun saved = open_saved_run(directory, console);
  nas::SearchConfig kept = saved.config;
  kept.data_dir = config.data_dir;  // where the images are does not matter
  if (to_toml(kept) != to_toml(config)) {
    throw UsageError(
        fmt::format("--resume: the settings of {} are not those of the first run; oche inspect "
                    "compares them",
                    quote(directory.native(), 4096)));
  }
  return saved;
}

// Before anything runs: what would be refused after hours.
void check(const nas::SearchConfig& config, int64_t count, const RunRequest& request, bool resume) {
  if (config.seed > std::numeric_limits<int64_t>::max() - static_cast<uint64_t>(count - 1)) {
    throw UsageError(
        fmt::format("--seeds: {} is not allowed; the last seed would exceed 2^63 - 1", count));
  }
  for (int64_t i = 0; i < count && !resume && !request.force; ++i) {
    const fs::path run = run_directory(request.directory, config.seed + static_cast<uint64_t>(i));
    if (fs::exists(run) && !fs::is_empty(run)) {
      throw UsageError(
          fmt::format("run directory {} is not empty; use --resume to go on, --force to replace "
                      "the run in it, or name another directory",
                      quote(run.native(), 4096)));
    }
  }
}

}  // namespace

bool has_seeds(const fs::path& directory) {
  return lowest_seed(directory).has_value();
}

SavedRun open_first_run(const fs::path& directory, Console& console) {
  const std::optional<uint64_t> first = lowest_seed(directory);
  if (!first) {
    throw UsageError(
        fmt::format("--resume: {} has no runs of several seeds; without --seeds it is "
                    "a run itself that goes on",
                    quote(directory.native(), 4096)));
  }
  return open_saved_run(run_directory(directory, *first), console);
}

int search_seeds(const nas::SearchConfig& config,
                 int64_t count,
                 const nas::Dataset& images,
                 const RunRequest& request,
                 bool resume,
                 bool as_json,
                 Console& console) {
  check(config, count, request, resume);
  std::vector<Finished> finished;
  int signal = 0;
  for (int64_t i = 0; i < count && signal == 0; ++i) {
    nas::SearchConfig one = config;
    one.seed += static_cast<uint64_t>(i);
    RunRequest here = request;
    here.directory = run_directory(request.directory, one.seed);
    std::optional<SavedRun> saved =
        resume ? saved_run(here.directory, one, console) : std::optional<SavedRun>();
    here.force = request.force || (resume && !saved);  // a start that left no checkpoint yet
    console.note(fmt::format("seed {}, {} of {}{}",
                             one.seed,
                             i + 1,
                             count,
                             saved && saved->result ? ": has finished before" : ""));
    if (!saved || !saved->result) {
      const RunOutcome outcome = run_search(one, images, here, std::move(saved), console);
      signal = outcome.signal;
      if (!outcome.result.finished) break;
    }
    finished.push_back({here.directory, nas::read_run(here.directory)});
  }

  const bool complete = static_cast<int64_t>(finished.size()) == count;
  const Json document = to_json(finished, count);
  if (!finished.empty()) {
    write_file_atomically(request.directory / "seeds.json", document.dump(2) + "\n");
    console.note(table(finished));
    console.note(fmt::format("best search accuracy: {}", best_of(finished).directory.native()));
  }
  if (as_json) {
    print_json(document);
  } else if (complete) {
    fmt::print("{}\n", text_or_json(best_of(finished).run.genotype.value()));
  }
  if (complete) return kDone;
  console.note(fmt::format("{} of {} seeds finished; go on with --resume {} --seeds {}",
                           finished.size(),
                           count,
                           request.directory.native(),
                           count));
  return kSignal + signal;
}

}  // namespace oche::tools
