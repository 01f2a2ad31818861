// oche bench: chooses rows, measures them, shows and keeps the results.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "benchmarks/compare.h"
#include "benchmarks/device_timing.h"
#include "benchmarks/families.h"
#include "benchmarks/format.h"
#include "benchmarks/launch.h"
#include "benchmarks/report.h"
#include "benchmarks/roofline.h"
#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"
#include "engine/process.h"
#include "engine/runtime.h"
#include "engine/storage.h"
#include "tools/bench_options.h"
#include "tools/command_line.h"
#include "tools/device_option.h"
#include "tools/exit_code.h"
#include "tools/json_output.h"

namespace oche::bench {
namespace {

using tools::Console;
using tools::UsageError;

using Options = tools::BenchOptions;

void validate(const Options& o) {
  const auto require = [](bool holds, std::string_view option, auto value, std::string_view what) {
    if (!holds)
      throw UsageError(fmt::format("{}: {} is not allowed; expected {}", option, value, what));
  };
  require(o.threads >= 1 && o.threads <= 1024, "--threads", o.threads, "1 to 1024");
  require(o.repetitions >= 1 && o.repetitions <= 1000, "--repetitions", o.repetitions, "1 to 1000");
  require(o.min_seconds > 0 && o.min_seconds <= 3600,
          "--min-time",
          o.min_seconds,
          "more than 0, at most 3600 seconds");
  require(o.ratio >= 1 && o.ratio < 1e9, "--ratio", o.ratio, "a number from 1 on");
  for (const std::string& file : {o.out, o.csv, o.plot}) {
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder)) {
      throw UsageError(fmt::format("{}: its directory does not exist", quote(file)));
    }
  }
  if (!o.compare.empty() && (!o.rows.empty() || !o.filter.empty() || o.list)) {
    throw UsageError("--compare: measures nothing; leave rows, --filter and --list out");
  }
}

// Those that were named, and those that the filter selects; without either all that are listed.
std::vector<Row> choose_rows(const Options& o, std::span<const Family> families, Console& console) {
  const bool single = o.dtype == "f32";
  std::vector<Row> rows;
  for (const std::string& text : o.rows) {
    rows.push_back(parse_row(text, families));
    if (rows.back().family->f32_only && !single) {
      throw UsageError(fmt::format("{}: float32 only; leave --dtype f64 out", rows.back().name()));
    }
  }
  if (!o.rows.empty() && o.filter.empty()) return rows;
  const std::regex filter = [&] {
    try {
      return std::regex(o.filter);
    } catch (const std::regex_error&) {
      throw UsageError(fmt::format("--filter: {} is no regular expression", quote(o.filter)));
    }
  }();
  const size_t named = rows.size();
  size_t left_out = 0;
  for (const Row& row : default_rows(families)) {
    if (!std::regex_search(row.name(), filter)) continue;
    if (row.family->f32_only && !single) {
      ++left_out;
    } else {
      rows.push_back(row);
    }
  }
  if (left_out > 0) console.note(fmt::format("{} rows left out: float32 only", left_out));
  if (rows.size() == named) {
    throw UsageError(
        fmt::format("--filter: no row matches {}; --list names them", quote(o.filter)));
  }
  return rows;
}

int list(const Options& o, const std::vector<Row>& rows, Console& console) {
  tools::Json document = {
      {"schema", 1}, {"rows", tools::Json::array()}, {"missing", missing_baselines()}};
  for (const Row& row : rows) {
    document["rows"].push_back({{"row", row.name()}, {"summary", row.family->summary}});
  }
  if (o.json) {
    tools::print_json(document);
  } else {
    for (const Row& row : rows) fmt::print("{}\n", row.name());
  }
  for (const std::string& library : missing_baselines()) {
    console.note(fmt::format("without baselines of {}", library));
  }
  return tools::kDone;
}

