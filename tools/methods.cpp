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
  oche methods gdas > mine.toml
  oche search --config mine.toml --set decision.name=top2
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
constexpr std::string_view kParts[] = {
    "relaxation.name", "gradient.name", "regulariser.name", "schedule.order"};

Json as_json(const nas::Method& method) {
  const SearchConfig config = preset(method);
  Json parts;
  for (const std::string_view part : kParts)
    parts[std::string(part)] = value_text(config, *find_setting(part));
  return {{"name", method.name},
          {"title", method.title},
          {"source", method.source},
          {"parts", parts},
          {"differs", method.differs}};
}

void print_table() {
  fmt::print("{:<16} {:<12} {:<18} {:<13} {:<14} {}\n",
             "method",
             "relaxation",
             "gradient",
             "regulariser",
             "order",
             "source");
  for (const nas::Method& m : nas::methods()) {
    const SearchConfig config = preset(m);
    std::string row = fmt::format("{:<16}", m.name);
    constexpr int kWidths[] = {12, 18, 13, 14};
    for (size_t i = 0; i < std::size(kParts); ++i)
      row += fmt::format(" {:<{}}", value_text(config, *find_setting(kParts[i])), kWidths[i]);
    fmt::print("{} {}\n", row, m.source);
    if (!m.differs.empty()) fmt::print("{:<16} {}\n", "", m.differs);
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
