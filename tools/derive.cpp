// oche derive: the genotype that trained alphas stand for.
#include <fmt/format.h>

#include <charconv>
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
  bool json = false;
};

// How many nodes make a cell's output: our files say it; without a word it is all of them.
int64_t multiplier_of(const SafetensorsFile& file, int64_t steps) {
  const auto entry = file.metadata().find("multiplier");
  if (entry == file.metadata().end()) return steps;
  const std::string& text = entry->second;
  int64_t multiplier = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), multiplier);
  if (error != std::errc() || end != text.data() + text.size() || multiplier < 1 ||
      multiplier > steps) {
    throw FormatError(fmt::format(
        "{}: metadata multiplier is {}; expected 1 to {}", file.source(), quote(text), steps));
  }
  return multiplier;
}

// What made weights of the alphas; without a word softmax.
std::unique_ptr<nas::Relaxation> relaxation_of(const SafetensorsFile& file) {
  const auto entry = file.metadata().find("relaxation");
  if (entry == file.metadata().end()) return nas::make_relaxation("softmax");
  try {
    return nas::make_relaxation(entry->second);
  } catch (const std::invalid_argument& e) {
    throw FormatError(fmt::format("{}: metadata: {}", file.source(), e.what()));
  }
}

Genotype derive_from(const SafetensorsFile& file) {
  const nas::AlphaTables alphas = nas::read_alphas(file);
  const int64_t steps = nas::steps_of(alphas);
  return nas::top2(*relaxation_of(file), alphas, steps, multiplier_of(file, steps));
}

// The newest checkpoint that is whole; a damaged one is told of.
SafetensorsFile newest_of_run(const fs::path& directory, Console& console) {
  const nas::RunSummary run = nas::read_run(directory);
  if (run.checkpoints.empty()) {
    throw UsageError(
        fmt::format("derive: {} has no checkpoint yet", quote(directory.native(), 4096)));
  }
  return nas::open_newest(run.checkpoints, [&](const std::string& line) { console.error(line); });
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
  const bool is_run = fs::is_directory(args.path);
  const Genotype genotype =
      derive_from(is_run ? newest_of_run(args.path, console) : SafetensorsFile::open(args.path));
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
                   "a run directory (its newest checkpoint), a checkpoint, or a safetensors file "
                   "with alphas")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("--svg", args->pictures, "draw both cells into this directory")
      ->option_text("DIR")
      ->group("Pictures");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args, &console] { return derive(*args, console); }};
}

}  // namespace oche::tools
