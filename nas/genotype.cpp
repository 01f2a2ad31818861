// Genotypes: what makes one valid, and its JSON form.
#include "nas/genotype.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/error.h"
#include "engine/json.h"
#include "nas/published.h"

namespace oche::nas {
namespace {

using nlohmann::json;

constexpr int kSchema = 1;
constexpr int kStates = kCellInputs + kMaxGenotypeNodes;
constexpr size_t kMaxNameBytes = 64;

bool is_name(std::string_view name, std::string_view also) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || also.find(c) != also.npos;
  });
}

// What is wrong with the cell, led by its place, `<path>edges[3]`; empty iff nothing is.
std::string defect(const CellGenotype& cell, std::string_view path) {
  int last_to = kCellInputs;
  for (size_t i = 0; i < cell.edges.size(); ++i) {
    const auto& [op, from, to] = cell.edges[i];
    const auto wrong = [&, &name = op, source = from, target = to](std::string_view expected) {
      return fmt::format("{}edges[{}]: expected {}, found [{}, {}, {}]",
                         path,
                         i,
                         expected,
                         quote(name),
                         source,
                         target);
    };
    if (!is_op_name(op)) return wrong("an operation name of a-z, 0-9 and _");
    if (to < kCellInputs || to >= kStates)
      return wrong(fmt::format("a node from {} to {}", kCellInputs, kStates - 1));
    if (from < 0 || from >= to) return wrong("0 <= from < to");
    if (to < last_to)
      return wrong(fmt::format("node {} or later, as edges are grouped by node", last_to));
    last_to = to;
  }
  if (cell.concat.empty() && !cell.edges.empty())
    return fmt::format("{}concat: expected at least one node, as there are edges", path);
  int before = kCellInputs - 1;
  for (size_t i = 0; i < cell.concat.size(); ++i) {
    const int node = cell.concat[i];
    if (node <= before || node >= kStates) {
      return fmt::format("{}concat[{}]: expected a node from {} to {}, found {}",
                         path,
                         i,
                         before + 1,
                         kStates - 1,
                         node);
    }
    before = node;
  }
  return {};
}

std::string defect(const Genotype& genotype) {
  if (!is_name(genotype.space, "-")) {
    return fmt::format("space: expected a name of a-z, 0-9 and -, found {}", quote(genotype.space));
  }
  const std::string normal = defect(genotype.normal, "normal.");
  return normal.empty() ? defect(genotype.reduce, "reduce.") : normal;
}

void refuse(const std::string& what) {
  if (!what.empty()) throw std::invalid_argument("genotype: " + what);
}

// Reads a document whose syntax is known to be right; places are written as normal.edges[3].
class Reader {
 public:
  explicit Reader(const std::string& source) : source_(source) {}

  Genotype genotype(const json& document) const {
    if (!document.is_object()) reject("", "an object", document);
    if (const auto schema = document.find("schema");
        schema != document.end() && *schema != kSchema) {
      reject("schema",
             fmt::format("{}", kSchema),
             *schema);  // before keys that another schema may have
    }
    check_keys(document, "", {"schema", "space", "normal", "reduce"});
    if (!document["space"].is_string()) reject("space", "a name", document["space"]);
    Genotype result{
        document["space"], cell(document["normal"], "normal"), cell(document["reduce"], "reduce")};
    if (const std::string what = defect(result); !what.empty()) fail(what);
    return result;
  }

 private:
  CellGenotype cell(const json& value, const std::string& path) const {
    if (!value.is_object()) reject(path, "an object", value);
    check_keys(value, path + ".", {"edges", "concat"});
    CellGenotype result;
    each(value["edges"], path + ".edges", [&](const json& edge, const std::string& place) {
      if (!edge.is_array() || edge.size() != 3 || !edge[0].is_string()) {
        reject(place, "[operation, from, to]", edge);
      }
      result.edges.push_back(
          {edge[0], state(edge[1], place + "[1]"), state(edge[2], place + "[2]")});
    });
    each(value["concat"], path + ".concat", [&](const json& node, const std::string& place) {
      result.concat.push_back(state(node, place));
    });
    return result;
  }

  int state(const json& value, const std::string& place) const {
    // Read as 64 bits: what does not fit is refused like anything else that is too large.
    if (!value.is_number_integer() || value < 0 || value >= kStates) {
      reject(place, fmt::format("an integer from 0 to {}", kStates - 1), value);
    }
    return value.get<int>();
  }

