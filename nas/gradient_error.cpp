// Estimates of the architecture gradient beside a reference.
#include "nas/gradient_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace oche::nas {
namespace {

int sign(double x) {
  return (x > 0) - (x < 0);
}

using GroupOf = std::string (*)(const AlphaEntry&);

// The groups in order of appearance, each with the places of its entries.
std::vector<std::pair<std::string, std::vector<size_t>>> groups_of(
    const std::vector<AlphaEntry>& entries, GroupOf group) {
  std::vector<std::pair<std::string, std::vector<size_t>>> groups;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string name = group(entries[i]);
    const auto [at, is_new] = known.emplace(name, groups.size());
    if (is_new) groups.push_back({name, {}});
    groups[at->second].second.push_back(i);
  }
  return groups;
}

Vector picked(const Vector& values, const std::vector<size_t>& places) {
  Vector part;
  for (const size_t i : places) part.push_back(values[i]);
  return part;
}

std::string by_table(const AlphaEntry& e) {
  return e.table;
}

std::string by_edge(const AlphaEntry& e) {
  return e.edge.empty() ? e.table : e.table + " " + e.edge;
}

std::string by_candidate(const AlphaEntry& e) {
  return e.candidate.empty() ? "edge" : e.candidate;
}

std::string by_candidate_of_table(const AlphaEntry& e) {
  return by_table(e) + " " + by_candidate(e);
}

struct Grouping {
  std::string_view name;
  GroupOf of;
  bool needs_edges;
};
constexpr Grouping kGroupings[] = {{kByTable, by_table, false},
                                   {kByEdge, by_edge, true},
                                   {kByCandidate, by_candidate, false},
                                   {kByCandidateOfTable, by_candidate_of_table, true}};

// Of root mean square 1; NaN where it vanishes.
Vector of_unit_size(Vector values) {
  const double size = norm(values) / std::sqrt(static_cast<double>(values.size()));
  for (double& x : values) x /= size;
  return values;
}

double mean(const Vector& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

std::vector<AlphaEntry> alpha_entries(SearchState& state) {
  std::vector<AlphaEntry> entries;
  const Alphas alphas = state.arch.alphas();
  for (size_t i = 0; i < alphas.size(); ++i) {
    const std::string& table = alphas.name(i);
    const CellSpace& cell = table.ends_with("normal") ? state.space.normal : state.space.reduce;
    for (const SpaceEdge& edge : cell.edges) {
      const std::string name = fmt::format("{}->{}", edge.from, edge.to);
      if (table.starts_with("betas")) {
        entries.push_back({table, name, ""});
        continue;
      }
      for (const std::string& candidate : edge.candidates)
        entries.push_back({table, name, candidate});
    }
  }
  return entries;
}

Agreement agreement(const Vector& estimate, const Vector& reference) {
  const double size = norm(reference), own = norm(estimate);
  Vector difference = estimate;
  add(difference, -1, reference);
  double same = 0, signed_entries = 0;
  for (size_t i = 0; i < estimate.size(); ++i) {
    if (reference[i] == 0) continue;
    ++signed_entries;
    same += sign(estimate[i]) == sign(reference[i]) ? 1 : 0;
  }
  return {.cosine = dot(estimate, reference) / (size * own),
          .error = norm(difference) / size,
          .norm_ratio = own / size,
          .signs = same / signed_entries,
          .bias = mean(of_unit_size(estimate)) - mean(of_unit_size(reference))};
}

std::vector<GroupAgreement> group_agreement(const Vector& estimate,
                                            const Vector& reference,
                                            const std::vector<AlphaEntry>& entries) {
  const bool edges =
      std::ranges::any_of(entries, [](const AlphaEntry& e) { return !e.edge.empty(); });
  const Vector a = of_unit_size(estimate), b = of_unit_size(reference);
  std::vector<GroupAgreement> result;
  for (const Grouping& grouping : kGroupings) {
    if (grouping.needs_edges && !edges) continue;
    for (const auto& [name, places] : groups_of(entries, grouping.of)) {
      Agreement of = agreement(picked(estimate, places), picked(reference, places));
      of.bias = mean(picked(a, places)) - mean(picked(b, places));
      result.push_back({grouping.name, name, of});
    }
  }
  return result;
}

double argmax_agreement(const Vector& estimate,
                        const Vector& reference,
                        const std::vector<AlphaEntry>& entries) {
  const auto edges = groups_of(entries, by_edge);
  double same = 0, count = 0;
  for (const auto& [name, places] : edges) {
    if (places.size() < 2 || entries[places[0]].edge.empty()) continue;  // nothing to choose from
    const Vector a = picked(estimate, places), b = picked(reference, places);
    if (norm(b) == 0) continue;  // as of a type of cell that the network lacks
    ++count;
    same += std::ranges::min_element(a) - a.begin() == std::ranges::min_element(b) - b.begin();
  }
  return same / count;
}

}  // namespace oche::nas
