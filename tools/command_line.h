// What every program of the command line shares: the output options, usage errors in one line, and
// exceptions turned into exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "tools/console.h"

namespace oche::tools {

// An option that takes one value, shown as `placeholder`, in a group of --help.
template <typename Value>
CLI::Option* add_value_option(CLI::App& command,
                              const std::string& group,
                              const std::string& name,
                              Value& value,
                              const std::string& placeholder,
                              const std::string& help) {
  return command.add_option(name, value, help)->option_text(placeholder)->group(group);
}
// Each use of it adds one value to those before.
CLI::Option* may_repeat(CLI::Option* option);

// --json, --quiet, -v and --color.
void add_output_options(CLI::App& command, Console& console, bool& json);

// Parses the arguments, then runs `action`: a whole program. Returns the exit code; help, usage
// errors and exceptions have been printed. The name of an app without sub-commands may have two
// words: "oche bench".
int run(CLI::App& app,
        int argc,
        const char* const* argv,
        Console& console,
        const std::function<int()>& action);

}  // namespace oche::tools
