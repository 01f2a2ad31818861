// The command line: chooses the sub-command and runs it.
#include <fmt/format.h>
#include <oche/version.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/runtime.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/cuda_report.h"

namespace oche::tools {
namespace {

constexpr const char* kFooter = R"(Examples:
  oche --version
  oche search --help
)";

std::string version_text() {
  const std::string cuda = cuda_architectures();
  return fmt::format("oche {} ({})\ncompiler {}, {} build\nCUDA {}\narchitectures {}{}",
                     kVersion,
                     kRevision,
                     kCompiler,
                     kBuildType,
                     cuda_version_text(),
                     instruction_set(),
                     cuda.empty() ? "" : "; CUDA " + cuda);
}

// The action of the sub-command that was chosen.
int run_chosen(const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  throw std::logic_error("no sub-command was chosen");  // the parser requires one
}

int main(int argc, char** argv) {
  Console console;
  CLI::App app("Differentiable architecture search, from scratch.", "oche");
  app.set_help_flag("-h,--help", "this text, or after COMMAND its own");
  app.set_version_flag("--version", version_text(), "version, compiler and back ends");
  app.require_subcommand(1);
  const std::vector<Command> commands = {
      add_search(app, console),
      add_methods(app, console),
      add_derive(app, console),
      add_inspect(app, console),
      add_report(app, console),
      add_bench(app, console, {argv + std::min(argc, 2), argv + argc}),
      add_gradient_error(app, console),
      add_hessian(app, console),
      add_doctor(app, console),
      add_completion(app, console),
  };
  app.footer(kFooter);
  return tools::run(app, argc, argv, console, [&] { return run_chosen(commands); });
}

}  // namespace

}  // namespace oche::tools

int main(int argc, char** argv) {
  return oche::tools::main(argc, argv);
}
