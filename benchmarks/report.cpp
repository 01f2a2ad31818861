// JSON, CSV, table.
#include "benchmarks/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "benchmarks/device_timing.h"
#include "benchmarks/families.h"
#include "benchmarks/format.h"
#include "engine/device.h"
#include "engine/runtime.h"
#include "nas/environment.h"

namespace oche::bench {
namespace {

using Json = nlohmann::ordered_json;

std::string_view to_string(Bound bound) {
  return bound == Bound::kPeak ? "peak" : "bandwidth";
}

Json row_json(const Measurement& m, const Report& report) {
  Json row = {{"row", m.row}, {"family", m.family}, {"group", m.group}};
  for (const auto& [name, value] : m.arguments.items()) {
    row["parameters"][std::string(name)] = value;
  }
  row["bytes"] = m.bytes;
  row["flops"] = m.flops;
  row["check"] = {{"passed", m.passed()},
                  {"error", m.check.error},  // null: not finite
                  {"tolerance", m.check.tolerance},
                  {"against", m.check.against},
                  {"row", m.checked_at.empty() ? m.row : m.checked_at}};
  row["peak_tensor_bytes"] = m.peak_tensor_bytes;
  if (m.seconds.empty()) return row;
  row["seconds"] = {{"median", m.median()},
                    {"min", std::ranges::min(m.seconds)},
                    {"max", std::ranges::max(m.seconds)},
                    {"repetitions", m.seconds}};
  const Rates r = rates(m.bytes, m.flops, m.median(), report.roofs);
  row["bytes_per_second"] = r.bytes_per_second;
  row["flops_per_second"] = r.flops_per_second;
  row["percent_of_bandwidth"] = r.percent_of_bandwidth;
  row["percent_of_peak"] = r.percent_of_peak;
  row["bound"] = to_string(r.bound);
  if (report.on_cuda) {
    row["launches"] = m.launches;
    row["copies"] = m.copies;
    row["copy_seconds"] = m.copy_seconds;
    row["percent_of_copy"] = m.percent_of_copy();
  }
  return row;
}

size_t longest_name(const Report& report) {
  size_t longest = 0;
  for (const Measurement& m : report.rows) longest = std::max(longest, m.row.size());
  return longest;
}

std::string table_line(const Measurement& m, const Report& report, size_t width) {
  std::string line = fmt::format("{:<{}}", m.row, width);
  if (!m.passed()) {
    return fmt::format("{}  check FAILED: error {:.2g}, at most {:.2g} allowed, against: {}\n",
                       line,
                       m.check.error,
                       m.check.tolerance,
                       m.check.against);
  }
  const Rates r = rates(m.bytes, m.flops, m.median(), report.roofs);
  const auto percent = [&](double value, Bound bound) {
    return fmt::format(" {:>8}{}", three_digits(value), r.bound == bound ? '*' : ' ');
  };
  const std::string of_copy =
      report.on_cuda ? fmt::format(" {:>8}", three_digits(m.percent_of_copy())) : "";
  return fmt::format("{}  {:>9} {:>9} {:>9} {}{}{}\n",
                     line,
                     format_seconds(m.median()),
                     three_digits(r.bytes_per_second / 1e9),
                     three_digits(r.flops_per_second / 1e9),
                     percent(r.percent_of_bandwidth, Bound::kBandwidth),
                     percent(r.percent_of_peak, Bound::kPeak),
                     of_copy);
}

std::string where(const Report& report) {
  if (report.on_cuda) return cuda_device_name(default_device().index);
  return fmt::format("{} {}", num_threads(), num_threads() == 1 ? "thread" : "threads");
}

}  // namespace

Json to_json(const Report& report) {
  Json document = {{"schema", 1},
                   {"kind", "oche-bench"},
                   {"date", fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)))}};
  Json environment = Json::parse(nas::environment_json("", 0));
  for (const char* of_a_search : {"schema", "seed", "config_sha256"})
    environment.erase(of_a_search);
  document.update(environment);
  document["dtype"] = oche::to_string(report.options.dtype);
  document["repetitions"] = report.options.repetitions;
  document["min_seconds"] = report.options.min_seconds;
  document["peak_resident_bytes"] = report.peak_resident_bytes;
  document["missing"] = missing_baselines();
  if (report.on_cuda) {
    document["cuda"] = device_conditions();
    document["cache"] = "cold";  // of every row and of the copies beside it
  }
  document["roofs"] = {{"bytes_per_second", report.roofs.bytes_per_second},
                       {"flops_per_second", report.roofs.flops_per_second},
                       {"copied_bytes", report.roofs.copied_bytes}};
  document["rows"] = Json::array();
  for (const Measurement& m : report.rows) document["rows"].push_back(row_json(m, report));
  return document;
}

std::string to_csv(const Report& report) {
  std::string text =
      "row,passed,error,tolerance,bytes,flops,median_s,min_s,max_s,bytes_per_s,flops_per_s,"
      "percent_of_bandwidth,percent_of_peak,bound";
  text += report.on_cuda ? ",percent_of_copy\r\n" : "\r\n";
  for (const Measurement& m : report.rows) {
    text += fmt::format("{},{},{:.3g},{:.3g},{:.0f},{:.0f},",
                        m.row,
                        m.passed(),
                        m.check.error,
                        m.check.tolerance,
                        m.bytes,
                        m.flops);
    if (m.seconds.empty()) {
      text += report.on_cuda ? ",,,,,,,,\r\n" : ",,,,,,,\r\n";
      continue;
    }
    const Rates r = rates(m.bytes, m.flops, m.median(), report.roofs);
    text += fmt::format("{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.4g},{:.4g},{}",
                        m.median(),
                        std::ranges::min(m.seconds),
                        std::ranges::max(m.seconds),
                        r.bytes_per_second,
                        r.flops_per_second,
                        r.percent_of_bandwidth,
                        r.percent_of_peak,
                        to_string(r.bound));
    if (report.on_cuda) text += fmt::format(",{:.4g}", m.percent_of_copy());
    text += "\r\n";
  }
  return text;
}

std::string to_table(const Report& report) {
  const size_t width = std::max<size_t>(3, longest_name(report));
  std::string text = fmt::format("{:<{}}  {:>9} {:>9} {:>9} {:>10}{:>10}{}\n",
                                 "row",
                                 width,
                                 "median",
                                 "GB/s",
                                 "GFLOP/s",
                                 "% band ",
                                 "% peak ",
                                 report.on_cuda ? "   % copy" : "");
  for (const Measurement& m : report.rows) text += table_line(m, report, width);
  return text + fmt::format("* of the roof that binds; {}: {} copied, {}\n",
                            where(report),
                            format_si(report.roofs.bytes_per_second, "B/s"),
                            format_si(report.roofs.flops_per_second, "FLOP/s"));
}

}  // namespace oche::bench
