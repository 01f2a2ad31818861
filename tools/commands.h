// The sub-commands, one to a file.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "tools/console.h"

namespace oche::tools {

// Adds a sub-command to `app`. The action runs it once the arguments are parsed and returns the
// exit code; it refers to `console`.
using Action = std::function<int()>;
struct Command {
  CLI::App* app;
  Action run;
};

Command add_search(CLI::App& app, Console& console);
Command add_derive(CLI::App& app, Console& console);
Command add_inspect(CLI::App& app, Console& console);
Command add_bench(CLI::App& app, Console& console);
Command add_doctor(CLI::App& app, Console& console);

}  // namespace oche::tools
