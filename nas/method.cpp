// The table of methods.
#include "nas/method.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

namespace oche::nas {
namespace {

constexpr std::array<Method, 2> kMethods = {{
    {"darts",
     "DARTS, second order",
     "arXiv:1806.09055",
     [](SearchConfig& c) { c.gradient = "finite-difference"; }},
    {"darts-1st",
     "DARTS, first order",
     "arXiv:1806.09055",
     [](SearchConfig& c) { c.gradient = "first-order"; }},
}};

}  // namespace

std::span<const Method> methods() {
  return kMethods;
}

const Method& find_method(std::string_view name) {
  const auto found = std::find_if(
      kMethods.begin(), kMethods.end(), [&](const Method& m) { return m.name == name; });
  if (found != kMethods.end()) return *found;
  std::vector<std::string_view> names;
  for (const Method& m : kMethods) names.push_back(m.name);
  throw std::invalid_argument(
      fmt::format("method '{}' is not known; expected one of {}", name, fmt::join(names, ", ")));
}

}  // namespace oche::nas