  template <typename Read>
  void each(const json& value, const std::string& path, Read read) const {
    if (!value.is_array()) reject(path, "an array", value);
    for (size_t i = 0; i < value.size(); ++i) read(value[i], fmt::format("{}[{}]", path, i));
  }

  void check_keys(const json& object,
                  std::string_view path,
                  std::initializer_list<std::string_view> keys) const {
    for (const std::string_view key : keys) {
      if (!object.contains(key)) fail(fmt::format("{}{}: is missing", path, key));
    }
    for (const auto& [key, value] : object.items()) {
      if (std::ranges::find(keys, key) == keys.end()) {
        fail(fmt::format(
            "{}: unknown key; expected {}", quote(std::string(path) + key), fmt::join(keys, ", ")));
      }
    }
  }

  [[noreturn]] void reject(std::string_view place,
                           std::string_view expected,
                           const json& found) const {
    fail(fmt::format("{}{}expected {}, found {}",
                     place,
                     place.empty() ? "" : ": ",
                     expected,
                     quote(found.dump())));
  }

  [[noreturn]] void fail(std::string_view what) const {
    throw FormatError(fmt::format("{}: {}", source_, what));
  }

  const std::string& source_;
};

std::string cell_json(const CellGenotype& cell) {
  std::vector<std::string> edges;
  for (const auto& [op, from, to] : cell.edges) {
    edges.push_back(fmt::format("\n      [\"{}\", {}, {}]", op, from, to));
  }
  return fmt::format("{{\n    \"edges\": [{}{}],\n    \"concat\": [{}]\n  }}",
                     fmt::join(edges, ","),
                     edges.empty() ? "" : "\n    ",
                     fmt::join(cell.concat, ", "));
}

}  // namespace

int node_count(const CellGenotype& cell) {
  int last = kCellInputs - 1;
  for (const GenotypeEdge& edge : cell.edges) last = std::max(last, edge.to);
  for (const int node : cell.concat) last = std::max(last, node);
  return last - kCellInputs + 1;
}

int edges_into(const CellGenotype& cell, int node) {
  return static_cast<int>(std::ranges::count(cell.edges, node, &GenotypeEdge::to));
}

int count_op(const CellGenotype& cell, std::string_view op) {
  return static_cast<int>(std::ranges::count(cell.edges, op, &GenotypeEdge::op));
}

bool is_connected(const CellGenotype& cell) {
  validate(cell);
  std::vector<bool> reached(kStates, false);
  std::fill_n(reached.begin(), kCellInputs, true);
  for (const GenotypeEdge& edge : cell.edges)  // those into a node come before those out of it
    reached[static_cast<size_t>(edge.to)] =
        reached[static_cast<size_t>(edge.to)] || reached[static_cast<size_t>(edge.from)];
  return std::ranges::any_of(cell.concat,
                             [&](int node) { return reached[static_cast<size_t>(node)]; });
}

bool is_op_name(std::string_view op) {
  return is_name(op, "_");
}

void validate(const Genotype& genotype) {
  refuse(defect(genotype));
}

void validate(const CellGenotype& cell) {
  refuse(defect(cell, ""));
}

void check_genotype_size(std::string_view text, const std::string& source) {
  if (text.size() > kMaxGenotypeBytes) {
    throw FormatError(fmt::format(
        "{}: {} bytes; a genotype has at most {}", source, text.size(), kMaxGenotypeBytes));
  }
}

std::string to_json(const Genotype& genotype) {
  validate(genotype);  // names are then free of anything that JSON would have to escape
  return fmt::format(
      "{{\n  \"schema\": {},\n  \"space\": \"{}\",\n  \"normal\": {},\n  \"reduce\": {}\n}}\n",
      kSchema,
      genotype.space,
      cell_json(genotype.normal),
      cell_json(genotype.reduce));
}

Genotype parse_genotype_json(std::string_view text, const std::string& source) {
  check_genotype_size(text, source);
  return Reader(source).genotype(parse_json(text, source));
}

Genotype parse_genotype(std::string_view text, const std::string& source) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return parse_genotype_text(text, source);
  if (text[first] == '{') return parse_genotype_json(text, source);
  const std::string_view trimmed = text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
  if (const Genotype* published = find_published(trimmed)) return *published;
  if (trimmed.find_first_of("(=") != trimmed.npos) return parse_genotype_text(text, source);
  std::vector<std::string_view> names;
  for (const PublishedGenotype& known : published_genotypes()) names.push_back(known.name);
  throw FormatError(fmt::format("{}: expected Genotype(...), JSON or one of {}, found {}",
                                source,
                                fmt::join(names, ", "),
                                quote(trimmed)));
}

}  // namespace oche::nas
