// Options and help of oche bench.
#include "tools/bench_options.h"

#include "tools/command_line.h"
#include "tools/device_option.h"

namespace oche::tools {
namespace {

constexpr const char* kNotes =
    R"(Each row is checked against a reference, then timed; a failed check ends in exit code 7. Times are
medians over the repetitions. GB/s counts the least traffic of a row (each input read once, each
output written once), GFLOP/s two operations a multiply-add. Both are held against roofs measured in
the same run with the same threads: a copy of buffers larger than the caches, and multiply-adds in
registers. The star marks the roof that binds. A row whose data stay in a cache may exceed 100 % of
the copy bandwidth. On a CUDA device rows find their data in memory, not in its cache; % copy is the
time of a copy of as many bytes, found there as well, over the row's.

Examples:
  oche bench conv2d_depthwise_forward/c:8/h:16/w:16 softmax_forward --repetitions 3
  oche bench --filter '^batch_norm.*c:64' --min-time 0.01 --out norm.json --plot norm.svg
)";

}  // namespace

void add_bench_options(CLI::App& app, Console& console, BenchOptions& o) {
  app.add_option(
      "ROW", o.rows, "a family, with values for some of its parameters; --list shows them");
  app.add_option("--filter", o.filter, "the listed rows that match, whole or in part")
      ->option_text("REGEX")
      ->group("Rows");
  app.add_flag("--list", o.list, "names the rows, measures nothing")->group("Rows");
  app.add_option("--threads", o.threads, "threads, the calling one included [all processors]")
      ->option_text("N")
      ->group("Measurement");
  add_device_option(app, o.device)->group("Measurement");
  app.add_option("--dtype", o.dtype, "f32 or f64 [f32]")
      ->check(CLI::IsMember({"f32", "f64"}))
      ->option_text("TYPE")
      ->group("Measurement");
  app.add_option("--repetitions", o.repetitions, "measurements of each row [7]")
      ->option_text("N")
      ->group("Measurement");
  app.add_option("--min-time", o.min_seconds, "least time of a repetition, seconds [0.05]")
      ->option_text("X")
      ->group("Measurement");
  app.add_option("--out", o.out, "the JSON document, to a file")
      ->option_text("FILE")
      ->group("Results");
  app.add_option("--csv", o.csv, "one line a row")->option_text("FILE")->group("Results");
  app.add_option("--plot", o.plot, "the roofline with the rows on it, SVG")
      ->option_text("FILE")
      ->group("Results");
  app.add_option("--compare", o.compare, "names what got slower from A to B, measures nothing")
      ->expected(2)
      ->check(CLI::ExistingFile)
      ->option_text("A.json B.json")
      ->group("Comparison");
  app.add_option("--ratio", o.ratio, "exit code 7 when a time grew beyond this factor [1.1]")
      ->option_text("X")
      ->group("Comparison");
  add_output_options(app, console, o.json);
  app.footer(kNotes);
}

}  // namespace oche::tools
