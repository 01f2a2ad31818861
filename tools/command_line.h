// What every program of the command line shares: the output options, usage errors in one line, and
// exceptions turned into exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <type_traits>

#include "tools/console.h"

namespace oche::tools {

// Neither infinite nor NaN, which CLI11's own checks let through.
CLI::Validator finite_number();

// An option that takes one value, shown as `placeholder`, in a group of --help. A real number is
// finite.
template <typename Value>
CLI::Option* add_value_option(CLI::App& command,
                              const std::string& group,
                              const std::string& name,
                              Value& value,
                              const std::string& placeholder,
                              const std::string& help) {
  CLI::Option* option = command.add_option(name, value, help);
  if constexpr (std::is_floating_point_v<Value>) option->check(finite_number());
  return option->option_text(placeholder)->group(group);
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
