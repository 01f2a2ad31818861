// oche report: a run on one page.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/report/page.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/exit_code.h"
#include "tools/json_output.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNotes =
    R"(A search writes this page itself when it ends. One that runs, or was killed, can be looked at as far as it
has come. The path of the page goes to stdout. The examples follow the second one of `oche search`.

Examples:
  oche report runs/a
  oche report runs/a --out a.html --json
)";

struct Arguments {
  std::string run, out;
  bool json = false;
};

int report(const Arguments& args) {
  const fs::path run = args.run;
  if (!fs::exists(run / "events.jsonl")) {
    throw UsageError(fmt::format("report: {} is no run directory: it has no events.jsonl",
                                 quote(run.native(), 4096)));
  }
  const fs::path page = args.out.empty() ? run / "report.html" : fs::path(args.out);
  const nas::report::ReportData data = nas::report::read_report_data(run);
  const std::string html = nas::report::make_page(data);
  write_file_atomically(page, html);
  if (args.json) {
    print_json({{"schema", 1},
                {"report", page.native()},
                {"bytes", html.size()},
                {"state", name_of(data.run.state)},
                {"epochs", data.run.epochs.size()}});
  } else {
    fmt::print("{}\n", page.native());
  }
  return kDone;
}

}  // namespace

Command add_report(CLI::App& app, Console& console) {
  CLI::App* command =
      app.add_subcommand("report", "Draw a run on one HTML page: curves, weights, cells");
  auto args = std::make_shared<Arguments>();
  command->add_option("RUN", args->run, "a run directory")
      ->required()
      ->check(CLI::ExistingDirectory)
      ->type_name("DIR");
  command->add_option("--out", args->out, "write the page there [RUN/report.html]")
      ->option_text("FILE");
  add_output_options(*command, console, args->json);
  command->footer(kNotes);
  return {command, [args] { return report(*args); }};
}

}  // namespace oche::tools
