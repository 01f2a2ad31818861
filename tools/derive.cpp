// oche derive: the genotype that trained alphas stand for.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/checkpoint.h"
#include "nas/decision.h"
#include "nas/picture.h"
#include "nas/relaxation.h"
#include "nas/run_summary.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/genotype_output.h"
#include "tools/settings.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;
using nas::Genotype;

constexpr const char* kNotes =
    R"(The genotype goes to stdout, as text or as JSON. The examples follow the second one of `oche search`.

Examples:
  oche derive runs/a
  oche derive runs/a/ckpt/epoch-0001.safetensors --json --svg runs/cells
)";

struct Arguments {
  std::string path, pictures;
  std::optional<std::string> decision;  // in place of the file's
  bool json = false;
};

// How many nodes make a cell's output: our files say it; without a word it is all of them.
int64_t multiplier_of(const SafetensorsFile& file, int64_t steps) {
  if (!file.metadata().contains("multiplier")) return steps;
  const auto multiplier = nas::metadata_number<int64_t>(file, "multiplier");
  if (multiplier < 1 || multiplier > steps) {
    throw FormatError(fmt::format(
        "{}: metadata multiplier is {}; expected 1 to {}", file.source(), multiplier, steps));
  }
  return multiplier;
}

// How the search decides; without a word as DARTS does.
SearchConfig config_of(const SafetensorsFile& file) {
  SearchConfig c;
  const auto read = [&](const char* key, std::string& name) {
    const auto entry = file.metadata().find(key);
    if (entry != file.metadata().end()) name = entry->second;
  };
  read("relaxation", c.relaxation);
  read("decision", c.decision);
  if (file.metadata().contains("threshold"))
    c.threshold = nas::metadata_number<double>(file, "threshold");
  if (file.metadata().contains("skips")) c.skips = nas::metadata_number<int64_t>(file, "skips");
  return c;
}

Genotype derive_from(const SafetensorsFile& file, const std::optional<std::string>& decision) {
  const nas::SavedAlphas saved = nas::read_alphas(file);
  const SearchConfig c = config_of(file);
  try {
    return nas::derive(*nas::make_decision(decision.value_or(c.decision),
                                           {.threshold = c.threshold, .skips = c.skips}),
                       *nas::make_relaxation(c.relaxation),
                       saved.tables,
                       saved.space,
                       multiplier_of(file, saved.space.steps));
  } catch (const std::invalid_argument& e) {
    throw FormatError(fmt::format("{}: metadata: {}", file.source(), e.what()));
  }
}

// Of a finished run what the search found, since a stop may have chosen an earlier epoch's cells;
// of another, or by another rule, of the newest checkpoint that is whole. A damaged one is told of.
Genotype derive_from_run(const fs::path& directory,
                         const std::optional<std::string>& decision,
                         Console& console) {
  const nas::RunSummary run = nas::read_run(directory);
  if (!decision && run.genotype) {
    if (const auto epochs = std::ssize(run.epochs);
        run.chosen_epoch != 0 && run.chosen_epoch != epochs) {
      console.note(fmt::format("the genotype of epoch {} of {}, as the search ended: {}",
                               run.chosen_epoch,
                               epochs,
                               run.reason));
    }
    return *run.genotype;
  }
  if (run.checkpoints.empty()) {
    throw UsageError(
        fmt::format("derive: {} has no checkpoint yet", quote(directory.native(), 4096)));
  }
  return derive_from(
      nas::open_newest(run.checkpoints, [&](const std::string& line) { console.error(line); }),
      decision);
}

void write_pictures(const Genotype& genotype, const fs::path& directory, Console& console) {
  fs::create_directories(directory);
  for (const auto& [name, cell] :
       {std::pair("normal", &genotype.normal), {"reduce", &genotype.reduce}}) {
    const std::string dot = nas::cell_to_dot(*cell, fmt::format("{} cell", name));
    const std::optional<std::string> svg = nas::dot_to_svg(dot);
    const fs::path path = directory / fmt::format("{}.{}", name, svg ? "svg" : "dot");
    write_file_atomically(path, svg ? *svg : dot);
    console.note(path.native());
  }
}

int derive(const Arguments& args, Console& console) {
  if (args.decision) {  // a name that exists
    SearchConfig config;
    assign({find_setting("decision.name"), *args.decision, "--decision"}, config);
  }
  const Genotype genotype = fs::is_directory(args.path)
                                ? derive_from_run(args.path, args.decision, console)
                                : derive_from(SafetensorsFile::open(args.path), args.decision);
  report_empty_cells(genotype, console);
  if (!args.pictures.empty()) write_pictures(genotype, args.pictures, console);
  fmt::print("{}", args.json ? nas::to_json(genotype) : text_or_json(genotype) + '\n');
  return kDone;
}

}  // namespace

Command add_derive(CLI::App& app, Console& console) {
  CLI::App* command =
      app.add_subcommand("derive", "Print the genotype that trained alphas stand for");
  auto args = std::make_shared<Arguments>();
  command
      ->add_option("PATH",
                   args->path,
                   "a run directory (what the search found, or so far by its newest checkpoint), "
                   "a checkpoint, or a safetensors file with alphas")
      ->required()
      ->check(CLI::ExistingPath);
  const auto names = nas::decision_names();
  command
      ->add_option("--decision",
                   args->decision,
                   fmt::format("decide so, not as the search did: {}", fmt::join(names, ", ")))
      ->option_text("NAME")
      ->type_name(fmt::format("{{{}}}", fmt::join(names, ",")));
  command->add_option("--svg", args->pictures, "draw both cells into this directory")
      ->option_text("DIR")
      ->group("Pictures");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args, &console] { return derive(*args, console); }};
}

}  // namespace oche::tools