// A live line where there is one, else a line from time to time.
class Progress {
 public:
  Progress(Console& console, size_t rows) : console_(console), rows_(rows) {}
  void next(const std::string& what) {
    ++row_;
    const std::string line = fmt::format("{}/{} {}", row_, rows_, what);
    if (console_.has_live_line()) {
      console_.live(line);
    } else if (const auto now = Clock::now();
               row_ == 1 || now - shown_ > std::chrono::seconds(10)) {
      shown_ = now;
      console_.note(line);
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  Console& console_;
  size_t row_ = 0, rows_;
  Clock::time_point shown_;
};

int measure_all(const Options& o, const std::vector<Row>& rows, Console& console) {
  const MeasureOptions options{.dtype = o.dtype == "f64" ? DType::kFloat64 : DType::kFloat32,
                               .repetitions = o.repetitions,
                               .min_seconds = o.min_seconds};
  Report report{.options = options, .roofs = {}, .rows = {}, .on_cuda = on_cuda()};
  CopyTimes copies(options);
  Progress progress(console, rows.size() + 1);
  for (const Row& row : rows) {
    progress.next(row.name());
    report.rows.push_back(measure(row, options));
    Measurement& m = report.rows.back();
    if (report.on_cuda && m.passed()) m.copy_seconds = copies.seconds(m.bytes);
    release_unused_memory();
  }
  report.peak_resident_bytes = peak_resident_bytes();  // before the copy's buffers
  progress.next("roofs");
  report.roofs = measure_roofs(options);
  console.note(fmt::format("{} rows measured", rows.size()));

  const tools::Json document = to_json(report);
  if (!o.out.empty()) write_file_atomically(o.out, document.dump(2) + "\n");
  if (!o.csv.empty()) write_file_atomically(o.csv, to_csv(report));
  if (!o.plot.empty()) {
    const std::string subtitle =
        report.on_cuda ? fmt::format("{}, {}", document["device"].get<std::string>(), o.dtype)
                       : fmt::format("{}, {} threads, {}, kernels for {}",
                                     document["cpu"].get<std::string>(),
                                     num_threads(),
                                     o.dtype,
                                     document["kernels_built_for"].get<std::string>());
    write_file_atomically(o.plot, roofline_svg(report, subtitle));
  }
  if (o.json) {
    tools::print_json(document);
  } else {
    fmt::print("{}", to_table(report));
  }
  const auto failed = std::ranges::count_if(report.rows, [](const auto& m) { return !m.passed(); });
  if (failed == 0) return tools::kDone;
  console.error(fmt::format("bench: {} of {} rows failed their check", failed, rows.size()));
  return tools::kCheckFailed;
}

int compare_files(const Options& o, Console& console) {
  const auto read = [](const std::string& path) {
    return read_run(parse_json(read_file(path, kMaxJsonBytes), path), path);
  };
  const Comparison c = compare(read(o.compare[0]), read(o.compare[1]), o.ratio);
  for (const std::string& condition : c.other_conditions) {
    console.note("measured under other conditions: " + condition);
  }
  if (o.json) {
    tools::print_json(to_json(c));
  } else {
    fmt::print("{}", to_table(c));
  }
  const std::vector<Comparison::Row> slower = c.slower();
  for (const Comparison::Row& row : slower) {
    console.note(fmt::format("slower: {} by {:.3f}", row.row, row.ratio()));
  }
  if (slower.empty() && c.failed.empty()) return tools::kDone;
  console.error(fmt::format("bench: {} rows slower than {} times before, {} with a failed check",
                            slower.size(),
                            o.ratio,
                            c.failed.size()));
  return tools::kCheckFailed;
}

int run(const Options& o, Console& console) {
  validate(o);
  if (!o.compare.empty()) return compare_files(o, console);
  tools::choose_device(o.device, console);
  set_num_threads(static_cast<int>(o.threads));
  const std::vector<Family> families = all_families();
  const std::vector<Row> rows = choose_rows(o, families, console);
  return o.list ? list(o, rows, console) : measure_all(o, rows, console);
}

int main(int argc, char** argv) {
  Console console;
  Options options;
  CLI::App app(tools::kBenchPurpose, "oche bench");
  tools::add_bench_options(app, console, options);
  return tools::run(app, argc, argv, console, [&] { return run(options, console); });
}

}  // namespace
}  // namespace oche::bench

int main(int argc, char** argv) {
  return oche::bench::main(argc, argv);
}
