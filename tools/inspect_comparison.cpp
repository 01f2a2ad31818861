// Compares two runs: settings, figures, cells, alphas.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"
#include "nas/run_comparison.h"
#include "nas/run_summary.h"
#include "tools/inspect.h"
#include "tools/json_output.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;
using nas::EpochMetrics;

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr std::string_view kMissing = "-";

struct Run {
  fs::path directory;
  nas::RunSummary summary;
  std::optional<nas::EpochArchitecture> newest;
  std::map<std::string, std::string> settings, environment;  // by key
};

// A value without quotes, a number in its shortest form.
std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return text.str();
}

void flatten(const toml::table& table, const std::string& prefix, Run& run) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const toml::table* section = node.as_table()) {
      flatten(*section, name + '.', run);
    } else {
      run.settings[name] = text_of(node);
    }
  }
}

Run read(const fs::path& directory) {
  Run run{directory, nas::read_run(directory), nas::read_newest_architecture(directory), {}, {}};
  // Not by the table of settings: runs of other versions have other keys.
  const fs::path config = directory / "config.toml", environment = directory / "env.json";
  try {
    flatten(toml::parse(read_file(config, kMaxConfigBytes), config.native()), "", run);
  } catch (const toml::parse_error& e) {
    throw FormatError(fmt::format(
        "{}:{}: {}", config.native(), e.source().begin.line, std::string(e.description())));
  }
  const nlohmann::json document =
      parse_json(read_file(environment, kMaxJsonBytes), environment.native());
  const auto add = [&](const std::string& name, const nlohmann::json& value) {
    run.environment[name] = value.is_string() ? value.get<std::string>() : value.dump();
  };
  for (const auto& [key, value] : document.items()) {
    if (key == "seed" || key == "config_sha256") continue;  // follow from the settings
    if (value.is_object()) {
      for (const auto& [name, version] : value.items()) add(key + '.' + name, version);
    } else {
      add(key, value);
    }
  }
  return run;
}

struct Difference {
  std::string key, first, second;
};

std::vector<Difference> differences(const std::map<std::string, std::string>& first,
                                    const std::map<std::string, std::string>& second) {
  std::set<std::string> keys;
  for (const auto& [key, value] : first) keys.insert(key);
  for (const auto& [key, value] : second) keys.insert(key);
  const auto value_of = [](const auto& map, const std::string& key) {
    const auto found = map.find(key);
    return found == map.end() ? std::string(kMissing) : found->second;
  };
  std::vector<Difference> found;
  for (const std::string& key : keys) {
    Difference d{key, value_of(first, key), value_of(second, key)};
    if (d.first != d.second) found.push_back(std::move(d));
  }
  return found;
}

// The epoch with the highest accuracy on the search half, the earliest of equals; the test images
// choose nothing. The run has epochs.
const EpochMetrics& best_epoch(const Run& run) {
  return *std::ranges::max_element(run.summary.epochs, {}, &EpochMetrics::search_accuracy);
}

double value_of(const EpochMetrics& metrics, const nas::MetricColumn& column) {
  return std::visit([&](auto member) { return static_cast<double>(metrics.*member); },
                    column.member);
}

struct Epochs {
  const char *key, *title;
  const EpochMetrics &first, &second;
};

// Those to compare; none where a run has none.
std::vector<Epochs> epochs_of(const Run& first, const Run& second) {
  if (first.summary.epochs.empty() || second.summary.epochs.empty()) return {};
  return {{"last", "last epoch", first.summary.epochs.back(), second.summary.epochs.back()},
          {"best", "best epoch, by search accuracy", best_epoch(first), best_epoch(second)}};
}

struct CellPair {
  const char* name;
  nas::EdgeComparison edges;
  std::optional<nas::AlphaDistance> alphas, betas;
};

std::vector<CellPair> compare_cells(const Run& first, const Run& second) {
  if (!first.newest || !second.newest) return {};
  const nas::EpochArchitecture &a = *first.newest, &b = *second.newest;
  std::vector<CellPair> pairs{{"normal",
                               nas::compare_edges(a.genotype.normal, b.genotype.normal),
                               nas::alpha_distance(a.alphas.normal, b.alphas.normal),
                               nas::alpha_distance(a.alphas.normal_edges, b.alphas.normal_edges)}};
  if (a.alphas.reduce || b.alphas.reduce)  // else nothing is searched there
    pairs.push_back({"reduce",
                     nas::compare_edges(a.genotype.reduce, b.genotype.reduce),
                     nas::alpha_distance(a.alphas.reduce, b.alphas.reduce),
                     nas::alpha_distance(a.alphas.reduce_edges, b.alphas.reduce_edges)});
  return pairs;
}

Json to_json(const std::vector<Difference>& differences) {
  Json object = Json::object();
  for (const Difference& d : differences) object[d.key] = {d.first, d.second};
  return object;
}

