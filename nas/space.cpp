// The table of search spaces.
#include "nas/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "nas/named_parts.h"
#include "nas/primitives.h"

namespace oche::nas {
namespace {

constexpr int kInputs = 2;  // of a cell

// Candidates as words. Of a cell whose edges differ, those of one edge after the other, with
// commas.
constexpr std::string_view kDarts =
    "none max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 "
    "dil_conv_5x5";
constexpr std::string_view kDartsNoNone = kDarts.substr(kDarts.find("max"));
constexpr std::string_view kS1Normal =
    "skip_connect dil_conv_3x3,skip_connect dil_conv_5x5,"
    "skip_connect dil_conv_5x5,skip_connect sep_conv_3x3,skip_connect dil_conv_3x3,"
    "max_pool_3x3 skip_connect,skip_connect sep_conv_3x3,skip_connect sep_conv_3x3,skip_connect "
    "dil_conv_3x3,"
    "skip_connect sep_conv_3x3,max_pool_3x3 skip_connect,skip_connect dil_conv_3x3,dil_conv_3x3 "
    "dil_conv_5x5,"
    "dil_conv_3x3 dil_conv_5x5";
constexpr std::string_view kS1Reduce =
    "max_pool_3x3 avg_pool_3x3,max_pool_3x3 dil_conv_3x3,"
    "max_pool_3x3 avg_pool_3x3,max_pool_3x3 avg_pool_3x3,skip_connect dil_conv_5x5,"
    "max_pool_3x3 avg_pool_3x3,max_pool_3x3 sep_conv_3x3,skip_connect dil_conv_3x3,skip_connect "
    "dil_conv_5x5,"
    "max_pool_3x3 avg_pool_3x3,max_pool_3x3 avg_pool_3x3,skip_connect dil_conv_5x5,skip_connect "
    "dil_conv_5x5,"
    "skip_connect dil_conv_5x5";

struct Row {
  std::string_view name, normal, reduce;
  SpaceSizes sizes = {};
  bool plain = false;
};
constexpr Row kRows[] = {
    {"darts-cnn", kDarts, kDarts},
    {"darts-cnn-no-none", kDartsNoNone, kDartsNoNone},
    {"darts-s1", kS1Normal, kS1Reduce, {.steps = 4}},
    {"darts-s2", "skip_connect sep_conv_3x3", "skip_connect sep_conv_3x3"},
    {"darts-s3", "none skip_connect sep_conv_3x3", "none skip_connect sep_conv_3x3"},
    {"darts-s4", "noise sep_conv_3x3", "noise sep_conv_3x3"},
    {"nas-bench-201",
     "none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3",
     "",
     {.steps = 3, .multiplier = 1, .stem_multiplier = 1, .layers = 17},
     true},
};
constexpr auto kNames = names_of(kRows);

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(by), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

CellSpace cell(std::string_view candidates, int steps, int first_state) {
  const std::vector<std::string_view> lists = split(candidates, ',');
  CellSpace space;
  if (lists.empty()) return space;
  for (int to = kInputs; to < kInputs + steps; ++to) {
    for (int from = first_state; from < to; ++from) {
      const std::vector<std::string_view> words =
          split(lists.size() == 1 ? lists[0] : lists[space.edges.size()], ' ');
      space.edges.push_back({from, to, {words.begin(), words.end()}});
    }
  }
  return space;
}

}  // namespace

EdgeRows CellSpace::sizes() const {
  constexpr int64_t kChannels = 16;
  EdgeRows rows;
  for (const SpaceEdge& edge : edges) {
    std::vector<double>& row = rows.emplace_back();
    for (const std::string& name : edge.candidates) {
      const std::optional<Branch> branch = primitive_branch(name, 1);
      row.push_back(branch ? static_cast<double>(branch_weights(*branch, kChannels, kChannels))
                           : -1);
    }
  }
  return rows;
}

std::vector<int64_t> CellSpace::costliest() const {
  std::vector<int64_t> places;
  for (const std::vector<double>& row : sizes())
    places.push_back(std::ranges::max_element(row) - row.begin());
  return places;
}

bool CellSpace::has(std::string_view primitive) const {
  return std::ranges::any_of(edges, [&](const SpaceEdge& edge) {
    return std::ranges::find(edge.candidates, primitive) != edge.candidates.end();
  });
}

std::vector<int64_t> CellSpace::edges_into_nodes() const {
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < edges.size(); ++i) {
    if (i == 0 || edges[i].to != edges[i - 1].to) sizes.push_back(0);
    ++sizes.back();
  }
  return sizes;
}

Space make_space(std::string_view name, int64_t steps) {
  const Row& row = find_named("space", name, kRows);
  if (row.sizes.steps > 0 && steps != row.sizes.steps) {
    throw std::invalid_argument(
        fmt::format("--steps: {} is not allowed; expected {} in {}", steps, row.sizes.steps, name));
  }
  const int first_state = row.plain ? 1 : 0;
  return {.name = std::string(name),
          .steps = steps,
          .normal = cell(row.normal, static_cast<int>(steps), first_state),
          .reduce = cell(row.reduce, static_cast<int>(steps), first_state),
          .plain = row.plain};
}

std::span<const std::string_view> space_names() {
  return kNames;
}

bool has_fixed_reduction(std::string_view name) {
  return std::ranges::any_of(
      kRows, [&](const Row& row) { return row.name == name && row.reduce.empty(); });
}

SpaceSizes sizes_of(std::string_view name) {
  return find_named("space", name, kRows).sizes;
}

int64_t edge_count(int64_t steps) {
  return first_edge(steps);
}

}  // namespace oche::nas
