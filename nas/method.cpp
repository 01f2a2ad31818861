// The table of methods.
#include "nas/method.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace oche::nas {
namespace {

constexpr Method kMethods[] = {
    {"darts",
     "DARTS, second order",
     "arXiv:1806.09055",
     [](SearchConfig& c) { c.gradient = "finite-difference"; }},
    {"darts-1st",
     "DARTS, first order",
     "arXiv:1806.09055",
     [](SearchConfig& c) { c.gradient = "first-order"; }},
    {"darts-one-level",
     "DARTS, alphas and weights on one loss",
     "arXiv:1806.09055, sec. 3.3",
     [](SearchConfig& c) { c.gradient = "one-level"; },
     "the paper does not name the optimiser of the alphas here; it is Adam as elsewhere"},
};

}  // namespace

std::span<const Method> methods() {
  return kMethods;
}

const Method& find_method(std::string_view name) {
  const auto* found = std::ranges::find(kMethods, name, &Method::name);
  if (found != std::end(kMethods)) return *found;
  std::vector<std::string_view> names;
  for (const Method& m : kMethods) names.push_back(m.name);
  throw std::invalid_argument(
      fmt::format("method '{}' is not known; expected one of {}", name, fmt::join(names, ", ")));
}

}  // namespace oche::nas
