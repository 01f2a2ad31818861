// The sub-commands, one to a file.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

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
Command add_methods(CLI::App& app, Console& console);
Command add_derive(CLI::App& app, Console& console);
Command add_inspect(CLI::App& app, Console& console);
Command add_report(CLI::App& app, Console& console);
// `arguments`: those behind the name of the sub-command.
Command add_bench(CLI::App& app, Console& console, std::vector<std::string> arguments);
Command add_gradient_error(CLI::App& app, Console& console);
Command add_hessian(CLI::App& app, Console& console);
Command add_doctor(CLI::App& app, Console& console);
Command add_completion(CLI::App& app, Console& console);

}  // namespace oche::tools
