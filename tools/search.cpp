// oche search: looks for an architecture and leaves a run directory.
#include "nas/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/error.h"
#include "engine/process.h"
#include "engine/runtime.h"
#include "engine/storage.h"
#include "nas/checkpoint.h"
#include "nas/run_directory.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/data_sets.h"
#include "tools/exit_code.h"
#include "tools/genotype_output.h"
#include "tools/json_output.h"
#include "tools/profile_report.h"
#include "tools/progress.h"
#include "tools/saved_run.h"
#include "tools/setting_options.h"
#include "tools/signals.h"

namespace oche::tools {
namespace {

using nas::SearchResult;

constexpr int kMaxThreads = 1024;
constexpr int64_t kTraceFrom = 2, kTraceSteps = 3;  // steps of --profile's trace.json, from 0

constexpr const char* kNotes =
    R"(A setting may come from several sources, of which the last one counts: the default in brackets,
the method's preset, --config, the environment (OCHE_ and the flag in capitals, such as
OCHE_TRAIN_SIZE), --set, its flag.
stdout carries the genotype found, or one JSON document. The test images are never used.

Examples:
  oche search --method darts --dataset cifar10 --dry-run
  oche search --train-size 64 --layers 3 --channels 4 --steps 2 --batch 8 --epochs 1 --out runs/a
)";

struct Arguments {
  explicit Arguments(CLI::App& command) : settings(command) {}

  SettingOptions settings;
  std::string out, resume, init, device = "auto";
  int threads = static_cast<int>(std::thread::hardware_concurrency()) + 1;
  nas::RunOptions run = {.keep_every = 0, .checkpoint_minutes = 10};
  bool force = false, dry_run = false, profile = false, json = false;
};

class Observer final : public nas::SearchObserver {
 public:
  // `profiler` may be null.
  Observer(nas::Search& search, nas::RunDirectory& directory, Console& console, Profiler* profiler)
      : search_(search),
        directory_(directory),
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

  int signal() const { return signals_.received(); }

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
  Profiler* profiler_;
  int64_t first_step_;
  Progress progress_;
  SignalWatch signals_;
};

void choose_device(const std::string& device, Console& console) {
  constexpr std::string_view kReason = "this build has no CUDA back end";
  if (device == "auto") {
    console.note(fmt::format("device: cpu (auto; {})", kReason));
  } else if (device == "cuda" || (device.starts_with("cuda:") && device.size() > 5 &&
                                  device.find_first_not_of("0123456789", 5) == device.npos)) {
    throw DeviceError(fmt::format("--device {}: {}; use --device cpu", device, kReason));
  } else if (device != "cpu") {
    throw UsageError(
        fmt::format("--device: {} is not a device; expected auto, cpu or cuda[:N]", quote(device)));
  }
}

// The loaders, which mostly wait, count as one thread; of a single one they take their share.
void use_threads(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    throw UsageError(
        fmt::format("--threads: {} is not allowed; expected 1 to {}", threads, kMaxThreads));
  }
  set_num_threads(std::max(1, threads - 1));
}

nas::SearchCost cost_of(const SearchConfig& config) {
  const nas::DatasetShape shape = find_data_set(config.dataset).shape(config.data_dir);
  if (config.train_size > shape.images) {
    throw UsageError(fmt::format("--train-size: {} is not allowed; {} has {} training images",
                                 config.train_size,
                                 config.dataset,
                                 shape.images));
  }
  const nas::SearchCost cost = nas::estimate_cost(config, shape);
  if (cost.steps == 0) {
    throw UsageError(fmt::format(
        "--batch: {} is not allowed; more than the images that train the weights", config.batch));
  }
  return cost;
}

