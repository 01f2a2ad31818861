// Completion for bash 4 or later. Needs nothing of the bash-completion package.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <vector>

#include "tools/completion.h"

namespace oche::tools {
namespace {

// The words of a value, and the letter by which compgen gives its paths.
std::string assignments(const OptionEntry& value) {
  std::string text = fmt::format("words='{}'", fmt::join(value.choices, " "));
  if (value.paths != OptionEntry::Paths::kNone) {
    text += value.paths == OptionEntry::Paths::kDirectories ? " paths=d" : " paths=f";
  }
  return text;
}

// One arm for each kind of value that options take.
std::string value_arms(std::span<const CommandEntry> commands) {
  std::map<std::string, std::vector<std::string>> arms;
  for (const CommandEntry& command : commands.subspan(1)) {
    for (const OptionEntry& option : command.options) {
      if (option.positional || option.values == 0) continue;
      for (const std::string& name : option.names) {
        arms[assignments(option)].push_back(command.name + ':' + name);
      }
    }
  }
  std::string text;
  for (const auto& [assignment, patterns] : arms) {
    text += fmt::format("    {}) {} ;;\n", fmt::join(patterns, " | "), assignment);
  }
  return text;
}

// `oche` itself, before a sub-command, is the empty command: its arguments are the names of those.
std::string command_arms(std::span<const CommandEntry> commands) {
  std::string text;
  for (const CommandEntry& command : commands) {
    std::vector<std::string> options;
    OptionEntry argument{};
    for (const OptionEntry& option : command.options) {
      if (option.positional)
        argument = option;
      else
        options.insert(options.end(), option.names.begin(), option.names.end());
    }
    const bool is_program = &command == commands.data();
    if (is_program) {
      for (const CommandEntry& c : commands.subspan(1)) argument.choices.push_back(c.name);
    }
    text += fmt::format("        {}) options='{}' {} ;;\n",
                        is_program ? "''" : command.name,
                        fmt::join(options, " "),
                        assignments(argument));
  }
  return text;
}

}  // namespace

std::string bash_completion(std::span<const CommandEntry> commands) {
  const std::string& program = commands[0].name;
  std::vector<std::string> pairs;  // options with two values
  for (const CommandEntry& command : commands.subspan(1)) {
    for (const OptionEntry& option : command.options) {
      if (option.values == 2 && !option.positional)
        pairs.push_back(command.name + ':' + option.names[0]);
    }
  }
  return fmt::format(R"text(# bash completion of {0}, written by `{0} completion bash`.
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
  local command=${{COMP_WORDS[1]}} options='' words='' paths=''
  if ((COMP_CWORD == 1)); then command=''; fi
  if [[ $current == = ]]; then  # bash makes three words of --option=value
    current=''
  elif [[ $previous == = || " {1} " == *" $command:${{COMP_WORDS[COMP_CWORD - 2]}} "* ]]; then
    previous=${{COMP_WORDS[COMP_CWORD - 2]}}  # the second of two values belongs there, too
  fi
  case $command:$previous in
{2}    *)
      case $command in
{3}      esac
      if [[ $current == -* || -z $words$paths ]]; then words=$options paths=''; fi
      ;;
  esac
  mapfile -t COMPREPLY < <(
    compgen -W "$words" -- "$current"
    if [[ $paths ]]; then compgen "-$paths" -- "$current"; fi
  )
  if [[ $paths ]]; then compopt -o filenames 2>/dev/null; fi
  if [[ ${{COMPREPLY[0]}} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}}
complete -F _{0} {0}
)text",
                     program,
                     fmt::join(pairs, " "),
                     value_arms(commands),
                     command_arms(commands));
}

}  // namespace oche::tools
