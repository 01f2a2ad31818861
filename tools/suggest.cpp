// Edit distance, and what is near by it.
#include "tools/suggest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace oche::tools {
namespace {

constexpr size_t kMaxSuggestions = 3;

// Levenshtein's: insertions, deletions and replacements of one byte.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // from the prefix of a done so far to each prefix of b
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// What follows the section of a settings key: "epochs" of "schedule.epochs".
std::string_view last_part(std::string_view key) {
  return key.substr(key.rfind('.') + 1);
}

}  // namespace

std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  if (name.size() > 64) return "";
  std::vector<std::pair<size_t, std::string_view>> near;
  for (const std::string& candidate : known) {
    // A key in the wrong section is as near as its last part.
    const size_t distance = std::min(
        edit_distance(name, candidate),
        edit_distance(last_part(name), last_part(candidate)) + (name == candidate ? 0 : 1));
    if (distance <= std::max<size_t>(2, candidate.size() / 4))
      near.emplace_back(distance, candidate);
  }
  std::stable_sort(
      near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  near.resize(std::min(near.size(), kMaxSuggestions));
  std::vector<std::string_view> names;
  for (const auto& [distance, candidate] : near) names.push_back(candidate);
  return names.empty() ? "" : fmt::format("; did you mean {}?", fmt::join(names, " or "));
}

}  // namespace oche::tools
