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

// Parses the arguments, then runs `action`: a whole program. Returns the exit code; help, usage
// errors and exceptions have been printed. The name of an app without sub-commands may have two
// words: "oche bench".
int run(CLI::App& app,
        int argc,
        const char* const* argv,
        Console& console,
        const std::function<int()>& action);

}  // namespace oche::tools
