// What every program of the command line shares: the output options, usage errors in one line, and
// exceptions turned into exit codes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "tools/console.h"

namespace oche::tools {

// --json, --quiet, -v and --color.
void add_output_options(CLI::App& command, Console& console, bool& json);

// What was wrong with the arguments, and where help is. The name of an app without sub-commands may
// have two words: "oche bench".
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

// What `action` returns; or an exit code, its exception having been printed.
int guarded(Console& console, const std::function<int()>& action);

}  // namespace oche::tools
