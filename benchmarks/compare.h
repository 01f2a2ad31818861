// Two documents of `oche bench` side by side: what got slower.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace oche::bench {

struct Timing {
  std::string row;
  double seconds;  // median; NaN: its check failed
};
struct Run {
  std::vector<Timing> rows;
  std::vector<std::pair<std::string, std::string>> conditions;  // "threads" and "2", ...
};

// The rows of a document of schema 1. Throws FormatError naming `source` for anything else.
Run read_run(const nlohmann::json& document, const std::string& source);

struct Comparison {
  struct Row {
    std::string row;
    double before, after;
    double ratio() const { return after / before; }
  };
  std::vector<Row> rows;  // in both, measured in both; in the order of the second
  std::vector<std::string> only_before, only_after, failed;  // failed: a check, in either
  std::vector<std::string> other_conditions;                 // "threads: 2, then 4"
  double allowed;                                            // ratio

  std::vector<Row> slower() const;  // past the allowed ratio, the worst first
};

Comparison compare(const Run& before, const Run& after, double allowed);

std::string to_table(const Comparison& comparison);
nlohmann::ordered_json to_json(const Comparison& comparison);

}  // namespace oche::bench
