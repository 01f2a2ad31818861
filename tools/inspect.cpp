// oche inspect: says what a path or a name is, and what is in it.
#include "tools/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <memory>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/published.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/genotype_output.h"
#include "tools/json_output.h"
#include "tools/suggest.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNotes = R"(The second example follows that of `oche search`.

Examples:
  oche inspect DARTS_V2
  oche inspect runs/a
)";

struct Arguments {
  std::vector<std::string> what;
  bool json = false;
};

std::map<std::string, int> op_counts(const nas::CellGenotype& cell) {
  std::map<std::string, int> counts;
  for (const nas::GenotypeEdge& edge : cell.edges) ++counts[edge.op];
  return counts;
}

// A safetensors file begins with the length of its header, below 2^32, and a brace.
bool looks_like_arrays(const fs::path& path, std::string_view head) {
  return path.extension() == ".safetensors" ||
         (head.size() > 8 && head[8] == '{' &&
          head.substr(4, 4) == std::string_view("\0\0\0\0", 4));
}

void inspect_file(const fs::path& path, bool as_json) {
  std::string contents = read_file(path);
  if (looks_like_arrays(path, contents)) {
    inspect_arrays(SafetensorsFile(std::move(contents), path.native()), as_json);
  } else {
    inspect_genotype(nas::parse_genotype(contents, path.native()), path.native(), as_json);
  }
}

std::vector<std::string> published_names() {
  std::vector<std::string> names;
  for (const nas::PublishedGenotype& g : nas::published_genotypes()) names.emplace_back(g.name);
  return names;
}

void inspect_one(const std::string& what, bool as_json) {
  if (fs::is_directory(what)) {
    inspect_run(what, as_json);
  } else if (fs::exists(what)) {
    inspect_file(what, as_json);
  } else if (const nas::Genotype* published = nas::find_published(what)) {
    inspect_genotype(*published, what, as_json);
  } else {
    throw UsageError(fmt::format("inspect: {} is neither a path nor a published genotype{}",
                                 quote(what, 4096),
                                 did_you_mean(what, published_names())));
  }
}

int inspect(const Arguments& args) {
  if (args.what.size() == 1) {
    inspect_one(args.what[0], args.json);
    return kDone;
  }
  for (const std::string& what : args.what) {
    if (!fs::is_directory(what)) {
      throw UsageError(fmt::format("inspect: {} is no run directory; only runs are compared",
                                   quote(what, 4096)));
    }
  }
  inspect_comparison(args.what[0], args.what[1], args.json);
  return kDone;
}

}  // namespace

void inspect_genotype(const nas::Genotype& genotype, const std::string& name, bool as_json) {
  if (as_json) {
    Json document = {{"schema", 1}, {"kind", "genotype"}, {"name", name}};
    document["genotype"] = Json::parse(nas::to_json(genotype));
    if (nas::has_text(genotype)) document["text"] = nas::to_text(genotype);
    document["op_counts"] = {{"normal", op_counts(genotype.normal)},
                             {"reduce", op_counts(genotype.reduce)}};
    print_json(document);
    return;
  }
  fmt::print("genotype {} (space {})\n", name, genotype.space);
  fmt::print("{}\n", text_or_json(genotype));
  for (const auto& [cell, label] :
       {std::pair(&genotype.normal, "normal"), {&genotype.reduce, "reduce"}}) {
    fmt::print("\n{} cell: {} nodes{}\n",
               label,
               nas::node_count(*cell),
               nas::is_connected(*cell) ? "" : ", none between its inputs and its output");
    for (const auto& [op, count] : op_counts(*cell)) fmt::print("  {:<14} {:>3}\n", op, count);
  }
}

Command add_inspect(CLI::App& app, Console& console) {
  CLI::App* command = app.add_subcommand(
      "inspect", "Describe a run, a checkpoint, a genotype or an array file; compare two runs");
  auto args = std::make_shared<Arguments>();
  command
      ->add_option("WHAT",
                   args->what,
                   "a run directory, a safetensors file, a genotype file, or a published "
                   "genotype's name; two "
                   "run directories are compared")
      ->required()
      ->expected(1, 2)
      ->type_name(fmt::format("PATH:{{{}}}", fmt::join(published_names(), ",")));
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args] { return inspect(*args); }};
}

}  // namespace oche::tools
