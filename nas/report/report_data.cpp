// Reads a run directory for its page.
#include "nas/report/report_data.h"

#include <fmt/format.h>

#include <limits>
#include <string_view>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"

namespace oche::nas::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

std::vector<double> parse_numbers(const json& row, const std::string& place) {
  std::vector<double> numbers;
  for (const json& value : row.get_ref<const json::array_t&>()) {
    if (!value.is_number() && !value.is_null()) {
      throw FormatError(
          fmt::format("{}: weights: expected numbers, found {}", place, quote(value.dump())));
    }
    numbers.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                      : value.get<double>());
  }
  return numbers;
}

// Of edges themselves, which need not have any.
std::vector<double> parse_own(const json& object,
                              const char* cell,
                              const std::vector<SpaceEdge>& edges,
                              const std::string& place) {
  if (!object.contains("edge_weights")) return {};
  std::vector<double> own = parse_numbers(object.at("edge_weights").at(cell), place);
  if (own.size() != edges.size()) {
    throw FormatError(fmt::format("{}: edge_weights: {} numbers; the run searches {} edges",
                                  place,
                                  own.size(),
                                  edges.size()));
  }
  return own;
}

EdgeRows parse_rows(const json& table,
                    const std::vector<SpaceEdge>& edges,
                    const std::string& place) {
  EdgeRows rows;
  for (const json& row : table.get_ref<const json::array_t&>())
    rows.push_back(parse_numbers(row, place));
  if (rows.size() != edges.size()) {
    throw FormatError(fmt::format(
        "{}: weights: {} rows; the run searches {} edges", place, rows.size(), edges.size()));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].size() == edges[i].candidates.size()) continue;
    throw FormatError(fmt::format("{}: weights: {} numbers on edge {}, which has {} candidates",
                                  place,
                                  rows[i].size(),
                                  i,
                                  edges[i].candidates.size()));
  }
  return rows;
}

EpochCells parse_cells(std::string_view line,
                       const SearchedEdges& edges,
                       const std::string& place) {
  const json object = parse_json(line, place);
  try {
    const json& weights = object.at("weights");
    return {.epoch = object.at("epoch").get<int64_t>(),
            .weights = {parse_rows(weights.at("normal"), edges.normal, place),
                        parse_rows(weights.at("reduce"), edges.reduce, place),
                        parse_own(object, "normal", edges.normal, place),
                        parse_own(object, "reduce", edges.reduce, place)},
            .genotype = parse_genotype_json(object.at("genotype").dump(), place)};
  } catch (const json::exception& e) {
    throw FormatError(fmt::format("{}: {}", place, e.what()));
  }
}

std::vector<std::pair<std::string, std::string>> parse_environment(const std::string& text,
                                                                   const std::string& source) {
  const json document = parse_json(text, source);
  if (!document.is_object()) throw FormatError(fmt::format("{}: expected an object", source));
  std::vector<std::pair<std::string, std::string>> entries;
  for (const auto& [key, value] : document.items()) {
    std::string shown;
    if (value.is_structured()) {  // a list of names, or names with versions
      for (const auto& [name, entry] : value.items()) {
        const std::string one = entry.is_string() ? entry.get<std::string>() : entry.dump();
        if (!shown.empty()) shown += ", ";
        shown += value.is_object() ? name + ' ' + one : one;
      }
    } else {
      shown = value.is_string() ? value.get<std::string>() : value.dump();
    }
    entries.emplace_back(key, shown);
  }
  return entries;
}

std::string read_if_there(const fs::path& path, size_t max_bytes) {
  return fs::exists(path) ? read_file(path, max_bytes) : "";
}

}  // namespace

ReportData read_report_data(const fs::path& directory) {
  ReportData data;
  data.run = read_run(directory);
  const fs::path genotypes = directory / "genotypes.jsonl", environment = directory / "env.json";
  const std::string text = read_if_there(genotypes, kMaxJsonBytes);
  const std::vector<std::string_view> lines = whole_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string place = fmt::format("{}: line {}", genotypes.native(), i + 1);
    data.cells.push_back(parse_cells(lines[i], data.run.edges, place));
  }
  data.config = read_if_there(directory / "config.toml", kMaxConfigBytes);
  const std::string document = read_if_there(environment, kMaxJsonBytes);
  if (!document.empty()) data.environment = parse_environment(document, environment.native());
  return data;
}

}  // namespace oche::nas::report
