// Reads two documents, matches their rows, names what got slower.
#include "benchmarks/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "benchmarks/format.h"
#include "engine/error.h"

namespace oche::bench {
namespace {

using nlohmann::json;

// What makes times incomparable when it differs.
constexpr const char* kConditions[] = {
    "device", "cpu", "threads", "dtype", "compiler", "build_type", "kernels_built_for", "cuda"};

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Timing read_row(const json& row) {
  Timing t{row.at("row").get<std::string>(), std::numeric_limits<double>::quiet_NaN()};
  if (row.at("check").at("passed").get<bool>()) {
    t.seconds = row.at("seconds").at("median").get<double>();
    if (!(t.seconds > 0)) throw FormatError(t.row + ": the median is not positive");
  }
  return t;
}

}  // namespace

Run read_run(const json& document, const std::string& source) {
  try {
    if (document.at("kind") != "oche-bench" || document.at("schema") != 1) {
      throw FormatError("kind or schema is another");
    }
    Run run;
    for (const json& row : document.at("rows")) run.rows.push_back(read_row(row));
    for (const char* key : kConditions) {
      if (document.contains(key)) run.conditions.emplace_back(key, text_of(document.at(key)));
    }
    return run;
  } catch (const json::exception& e) {
    throw FormatError(
        fmt::format("{}: no document of oche bench (schema 1): {}", quote(source), e.what()));
  } catch (const FormatError& e) {
    throw FormatError(
        fmt::format("{}: no document of oche bench (schema 1): {}", quote(source), e.what()));
  }
}

std::vector<Comparison::Row> Comparison::slower() const {
  std::vector<Row> found;
  std::ranges::copy_if(
      rows, std::back_inserter(found), [&](const Row& r) { return r.ratio() > allowed; });
  std::ranges::stable_sort(found, std::greater{}, &Row::ratio);
  return found;
}

Comparison compare(const Run& before, const Run& after, double allowed) {
  Comparison c{.rows = {},
               .only_before = {},
               .only_after = {},
               .failed = {},
               .other_conditions = {},
               .allowed = allowed};
  std::map<std::string, double> left;
  for (const Timing& t : before.rows) left[t.row] = t.seconds;
  for (const Timing& t : after.rows) {
    const auto found = left.find(t.row);
    if (found == left.end()) {
      c.only_after.push_back(t.row);
      continue;
    }
    if (std::isnan(found->second) || std::isnan(t.seconds)) {
      c.failed.push_back(t.row);
    } else {
      c.rows.push_back({t.row, found->second, t.seconds});
    }
    left.erase(found);
  }
  for (const Timing& t : before.rows) {
    if (left.erase(t.row) > 0) c.only_before.push_back(t.row);
  }
  for (const auto& [key, value] : before.conditions) {
    for (const auto& [other, now] : after.conditions) {
      if (key == other && value != now) {
        c.other_conditions.push_back(fmt::format("{}: {}, then {}", key, value, now));
      }
    }
  }
  return c;
}

std::string to_table(const Comparison& c) {
  size_t width = 3;
  for (const Comparison::Row& r : c.rows) width = std::max(width, r.row.size());
  std::string text =
      fmt::format("{:<{}}  {:>9}{:>11}{:>8}\n", "row", width, "before", "after", "ratio");
  for (const Comparison::Row& r : c.rows) {
    text += fmt::format("{:<{}}  {:>9}{:>11}{:>8.3f}{}\n",
                        r.row,
                        width,
                        format_seconds(r.before),
                        format_seconds(r.after),
                        r.ratio(),
                        r.ratio() > c.allowed ? "  slower" : "");
  }
  const auto name_all = [&](const std::string& what, const std::vector<std::string>& names) {
    for (const std::string& name : names) text += fmt::format("{}: {}\n", what, name);
  };
  name_all("only before", c.only_before);
  name_all("only after", c.only_after);
  name_all("check failed", c.failed);
  return text;
}

nlohmann::ordered_json to_json(const Comparison& c) {
  nlohmann::ordered_json document = {{"schema", 1},
                                     {"kind", "oche-bench-comparison"},
                                     {"allowed_ratio", c.allowed},
                                     {"other_conditions", c.other_conditions},
                                     {"slower", nlohmann::ordered_json::array()},
                                     {"only_before", c.only_before},
                                     {"only_after", c.only_after},
                                     {"check_failed", c.failed},
                                     {"rows", nlohmann::ordered_json::array()}};
  for (const Comparison::Row& r : c.slower()) document["slower"].push_back(r.row);
  for (const Comparison::Row& r : c.rows) {
    document["rows"].push_back(
        {{"row", r.row}, {"before_s", r.before}, {"after_s", r.after}, {"ratio", r.ratio()}});
  }
  return document;
}

}  // namespace oche::bench
