// oche search: looks for an architecture and leaves a run directory.
#include "nas/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "engine/error.h"
#include "engine/process.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/data_sets.h"
#include "tools/device_option.h"
#include "tools/exit_code.h"
#include "tools/genotype_output.h"
#include "tools/json_output.h"
#include "tools/saved_run.h"
#include "tools/search_run.h"
#include "tools/search_seeds.h"
#include "tools/setting_options.h"

namespace oche::tools {
namespace {

constexpr int kMaxSeeds = 1000;

constexpr const char* kNotes =
    R"(A setting may come from several sources, of which the last one counts: the default in brackets,
the method's preset, --config, the environment (OCHE_ and the flag in capitals, such as
OCHE_TRAIN_SIZE), --set, its flag.
stdout carries the genotype found, or one JSON document. The test images are never used.

An interrupted search goes on with --resume DIR. With --seeds N the runs that have finished are kept, and
--resume DIR --seeds N does the rest, also for an N that has grown.

Examples:
  oche search --method darts --dataset cifar10 --dry-run
  oche search --train-size 64 --layers 3 --channels 4 --steps 2 --batch 8 --epochs 1 --out runs/a
)";

struct Arguments {
  explicit Arguments(CLI::App& command) : settings(command) {}

  SettingOptions settings;
  RunRequest run;
  std::string out, resume, device = "auto";
  int threads = default_threads();
  int64_t seeds = 0;  // 0: one run, in a directory of its own
  bool dry_run = false, json = false;
};

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

int dry_run(const SearchConfig& config, int64_t runs, bool as_json) {
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
                           {"peak_device_bytes", cost.device_bytes},
                           {"steps", runs * cost.steps}};
    print_json(document);
  } else {
    fmt::print("weights         {}\n", cost.weights);
    fmt::print("alphas          {}\n", cost.alphas);
    fmt::print("MACs per image  {} (one forward pass)\n", cost.macs_per_image);
    if (cost.device_bytes > 0) {
      fmt::print("device memory   {:.1f} MiB (estimate)\n", mebibytes(cost.device_bytes));
      fmt::print("peak memory     {:.1f} MiB (estimate)\n", mebibytes(resident));
    } else {
      fmt::print("peak memory     {:.1f} MiB (estimate; {:.1f} MiB of it tensors)\n",
                 mebibytes(resident),
                 mebibytes(cost.tensor_bytes));
    }
    fmt::print("steps           {}\n", runs * cost.steps);
  }
  return kDone;
}

void print_result(const RunOutcome& outcome,
                  const std::filesystem::path& directory,
                  double seconds,
                  bool as_json) {
  const nas::SearchResult& result = outcome.result;
  if (!as_json) {
    if (result.finished) fmt::print("{}\n", text_or_json(result.genotype));
    return;
  }
  Json document = {{"schema", 1}, {"finished", result.finished}, {"steps", outcome.steps}};
  if (result.finished) {
    add_genotype(document, result.genotype);
    document["train_accuracy"] = result.train_accuracy;
    document["search_accuracy"] = result.search_accuracy;
    document["discrete_accuracy"] = result.discrete_accuracy;
  }
  document["run_directory"] = directory.native();
  document["seconds"] = seconds;
  document["peak_resident_bytes"] = peak_resident_bytes();
  if (!outcome.profile.is_null()) document["profile"] = outcome.profile;
  print_json(document);
}

RunOutcome outcome_of(const SavedRun& saved) {
  return {.result = saved.result.value(), .steps = saved.steps, .signal = 0, .profile = {}};
}

std::string directory_for(const Arguments& args, const SearchConfig& c) {
  if (!args.resume.empty()) return args.resume;
  if (!args.out.empty()) return args.out;
  const std::string runs = fmt::format("runs/{}-{}-seed", c.method, c.dataset);
  return args.seeds > 0 ? runs + 's' : fmt::format("{}{}", runs, c.seed);
}

// What --resume goes on with; of a study, its run with the first seed.
std::optional<SavedRun> saved_run(const Arguments& args, Console& console) {
  if (args.resume.empty()) return std::nullopt;
  if (args.seeds > 0) return open_first_run(args.resume, console);
  if (has_seeds(args.resume)) {
    throw UsageError(
        fmt::format("--resume: {} holds the runs of several seeds; say how many, with --seeds",
                    quote(args.resume, 4096)));
  }
  return open_saved_run(args.resume, console);
}

int search(const Arguments& args, Console& console) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::optional<SavedRun> saved = saved_run(args, console);
  const SearchConfig config =
      saved ? args.settings.resolve_again(saved->config) : args.settings.resolve();
  choose_device(args.device, console);
  use_threads(args.threads);
  if (args.dry_run) return dry_run(config, std::max<int64_t>(1, args.seeds), args.json);
  RunRequest request = args.run;
  request.directory = directory_for(args, config);
  if (args.seeds == 0 && saved && saved->result) {
    console.note(fmt::format("{}: the run has finished; nothing to do", args.resume));
    print_result(outcome_of(*saved), request.directory, seconds(), args.json);
    return kDone;
  }

  const nas::Dataset images =
      find_data_set(config.dataset).load(config.data_dir, nas::Part::kTrain);
  if (args.seeds > 0) {
    return search_seeds(config, args.seeds, images, request, saved.has_value(), args.json, console);
  }
  const RunOutcome outcome = run_search(config, images, request, std::move(saved), console);
  print_result(outcome, request.directory, seconds(), args.json);
  return outcome.result.finished ? kDone : kSignal + outcome.signal;
}

}  // namespace

Command add_search(CLI::App& app, Console& console) {
  CLI::App* command =
      app.add_subcommand("search", "Search for an architecture by gradient descent");
  auto args = std::make_shared<Arguments>(*command);

  const std::string run = "Run";
  const auto option =
      [&](const char* name, auto& value, const char* placeholder, const std::string& help) {
        return add_value_option(*command, run, name, value, placeholder, help);
      };
  CLI::Option* out =
      option("--out", args->out, "DIR", "run directory [runs/METHOD-DATASET-seedSEED]");
  CLI::Option* force =
      command->add_flag("--force", args->run.force, "replace the run that is in it")->group(run);
  CLI::Option* init =
      option(
          "--init", args->run.init, "FILE", "start from the weights in a checkpoint or weight file")
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
  option("--seeds",
         args->seeds,
         "N",
         "N runs, with --seed and the seeds after it, each in DIR/seedSEED: their spread, and the "
         "genotype of the best search accuracy; without, one run in DIR")
      ->check(CLI::Range(1, kMaxSeeds))
      ->excludes(init);
  option("--checkpoint-minutes",
         args->run.options.checkpoint_minutes,
         "X",
         fmt::format("minutes between checkpoints within an epoch; 0: none [{}]",
                     args->run.options.checkpoint_minutes));
  option("--keep-every",
         args->run.options.keep_every,
         "N",
         "epochs between checkpoints that stay, besides the last two; 0: first, middle, last [0]");
  add_device_option(*command, args->device)->group(run);
  command
      ->add_flag("!--no-graph",
                 args->run.graphs,
                 "on a CUDA device, launch each kernel on its own; the same bits, more slowly")
      ->group(run);
  add_threads_option(*command, args->threads)->group(run);
  CLI::Option* dry_run =
      command->add_flag("--dry-run", args->dry_run, "print size, memory and steps; write nothing")
          ->group(run);
  command
      ->add_flag(
          "--profile",
          args->run.profile,
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
