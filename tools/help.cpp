// Lays out --help: groups under headings, descriptions wrapped beside the names.
#include "tools/help.h"

#include <fmt/format.h>

#include <sstream>
#include <vector>

namespace oche::tools {
namespace {

constexpr size_t kColumn = 27, kWidth = 100;  // where descriptions begin; where lines end

std::string entry(const std::string& name, const std::string& description) {
  std::string out, line = fmt::format("  {:<{}}", name, kColumn - 2);
  if (line.size() > kColumn) {
    out += line + '\n';
    line.assign(kColumn, ' ');
  }
  std::istringstream words(description);
  for (std::string word; words >> word;) {
    if (line.size() + 1 + word.size() > kWidth) {
      out += line + '\n';
      line.assign(kColumn, ' ');
    }
    if (line.size() > kColumn) line += ' ';
    line += word;
  }
  return out + line + '\n';
}

// CLI11 shows what a --no- flag stores, in braces.
std::string names_of(const CLI::Option& option) {
  std::string out;
  bool in_braces = false;
  for (const char c : option.get_name(option.get_positional(), !option.get_positional())) {
    in_braces = (in_braces || c == '{') && c != '}';
    if (in_braces || c == '}') continue;
    out += c;
    if (c == ',') out += ' ';
  }
  return out;
}

std::string section(const std::string& heading, const std::vector<const CLI::Option*>& options) {
  std::string out;
  for (const CLI::Option* o : options) {
    const std::string& value = o->get_option_text();
    out += entry(value.empty() ? names_of(*o) : names_of(*o) + ' ' + value, o->get_description());
  }
  return out.empty() ? "" : fmt::format("\n{}:\n{}", heading, out);
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app,
                                     std::string name,
                                     CLI::AppFormatMode) const {
  std::string out = fmt::format("{}\n\n{}", app->get_description(), make_usage(app, name));
  out += section("Arguments",
                 app->get_options([](const CLI::Option* o) { return o->get_positional(); }));
  for (const std::string& group : app->get_groups()) {
    out += section(group, app->get_options([&](const CLI::Option* o) {
      return o->get_group() == group && o->nonpositional();
    }));
  }
  std::string commands;
  for (const CLI::App* command : app->get_subcommands({})) {
    commands += entry(command->get_name(), command->get_description());
  }
  if (!commands.empty()) out += "\nCommands:\n" + commands;
  return fmt::format("{}\n{}", out, app->get_footer());
}

}  // namespace oche::tools
