// Completion for zsh, by its function _arguments.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "tools/completion.h"

namespace oche::tools {
namespace {

std::string escape(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != special.npos) out += '\\';
    out += c;
  }
  return out;
}

std::string single_quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += R"('\'')";
    } else {
      out += c;
    }
  }
  return fmt::format("'{}'", out);
}

// What _arguments does to complete a value.
std::string action(const OptionEntry& value) {
  const bool paths = value.paths != OptionEntry::Paths::kNone;
  const char* files = value.paths == OptionEntry::Paths::kDirectories ? "_files -/" : "_files";
  if (value.choices.empty()) return paths ? files : " ";
  const std::string choices = fmt::format("{}", fmt::join(value.choices, " "));
  if (paths) {
    return fmt::format(
        R"text({{_alternative "name\:name\:({})" "path\:path\:{}"}})text", choices, files);
  }
  const bool goes_on = choices.ends_with('=');
  return goes_on ? fmt::format(R"text({{compadd -S "" - {}}})text", choices)
                 : fmt::format("({})", choices);
}

// "-v" and "--verbose" exclude each other; a value follows in its own word or after '='.
std::string specification(const OptionEntry& option) {
  const std::string message =
      option.placeholder.empty() ? option.names.front() : option.placeholder;
  const std::string value = fmt::format(":{}:{}", escape(message, ":\\"), action(option));
  if (option.positional) {
    return single_quoted(fmt::format("{}{}", option.values > 1 ? "*" : "", value));
  }
  std::string values;
  for (int i = 0; i < option.values; ++i) values += value;
  const std::string description = escape(option.description, "[]:\\");
  const std::string exclusion =
      option.repeats ? "*" : fmt::format("({})", fmt::join(option.names, " "));
  std::string text;
  for (const std::string& name : option.names) {
    const bool joins = option.values == 1 && name.starts_with("--");
    text +=
        fmt::format("{}{}",
                    text.empty() ? "" : " ",
                    single_quoted(fmt::format(
                        "{}{}{}[{}]{}", exclusion, name, joins ? "=" : "", description, values)));
  }
  return text;
}

std::string specifications(const CommandEntry& command, std::string_view indent) {
  std::string text;
  for (const OptionEntry& option : command.options) {
    text += fmt::format(" \\\n{}{}", indent, specification(option));
  }
  return text;
}

}  // namespace

std::string zsh_completion(std::span<const CommandEntry> commands) {
  std::string names, arms;
  for (const CommandEntry& command : commands.subspan(1)) {
    names +=
        fmt::format("    {}\n", single_quoted(command.name + ':' + escape(command.purpose, ":\\")));
    arms += fmt::format(
        "        {}) _arguments -s{} ;;\n", command.name, specifications(command, "          "));
  }
  return fmt::format(R"text(#compdef {0}
# zsh completion of {0}, written by `{0} completion zsh`.
_{0}() {{
  local state line
  local -a commands=(
{1}  )
  _arguments -C{2} \
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
{3}      esac
      ;;
  esac
}}
if [[ $funcstack[1] == _{0} ]]; then _{0} "$@"; else compdef _{0} {0}; fi
)text",
                     commands[0].name,
                     names,
                     specifications(commands[0], "    "),
                     arms);
}

}  // namespace oche::tools
