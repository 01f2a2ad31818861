// oche methods: the published methods that a search knows, and what each is made of.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nas/method.h"
#include "nas/stages.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/json_output.h"
#include "tools/settings.h"
#include "tools/suggest.h"

namespace oche::tools {
namespace {

constexpr const char* kNotes =
    R"(Without NAME a table of all; with one its settings as a file that `oche search --config` reads.

Examples:
  oche methods
  oche methods gdas
)";

constexpr std::string_view kPlain = "darts-1st";

struct Arguments {
  std::string name;
  bool json = false;
};

SearchConfig preset(const nas::Method& method) {
  const std::vector<Assignment> chosen = {{find_setting("method"), std::string(method.name), ""}};
  return resolve(chosen);
}

std::string joined(const std::vector<std::string>& parts, const char* otherwise) {
  return parts.empty() ? otherwise : fmt::format("{}", fmt::join(parts, ", "));
}

std::string relaxation_of(const SearchConfig& c) {
  return c.perturb == "none" ? c.relaxation : fmt::format("{}, {}", c.relaxation, c.perturb);
}

std::string edge_of(const SearchConfig& c) {
  std::vector<std::string> parts;
  if (c.channel_share > 1) parts.push_back(fmt::format("1/{} of the channels", c.channel_share));
  if (c.edge_weights != "none") parts.push_back(fmt::format("{} weights", c.edge_weights));
  if (c.skip_dropout > 0 || !c.stage_skip_dropout.empty()) parts.emplace_back("skip dropout");
  if (c.op_dropout > 0) parts.emplace_back("op dropout");
  if (c.drop_path > 0) parts.emplace_back("drop-path");
  return joined(parts, "full");
}

std::string schedule_of(const SearchConfig& c) {
  std::vector<std::string> parts{nas::one_level(c) ? "together" : c.order};
  if (const int64_t stages = nas::stage_count(c); stages > 1)
    parts.push_back(fmt::format("{} stages", stages));
  if (c.alpha_from > 0) parts.push_back(fmt::format("alphas from {}", c.alpha_from));
  return joined(parts, "");
}

// The eight parts of a method (docs/methods.md).
constexpr struct {
  std::string_view title;
  std::string (*of)(const SearchConfig&);
} kParts[] = {{"space", [](const SearchConfig& c) { return c.space; }},
              {"relaxation", relaxation_of},
              {"edge", edge_of},
              {"gradient", [](const SearchConfig& c) { return c.gradient; }},
              {"regulariser", [](const SearchConfig& c) { return c.regulariser; }},
              {"decision", [](const SearchConfig& c) { return c.decision; }},
              {"stop", [](const SearchConfig& c) { return c.stop; }},
              {"schedule", schedule_of}};

std::vector<std::string> parts_of(const nas::Method& method) {
  const SearchConfig config = preset(method);
  std::vector<std::string> parts;
  for (const auto& part : kParts) parts.push_back(part.of(config));
  return parts;
}

Json as_json(const nas::Method& method) {
  const std::vector<std::string> values = parts_of(method);
  Json parts;
  for (size_t i = 0; i < values.size(); ++i) parts[std::string(kParts[i].title)] = values[i];
  return {{"name", method.name},
          {"title", method.title},
          {"source", method.source},
          {"parts", parts},
          {"differs", method.differs}};
}

// Columns as wide as their longest entry.
void print_columns(const std::vector<std::vector<std::string>>& rows) {
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      size_t width = 0;
      for (const auto& other : rows) width = std::max(width, other[column].size());
      line += column + 1 < row.size() ? fmt::format("{:<{}}  ", row[column], width) : row[column];
    }
    fmt::print("{}\n", line);
  }
}

// What a method shares with the first order of DARTS is a dot, but in the row of that.
void print_table() {
  const std::vector<std::string> plain = parts_of(nas::find_method(kPlain));
  std::vector<std::vector<std::string>> rows{{"method"}};
  for (const auto& part : kParts) rows[0].emplace_back(part.title);
  rows[0].emplace_back("source");
  for (const nas::Method& m : nas::methods()) {
    std::vector<std::string> row = parts_of(m);
    for (size_t i = 0; i < row.size() && m.name != kPlain; ++i) {
      if (row[i] == plain[i]) row[i] = ".";
    }
    row.insert(row.begin(), std::string(m.name));
    row.emplace_back(m.source);
    rows.push_back(std::move(row));
  }
  print_columns(rows);
  fmt::print("\n. as {}\n\nWhere a preset differs from the paper or its code:\n", kPlain);
  for (const nas::Method& m : nas::methods()) {
    if (!m.differs.empty()) fmt::print("{}: {}\n", m.name, m.differs);
  }
}

const nas::Method& named(const std::string& name) {
  std::vector<std::string> known;
  for (const nas::Method& m : nas::methods()) known.emplace_back(m.name);
  if (std::ranges::find(known, name) == known.end()) {
    throw UsageError(
        fmt::format("methods: unknown method {}{}", quote(name), did_you_mean(name, known)));
  }
  return nas::find_method(name);
}

int methods(const Arguments& args) {
  if (args.name.empty()) {
    if (!args.json) {
      print_table();
      return kDone;
    }
    Json all = Json::array();
    for (const nas::Method& m : nas::methods()) all.push_back(as_json(m));
    print_json({{"methods", all}});
    return kDone;
  }
  const nas::Method& method = named(args.name);
  if (args.json) {
    print_json(as_json(method));
  } else {
    fmt::print("# {}, {}\n", method.title, method.source);
    if (!method.differs.empty()) fmt::print("# {}\n", method.differs);
    fmt::print("{}", to_toml(preset(method), "data"));  // which a data set decides
  }
  return kDone;
}

}  // namespace

Command add_methods(CLI::App& app, Console& console) {
  CLI::App* command =
      app.add_subcommand("methods", "List the published methods, or print one as a configuration");
  auto args = std::make_shared<Arguments>();
  command->add_option("NAME", args->name, "a method");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args] { return methods(*args); }};
}

}  // namespace oche::tools