Json to_json(const std::vector<nas::GenotypeEdge>& edges) {
  Json list = Json::array();
  for (const nas::GenotypeEdge& e : edges) list.push_back({e.op, e.from, e.to});
  return list;
}

Json to_json(const nas::AlphaDistance& d) {
  return {{"distance", d.norm}, {"largest", d.largest}, {"norms", {d.norm_first, d.norm_second}}};
}

Json to_json(const Run& first, const Run& second) {
  Json document = {{"schema", 1},
                   {"kind", "comparison"},
                   {"runs", {first.directory.native(), second.directory.native()}},
                   {"settings", to_json(differences(first.settings, second.settings))},
                   {"environment", to_json(differences(first.environment, second.environment))}};
  for (const Epochs& epochs : epochs_of(first, second)) {
    for (const nas::MetricColumn& column : nas::metric_columns()) {
      Json& pair = document["epochs"][epochs.key][std::string(column.name)];
      std::visit(
          [&](auto member) {
            pair = {epochs.first.*member, epochs.second.*member};
          },
          column.member);
    }
  }
  for (const CellPair& cell : compare_cells(first, second)) {
    Json& entry = document["cells"][cell.name];
    entry = {{"shared", to_json(cell.edges.shared)},
             {"only_first", to_json(cell.edges.only_first)},
             {"only_second", to_json(cell.edges.only_second)}};
    if (cell.alphas) entry["alphas"] = to_json(*cell.alphas);
    if (cell.betas) entry["betas"] = to_json(*cell.betas);
  }
  return document;
}

void print_differences(std::string_view title, const std::vector<Difference>& differences) {
  fmt::print("\n{}{}\n", title, differences.empty() ? ": none" : "");
  for (const Difference& d : differences) {
    fmt::print("  {:<24} {:<24} {}\n", d.key, d.first, d.second);
  }
}

void print_epochs(const Epochs& epochs) {
  fmt::print("\n{:<26} {:>14} {:>14} {:>14}\n", epochs.title, "first", "second", "difference");
  for (const nas::MetricColumn& column : nas::metric_columns()) {
    const double first = value_of(epochs.first, column), second = value_of(epochs.second, column);
    const bool whole = std::holds_alternative<int64_t EpochMetrics::*>(column.member);
    const int digits = whole ? 15 : 5;
    fmt::print("  {:<24} {:>14.{}g} {:>14.{}g} {:>+14.{}g}\n",
               column.name,
               first,
               digits,
               second,
               digits,
               second - first,
               digits);
  }
}

void print_edges(std::string_view which, const std::vector<nas::GenotypeEdge>& edges) {
  for (const nas::GenotypeEdge& e : edges) {
    fmt::print("  only {:<7} {:<14} {} -> {}\n", which, e.op, e.from, e.to);
  }
}

void print_distance(std::string_view what, const nas::AlphaDistance& d) {
  fmt::print("  {}: norm {:.5g} and {:.5g}, of the difference {:.5g}, its largest {:.5g}\n",
             what,
             d.norm_first,
             d.norm_second,
             d.norm,
             d.largest);
}

void print_cell(const CellPair& cell) {
  const size_t shared = cell.edges.shared.size(), first = shared + cell.edges.only_first.size(),
               second = shared + cell.edges.only_second.size();
  fmt::print("\n{} cell: {} edges in both, of {} and {}\n", cell.name, shared, first, second);
  print_edges("first", cell.edges.only_first);
  print_edges("second", cell.edges.only_second);
  if (cell.alphas) {
    print_distance("alphas", *cell.alphas);
  } else {
    fmt::print("  alphas: of other shapes\n");
  }
  if (cell.betas) print_distance("betas", *cell.betas);
}

void print_text(const Run& first, const Run& second) {
  for (const auto& [name, run] : {std::pair("first", &first), {"second", &second}}) {
    const nas::RunSummary& s = run->summary;
    fmt::print("{:<7} {}: {} on {}, seed {}; {}, {} of {} epochs\n",
               name,
               run->directory.native(),
               s.method,
               s.dataset,
               s.seed,
               name_of(s.state),
               s.epochs.size(),
               s.epochs_planned);
  }
  print_differences("settings that differ", differences(first.settings, second.settings));
  print_differences("environment that differs", differences(first.environment, second.environment));
  for (const Epochs& epochs : epochs_of(first, second)) print_epochs(epochs);
  for (const CellPair& cell : compare_cells(first, second)) print_cell(cell);
}

}  // namespace

void inspect_comparison(const fs::path& first, const fs::path& second, bool as_json) {
  const Run a = read(first), b = read(second);
  if (as_json) {
    print_json(to_json(a, b));
  } else {
    print_text(a, b);
  }
}

}  // namespace oche::tools
