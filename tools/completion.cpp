// oche completion: the script by which a shell completes oche's command line.
#include "tools/completion.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/json_output.h"

namespace oche::tools {
namespace {

constexpr const char* kNotes =
    R"text(The script goes to stdout. An installation brings it to where each shell looks; without one:

  bash  eval "$(oche completion bash)"      in ~/.bashrc
  zsh   eval "$(oche completion zsh)"       in ~/.zshrc, after compinit
  fish  oche completion fish | source       in ~/.config/fish/config.fish

Examples:
  oche completion bash
  oche completion fish
)text";

struct Arguments {
  std::string shell;
  bool json = false;
};

int completion(const CLI::App& app, const Arguments& args) {
  const std::vector<CommandEntry> commands = describe_all(app);
  const std::string script = args.shell == "bash"  ? bash_completion(commands)
                             : args.shell == "zsh" ? zsh_completion(commands)
                                                   : fish_completion(commands);
  if (args.json) {
    print_json({{"schema", 1}, {"shell", args.shell}, {"script", script}});
  } else {
    fmt::print("{}", script);
  }
  return kDone;
}

}  // namespace

Command add_completion(CLI::App& app, Console& console) {
  CLI::App* command = app.add_subcommand(
      "completion", "Print the script by which a shell completes oche's options");
  auto args = std::make_shared<Arguments>();
  command->add_option("SHELL", args->shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [&app, args] { return completion(app, *args); }};
}

}  // namespace oche::tools
