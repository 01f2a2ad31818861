// Completion for fish.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "tools/completion.h"

namespace oche::tools {
namespace {

std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// Arguments of `complete` that offer the value.
std::string offers(const OptionEntry& value) {
  std::string text;
  if (!value.choices.empty()) {
    text += fmt::format(" -a {}", single_quoted(fmt::format("{}", fmt::join(value.choices, " "))));
  }
  if (value.paths == OptionEntry::Paths::kDirectories) {
    text += " -a '(__fish_complete_directories)'";
  }
  return text + (value.paths == OptionEntry::Paths::kAll ? " -F" : "");
}

// Each name with its dashes as an argument of `complete`.
std::string names_of(const OptionEntry& option) {
  std::string text;
  for (const std::string& name : option.names) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  return text;
}

std::string line(std::string_view program, std::string_view condition, const OptionEntry& option) {
  std::string text = fmt::format("complete -c {} -n {}", program, single_quoted(condition));
  if (!option.positional) {
    text += names_of(option);
    if (option.values > 0) text += option.paths == OptionEntry::Paths::kAll ? " -r" : " -x";
  }
  return fmt::format("{}{} -d {}\n", text, offers(option), single_quoted(option.description));
}

}  // namespace

std::string fish_completion(std::span<const CommandEntry> commands) {
  const std::string& program = commands[0].name;
  std::string text = fmt::format(
      "# fish completion of {0}, written by `{0} completion fish`.\ncomplete -c {0} -f\n", program);
  for (const OptionEntry& option : commands[0].options) {
    text += line(program, "__fish_use_subcommand", option);
  }
  for (const CommandEntry& command : commands.subspan(1)) {
    text += fmt::format("\ncomplete -c {} -n __fish_use_subcommand -a {} -d {}\n",
                        program,
                        command.name,
                        single_quoted(command.purpose));
    const std::string condition = "__fish_seen_subcommand_from " + command.name;
    for (const OptionEntry& option : command.options) text += line(program, condition, option);
  }
  return text;
}

}  // namespace oche::tools
