// The command line: chooses the sub-command, and turns what goes wrong into one line and an exit
// code.
#include <fmt/format.h>
#include <oche/version.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/runtime.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/help.h"
#include "tools/suggest.h"

namespace oche::tools {
namespace {

constexpr const char* kFooter = R"(Examples:
  oche --version
  oche search --help
)";

std::string version_text() {
  return fmt::format("oche {} ({})\ncompiler {}, {} build\nCUDA no\narchitectures {}",
                     kVersion,
                     kRevision,
                     kCompiler,
                     kBuildType,
                     instruction_set());
}

// What was typed and is not known: an option anywhere, or the name of a sub-command.
std::string unknown_argument(const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining(true);
  if (extras.empty()) return "";
  std::vector<std::string> known;
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::string& extra = extras.front();
  const bool is_option = extra.starts_with('-');
  if (is_option) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    for (const CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(c->get_name());
    }
  }
  const std::string name = extra.substr(0, extra.find('='));
  if (!is_option && !chosen.empty())
    return fmt::format("{}: unexpected argument {}", command.get_name(), quote(extra));
  const std::string where = chosen.empty() ? "" : command.get_name() + ": ";
  return fmt::format("{}unknown {} {}{}; see oche {}--help",
                     where,
                     is_option ? "option" : "command",
                     quote(name),
                     did_you_mean(name, known),
                     chosen.empty() ? "" : command.get_name() + " ");
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& e) {
  if (const std::string unknown = unknown_argument(app); !unknown.empty()) return unknown;
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  if (chosen.empty()) return "no command; see oche --help";
  const std::string what = e.what();
  const bool no_value = e.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch);
  const std::string& name = chosen.front()->get_name();
  return fmt::format("{}: {}; see oche {} --help",
                     name,
                     no_value ? what.substr(0, what.find(':')) + " needs a value" : what,
                     name);
}

// The action of the sub-command that was chosen.
int run(const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  throw std::logic_error("no sub-command was chosen");  // the parser requires one
}

int guarded_run(const std::vector<Command>& commands, Console& console) {
  const auto fail = [&](std::string_view message, ExitCode code) {
    console.error(message);
    return code;
  };
  try {
    const int code = run(commands);
    if (std::fflush(stdout) != 0) throw IoError("write to", "standard output", errno);
    return code;
  } catch (const UsageError& e) {
    return fail(e.what(), kUsage);
  } catch (const std::invalid_argument& e) {
    return fail(e.what(), kUsage);
  } catch (const FormatError& e) {
    return fail(e.what(), kCorruptFile);
  } catch (const DataError& e) {
    return fail(e.what(), kData);
  } catch (const DeviceError& e) {
    return fail(e.what(), kDevice);
  } catch (const OutOfMemory& e) {
    return fail(e.what(), kDevice);
  } catch (const std::bad_alloc&) {
    return fail("out of memory outside of tensors; lower --batch or --train-size", kDevice);
  } catch (const NonFinite& e) {
    return fail(e.what(), kNotFinite);
  } catch (const std::exception& e) {
    return fail(e.what(), kInternalError);
  }
}

int main(int argc, char** argv) {
  Console console;
  CLI::App app("Differentiable architecture search, from scratch.", "oche");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "this text, or after COMMAND its own");
  app.set_version_flag("--version", version_text(), "version, compiler and back ends");
  app.require_subcommand(1);
  const std::vector<Command> commands = {
      add_search(app, console),
      add_derive(app, console),
      add_inspect(app, console),
      add_doctor(app, console),
  };
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    console.error(usage_message(app, e));
    return kUsage;
  }
  return guarded_run(commands, console);
}

}  // namespace

void add_output_options(CLI::App& command, Console& console, bool& json) {
  const std::string group = "Output";
  command.set_help_flag("-h,--help", "this text")->group(group);
  command.add_flag("--json", json, "one JSON document on stdout")->group(group);
  command
      .add_flag_callback(
          "--quiet", [&] { console.set_verbosity(Verbosity::kQuiet); }, "errors only on stderr")
      ->group(group);
  command
      .add_flag_callback(
          "-v,--verbose", [&] { console.set_verbosity(Verbosity::kVerbose); }, "more on stderr")
      ->group(group);
  command
      .add_option_function<std::string>(
          "--color",
          [&](const std::string& when) {
            console.set_color(when == "always"  ? ColorMode::kAlways
                              : when == "never" ? ColorMode::kNever
                                                : ColorMode::kAuto);
          },
          "auto, always or never; auto heeds NO_COLOR and TERM [auto]")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->option_text("WHEN")
      ->group(group);
}

}  // namespace oche::tools

int main(int argc, char** argv) {
  return oche::tools::main(argc, argv);
}
