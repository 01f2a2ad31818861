// Reads what a run found last, and compares two of them.
#include "nas/run_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Numbers in rows of the same length. Null, which stands for what is not finite, is none.
Tensor parse_table(const json& rows, const std::string& place) {
  std::vector<double> values;
  for (const json& row : rows.get_ref<const json::array_t&>()) {
    for (const json& value : row.get_ref<const json::array_t&>()) {
      if (!value.is_number() || row.size() != rows[0].size()) {
        throw FormatError(fmt::format("{}: alphas: expected rows of as many numbers each", place));
      }
      values.push_back(value.get<double>());
    }
  }
  if (values.empty() && rows.empty()) return {};  // this type of cell is not searched
  if (values.empty()) throw FormatError(fmt::format("{}: alphas: empty rows", place));
  const auto edges = static_cast<int64_t>(rows.size());
  return Tensor::from(values, {edges, static_cast<int64_t>(values.size()) / edges});
}

// Of edges themselves, which need not have any.
Tensor parse_betas(const json& object, const char* cell) {
  if (!object.contains("betas")) return {};
  const auto values = object.at("betas").at(cell).get<std::vector<double>>();
  if (values.empty()) return {};
  return Tensor::from(values, {std::ssize(values)});
}

EpochArchitecture parse_architecture(std::string_view line, const std::string& place) {
  const json object = parse_json(line, place);
  try {
    const json& alphas = object.at("alphas");
    if (alphas.at("normal").empty())
      throw FormatError(fmt::format("{}: alphas: normal: no edges", place));
    return {.epoch = object.at("epoch").get<int64_t>(),
            .alphas = {parse_table(alphas.at("normal"), place),
                       parse_table(alphas.at("reduce"), place),
                       parse_betas(object, "normal"),
                       parse_betas(object, "reduce")},
            .genotype = parse_genotype_json(object.at("genotype").dump(), place)};
  } catch (const json::exception& e) {
    throw FormatError(fmt::format("{}: {}", place, e.what()));
  }
}

double norm(const std::vector<double>& values) {
  double squares = 0;
  for (const double v : values) squares += v * v;
  return std::sqrt(squares);
}

}  // namespace

std::optional<EpochArchitecture> read_newest_architecture(const fs::path& directory) {
  const fs::path path = directory / "genotypes.jsonl";
  if (!fs::exists(path)) return std::nullopt;  // it comes with the first epoch
  const std::string text = read_file(path, kMaxJsonBytes);
  const std::vector<std::string_view> lines = whole_lines(text);
  if (lines.empty()) return std::nullopt;
  return parse_architecture(lines.back(), fmt::format("{}: line {}", path.native(), lines.size()));
}

EdgeComparison compare_edges(const CellGenotype& first, const CellGenotype& second) {
  EdgeComparison result;
  std::vector<GenotypeEdge> left = second.edges;
  for (const GenotypeEdge& edge : first.edges) {
    const auto same = std::ranges::find(left, edge);
    if (same == left.end()) {
      result.only_first.push_back(edge);
    } else {
      result.shared.push_back(edge);
      left.erase(same);
    }
  }
  result.only_second = std::move(left);
  return result;
}

std::optional<AlphaDistance> alpha_distance(const Tensor& first, const Tensor& second) {
  if (!first || !second || first.shape() != second.shape()) return std::nullopt;
  const std::vector<double> a = first.to_vector<double>(), b = second.to_vector<double>();
  std::vector<double> difference;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference.push_back(a[i] - b[i]);
    largest = std::max(largest, std::abs(difference.back()));
  }
  return AlphaDistance{
      .norm = norm(difference), .largest = largest, .norm_first = norm(a), .norm_second = norm(b)};
}

}  // namespace oche::nas
