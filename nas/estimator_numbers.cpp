// What numbers an estimator of the hypergradient takes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "nas/hypergradient.h"

namespace oche::nas {
namespace {

struct Kind {
  bool (*holds)(double x);  // of a finite number
  std::string_view expected;
};
const Kind& kind_of(Takes takes) {
  static constexpr auto kIsWhole = [](double x) { return x == std::floor(x) && x < 1e9; };
  static constexpr Kind kKinds[] = {
      {[](double x) { return x > 0; }, "a positive number"},
      {[](double x) { return x >= 0; }, "a number from 0"},
      {[](double x) { return x >= 1 && kIsWhole(x); }, "a whole number from 1"},
      {[](double x) { return x >= 0 && kIsWhole(x); }, "a whole number from 0"},
      {[](double x) { return x == 1 || x == 2 || x == 4; }, "1, 2 or 4"},
      {[](double x) { return x == 0 || x == 1; }, "0 or 1"}};
  return kKinds[static_cast<size_t>(takes)];
}

}  // namespace

EstimatorNumbers Estimator::defaults() const {
  EstimatorNumbers all;
  for (const EstimatorNumber& n : numbers) all.emplace(n.name, n.value);
  return all;
}

void Estimator::check(const EstimatorNumbers& given) const {
  const auto own = [this](std::string_view key) {
    return std::ranges::count(this->numbers, key, &EstimatorNumber::name) > 0;
  };
  for (const auto& [key, value] : given) {
    if (!own(key)) throw std::invalid_argument(fmt::format("{} has no number '{}'", name, key));
  }
  for (const EstimatorNumber& n : numbers) {
    const auto found = given.find(n.name);
    if (found == given.end())
      throw std::invalid_argument(fmt::format("{}.{} is missing", name, n.name));
    const double x = found->second;
    const Kind& kind = kind_of(n.takes);
    if (!(std::isfinite(x) && kind.holds(x)))
      throw std::invalid_argument(
          fmt::format("{}.{}: {}; expected {}", name, n.name, x, kind.expected));
  }
}

}  // namespace oche::nas