double mebibytes(int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

int dry_run(const SearchConfig& config, bool as_json) {
  const nas::SearchCost cost = cost_of(config);
  // The program itself and a step's graph are here, the rest would come.
  const int64_t resident = peak_resident_bytes() + cost.memory_bytes;
  if (as_json) {
    const Json document = {{"schema", 1},
                           {"weights", cost.weights},
                           {"alphas", cost.alphas},
                           {"macs_per_image", cost.macs_per_image},
                           {"tensor_bytes", cost.tensor_bytes},
                           {"peak_resident_bytes", resident},
                           {"steps", cost.steps}};
    print_json(document);
  } else {
    fmt::print("weights         {}\n", cost.weights);
    fmt::print("alphas          {}\n", cost.alphas);
    fmt::print("MACs per image  {} (one forward pass)\n", cost.macs_per_image);
    fmt::print("peak memory     {:.1f} MiB (estimate; {:.1f} MiB of it tensors)\n",
               mebibytes(resident),
               mebibytes(cost.tensor_bytes));
    fmt::print("steps           {}\n", cost.steps);
  }
  return kDone;
}

void print_result(const SearchResult& result,
                  int64_t steps,
                  const std::filesystem::path& directory,
                  double seconds,
                  const Profiler* profiler,
                  bool as_json) {
  if (!as_json) {
    if (result.finished) fmt::print("{}\n", text_or_json(result.genotype));
    return;
  }
  Json document = {{"schema", 1}, {"finished", result.finished}, {"steps", steps}};
  if (result.finished) {
    document["genotype"] = Json::parse(nas::to_json(result.genotype));
    if (nas::has_text(result.genotype)) document["genotype_text"] = nas::to_text(result.genotype);
    document["train_accuracy"] = result.train_accuracy;
    document["search_accuracy"] = result.search_accuracy;
    document["discrete_accuracy"] = result.discrete_accuracy;
  }
  document["run_directory"] = directory.native();
  document["seconds"] = seconds;
  document["peak_resident_bytes"] = peak_resident_bytes();
  if (profiler) document["profile"] = profile_json(*profiler);
  print_json(document);
}

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

std::string directory_for(const Arguments& args, const SearchConfig& c) {
  if (!args.resume.empty()) return args.resume;
  if (!args.out.empty()) return args.out;
  return fmt::format("runs/{}-{}-seed{}", c.method, c.dataset, c.seed);
}

int search(const Arguments& args, Console& console) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::optional<SavedRun> saved;
  if (!args.resume.empty()) saved.emplace(open_saved_run(args.resume, console));
  const SearchConfig config =
      saved ? args.settings.resolve_again(saved->config) : args.settings.resolve();
  choose_device(args.device, console);
  use_threads(args.threads);
  if (args.dry_run) return dry_run(config, args.json);
  if (saved && saved->result) {
    console.note(fmt::format("{}: the run has finished; nothing to do", args.resume));
    print_result(*saved->result, saved->steps, args.resume, seconds(), nullptr, args.json);
    return kDone;
  }

  const nas::Dataset images =
      find_data_set(config.dataset).load(config.data_dir, nas::Part::kTrain);
  nas::Search search(config, images);
  if (!args.init.empty()) nas::load_initial_state(search.state(), args.init);
  if (saved) nas::load_checkpoint(search, saved->checkpoint);

  // Nothing is written before all of this has succeeded.
  nas::RunDirectory directory(directory_for(args, config),
                              saved        ? nas::Existing::kContinue
                              : args.force ? nas::Existing::kReplace
                                           : nas::Existing::kRefuse,
                              args.run);
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
  }
  saved.reset();  // a checkpoint is as large as the state itself

  std::optional<Profiler> profiler;
  if (args.profile) profiler.emplace();
  Observer observer(search, directory, console, profiler ? &*profiler : nullptr);
  const SearchResult result = resumable(directory, [&] { return search.run(observer); });
  release_unused_memory();  // whoever draws the pictures needs some
  const std::vector<std::string> written =
      resumable(directory, [&] { return directory.finish(search, result); });
  if (result.finished) {
    console.note(
        fmt::format("whole halves: accuracy train {:.2f} %, search {:.2f} %, derived {:.2f} %",
                    100 * result.train_accuracy,
                    100 * result.search_accuracy,
                    100 * result.discrete_accuracy));
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
  print_result(result,
               search.progress().steps,
               directory.path(),
               seconds(),
               profiler ? &*profiler : nullptr,
               args.json);
  return result.finished ? kDone : kSignal + observer.signal();
}

}  // namespace

Command add_search(CLI::App& app, Console& console) {
  CLI::App* command =
      app.add_subcommand("search", "Search for an architecture by gradient descent");
  auto args = std::make_shared<Arguments>(*command);

  const std::string run = "Run";
  const auto option =
      [&](const char* name, auto& value, const char* placeholder, const std::string& help) {
        return command->add_option(name, value, help)->option_text(placeholder)->group(run);
      };
  CLI::Option* out =
      option("--out", args->out, "DIR", "run directory [runs/METHOD-DATASET-seedSEED]");
  CLI::Option* force =
      command->add_flag("--force", args->force, "replace the run that is in it")->group(run);
  CLI::Option* init =
      option("--init", args->init, "FILE", "start from the weights in a checkpoint or weight file")
          ->check(CLI::ExistingFile);
  option(
      "--resume",
      args->resume,
      "DIR",
      "go on with the run in DIR, from its newest checkpoint, to the bits that it would have had "
      "without a stop; its settings stay as they are")
      ->check(CLI::ExistingDirectory)
      ->excludes(out)
      ->excludes(force)
      ->excludes(init);
  option("--checkpoint-minutes",
         args->run.checkpoint_minutes,
         "X",
         fmt::format("minutes between checkpoints within an epoch; 0: none [{}]",
                     args->run.checkpoint_minutes));
  option("--keep-every",
         args->run.keep_every,
         "N",
         "epochs between checkpoints that stay, besides the last two; 0: first, middle, last [0]");
  option("--device", args->device, "NAME", "auto, cpu or cuda[:N] [auto]")
      ->type_name("{auto,cpu,cuda}")
      ->envname("OCHE_DEVICE");
  option(
      "--threads", args->threads, "N", "threads in all, one of which loads images [processors + 1]")
      ->envname("OCHE_THREADS");
  CLI::Option* dry_run =
      command->add_flag("--dry-run", args->dry_run, "print size, memory and steps; write nothing")
          ->group(run);
  command
      ->add_flag(
          "--profile",
          args->profile,
          fmt::format("time and bytes by op; DIR/trace.json for trace viewers: steps {} to {}, "
                      "fewer where they are long, the last of a short run",
                      kTraceFrom + 1,
                      kTraceFrom + kTraceSteps))
      ->excludes(dry_run)
      ->group(run);
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args, &console] { return search(*args, console); }};
}

}  // namespace oche::tools
