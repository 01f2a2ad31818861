// Spaces as JSON.
#include <fmt/format.h>

#include <stdexcept>

#include "engine/error.h"
#include "engine/json.h"
#include "nas/genotype.h"
#include "nas/primitives.h"
#include "nas/space.h"

namespace oche::nas {
namespace {

using nlohmann::json;

constexpr int64_t kMaxCandidates = 64;  // of an edge

json cell_json(const CellSpace& cell) {
  json edges = json::array();
  for (const auto& [from, to, candidates] : cell.edges) edges.push_back({from, to, candidates});
  return edges;
}

// Throws FormatError naming the place for an edge that is none, or that does not follow `before`.
SpaceEdge read_edge(const json& value,
                    const SpaceEdge* before,
                    int64_t steps,
                    const std::string& place) {
  const auto expect = [&](bool holds, std::string_view what) {
    if (holds) return;
    throw FormatError(fmt::format("{}: expected {}, found {}", place, what, quote(value.dump())));
  };
  expect(value.is_array() && value.size() == 3 && value[0].is_number_unsigned() &&
             value[1].is_number_unsigned() && value[2].is_array(),
         "[from, to, [candidate, ...]]");
  expect(value[1] >= kCellInputs && value[1] < kCellInputs + steps,
         fmt::format("a node from {} to {}", kCellInputs, kCellInputs + steps - 1));
  expect(value[0] < value[1], "0 <= from < to");
  SpaceEdge edge{value[0], value[1], {}};
  expect(!before || before->to < edge.to || (before->to == edge.to && before->from < edge.from),
         "edges by node, and within a node by predecessor");
  for (const json& name : value[2]) {
    expect(name.is_string() && is_primitive(name.get<std::string>()), "names of primitives");
    edge.candidates.push_back(name);
  }
  const size_t count = edge.candidates.size();
  expect(count >= 1 && count <= kMaxCandidates, fmt::format("1 to {} candidates", kMaxCandidates));
  expect(!before || before->candidates.size() == count, "as many candidates on every edge");
  return edge;
}

CellSpace read_cell(const json& value, int64_t steps, const std::string& place) {
  if (!value.is_array()) throw FormatError(place + ": expected an array of edges");
  CellSpace cell;
  for (size_t i = 0; i < value.size(); ++i) {
    const SpaceEdge* before = i > 0 ? &cell.edges.back() : nullptr;
    cell.edges.push_back(read_edge(value[i], before, steps, fmt::format("{}[{}]", place, i)));
  }
  return cell;
}

}  // namespace

std::string to_json(const Space& space) {
  const nlohmann::ordered_json document{{"name", space.name},
                                        {"steps", space.steps},
                                        {"plain", space.plain},
                                        {"normal", cell_json(space.normal)},
                                        {"reduce", cell_json(space.reduce)}};
  return document.dump();
}

Space parse_space(std::string_view text, const std::string& source) {
  const json document = parse_json(text, source);
  const auto has = [&](const char* key, auto is) {
    return document.contains(key) && (document[key].*is)();
  };
  if (!document.is_object() || !has("name", &json::is_string) ||
      !has("steps", &json::is_number_unsigned) || !has("plain", &json::is_boolean) ||
      !has("normal", &json::is_array) || !has("reduce", &json::is_array) || document.size() != 5) {
    throw FormatError(source + ": expected an object with name, steps, plain, normal and reduce");
  }
  if (document["steps"] < 1 || document["steps"] > kMaxGenotypeNodes) {
    throw FormatError(fmt::format("{}: steps: expected 1 to {}, found {}",
                                  source,
                                  kMaxGenotypeNodes,
                                  document["steps"].dump()));
  }
  const int64_t steps = document["steps"];
  Space space{.name = document["name"],
              .steps = steps,
              .normal = read_cell(document["normal"], steps, source + ": normal"),
              .reduce = read_cell(document["reduce"], steps, source + ": reduce"),
              .plain = document["plain"]};
  if (space.normal.edges.empty()) throw FormatError(source + ": normal: expected edges");
  return space;
}

}  // namespace oche::nas
