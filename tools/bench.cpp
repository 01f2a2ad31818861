// oche bench: hands over to oche-bench, a program of its own, so that this one links no test code.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "tools/bench_options.h"
#include "tools/commands.h"
#include "tools/exit_code.h"

namespace oche::tools {
namespace {

// Returns only by an exception.
int become(const std::filesystem::path& program, std::vector<std::string> arguments) {
  std::string name = "oche bench";
  std::vector<char*> argv = {name.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  if (errno != ENOENT) throw IoError("run", program, errno);
  throw UsageError(
      fmt::format("bench: no {} beside this program; configure with "
                  "-DBUILD_BENCHMARKS=ON (Debian: libbenchmark-dev) and build",
                  quote(program.filename().string())));
}

}  // namespace

Command add_bench(CLI::App& app, Console& console, std::vector<std::string> arguments) {
  CLI::App* command = app.add_subcommand("bench", kBenchPurpose);
  auto options = std::make_shared<BenchOptions>();
  add_bench_options(*command, console, *options);
  return {command, [options, arguments] {
            const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
            return become(self.parent_path() / "oche-bench", arguments);
          }};
}

}  // namespace oche::tools
