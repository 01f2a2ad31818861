// Output options, usage errors, exit codes.
#include "tools/command_line.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

#include "engine/error.h"
#include "kernels/cuda/runtime.h"
#include "tools/exit_code.h"
#include "tools/help.h"
#include "tools/suggest.h"

namespace oche::tools {
namespace {

// The command that the arguments chose, as it is typed.
struct Chosen {
  const CLI::App& app;
  std::string typed;  // "oche search"; "oche" when none was chosen
  std::string where;  // "search: "; empty when none was chosen
};

Chosen chosen_command(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::string typed =
      chosen.empty() ? app.get_name() : app.get_name() + ' ' + command.get_name();
  const size_t space = typed.find(' ');
  return {command, typed, space == typed.npos ? "" : typed.substr(space + 1) + ": "};
}

// What was typed and is not known: an option anywhere, or the name of a sub-command.
std::string unknown_argument(const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining(true);
  if (extras.empty()) return "";
  const Chosen command = chosen_command(app);
  std::vector<std::string> known;
  const std::string& extra = extras.front();
  const bool is_option = extra.starts_with('-');
  if (is_option) {
    for (const CLI::Option* option : command.app.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    for (const CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(c->get_name());
    }
  }
  const std::string name = extra.substr(0, extra.find('='));
  if (!is_option && !command.where.empty())
    return fmt::format("{}unexpected argument {}", command.where, quote(extra));
  return fmt::format("{}unknown {} {}{}; see {} --help",
                     command.where,
                     is_option ? "option" : "command",
                     quote(name),
                     did_you_mean(name, known),
                     command.typed);
}

// What was wrong with the arguments, and where help is.
std::string usage_message(const CLI::App& app, const CLI::ParseError& e) {
  if (const std::string unknown = unknown_argument(app); !unknown.empty()) return unknown;
  const Chosen command = chosen_command(app);
  if (command.where.empty()) return fmt::format("no command; see {} --help", command.typed);
  const std::string what = e.what();
  const bool no_value = e.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch) &&
                        what.find("At Most") == what.npos;
  return fmt::format("{}{}; see {} --help",
                     command.where,
                     no_value ? what.substr(0, what.find(':')) + " needs a value" : what,
                     command.typed);
}

// What `action` returns; or an exit code, its exception having been printed.
int guarded(Console& console, const std::function<int()>& action) {
  const auto fail = [&](std::string_view message, ExitCode code) {
    console.error(message);
    return code;
  };
  try {
    const int code = action();
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
  } catch (const kernels::cuda::Error& e) {
    return fail(e.what(), kDevice);
  } catch (const std::bad_alloc&) {
    return fail("out of memory outside of tensors; lower --batch or --train-size", kDevice);
  } catch (const NonFinite& e) {
    return fail(e.what(), kNotFinite);
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::broken_pipe) return kSignal + SIGPIPE;  // as if it had been caught
    return fail(e.what(), kInternalError);
  } catch (const std::exception& e) {
    return fail(e.what(), kInternalError);
  }
}

}  // namespace

int run(CLI::App& app,
        int argc,
        const char* const* argv,
        Console& console,
        const std::function<int()>& action) {
  const auto formatter = std::make_shared<HelpFormatter>();
  app.formatter(formatter);
  for (CLI::App* command : app.get_subcommands({})) command->formatter(formatter);
  return guarded(console, [&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& e) {  // --help, --version
      std::ostringstream text;
      app.exit(e, text);
      fmt::print("{}", text.str());
      return 0;
    } catch (const CLI::ParseError& e) {
      throw UsageError(usage_message(app, e));
    }
    return action();
  });
}

CLI::Validator finite_number() {
  return {[](const std::string& text) {
            double value = 0;
            const bool finite = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
            return finite ? std::string() : fmt::format("{} is no finite number", quote(text));
          },
          ""};
}

CLI::Option* may_repeat(CLI::Option* option) {
  return option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

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
