// oche methods: the published methods that a search knows, and what each is made of.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nas/method.h"
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

struct Arguments {
  std::string name;
  bool json = false;
};

SearchConfig preset(const nas::Method& method) {
  const std::vector<Assignment> chosen = {{find_setting("method"), std::string(method.name), ""}};
  return resolve(chosen);
}

// The settings that name the parts of a method.
constexpr struct {
  std::string_view title, key;
} kParts[] = {{"relaxation", "relaxation.name"},
              {"gradient", "gradient.name"},
              {"regulariser", "regulariser.name"},
              {"decision", "decision.name"},
              {"order", "schedule.order"}};

std::vector<std::string> parts_of(const SearchConfig& config) {
  std::vector<std::string> parts;
  for (const auto& part : kParts) parts.push_back(value_text(config, *find_setting(part.key)));
  return parts;
}

Json as_json(const nas::Method& method) {
  const std::vector<std::string> values = parts_of(preset(method));
  Json parts;
  for (size_t i = 0; i < values.size(); ++i) parts[std::string(kParts[i].title)] = values[i];
  return {{"name", method.name},
          {"title", method.title},
          {"source", method.source},
          {"parts", parts},
          {"differs", method.differs}};
}

// Columns as wide as their longest entry.
void print_table() {
  std::vector<std::vector<std::string>> rows{{"method"}};
  for (const auto& part : kParts) rows[0].emplace_back(part.title);
  rows[0].emplace_back("source");
  for (const nas::Method& m : nas::methods()) {
    rows.push_back(parts_of(preset(m)));
    rows.back().insert(rows.back().begin(), std::string(m.name));
    rows.back().emplace_back(m.source);
  }
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
    fmt::print("{}", to_toml(preset(method)));
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
