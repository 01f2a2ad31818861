// Stratified selection and split.
#include "nas/data/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "engine/random.h"

namespace oche::nas {
namespace {

enum class Balance { kEqual, kProportional };

// `images` shuffled, then arranged so that every prefix is balanced: image k of the n of its class
// comes at place k (equal counts), or at place (k + 1/2) / n (counts in proportion).
std::vector<int64_t> stratified(const Dataset& set,
                                const std::vector<int64_t>& images,
                                uint64_t seed,
                                uint64_t stream,
                                Balance balance) {
  const auto n = static_cast<int64_t>(images.size());
  std::vector<int64_t> order = shuffled_indices(seed, Purpose::kStratify, 0, n, stream);
  for (int64_t& position : order) position = images[static_cast<size_t>(position)];

  std::vector<int64_t> count(static_cast<size_t>(set.classes));
  const auto class_of = [&](int64_t image) {
    return static_cast<size_t>(set.labels.at(static_cast<size_t>(image)));
  };
  for (const int64_t image : order) ++count.at(class_of(image));
  std::vector<int64_t> seen(count.size());
  std::vector<std::pair<double, int64_t>> placed;
  for (const int64_t image : order) {
    const size_t k = class_of(image);
    const double rank = static_cast<double>(seen[k]++) + 0.5;
    placed.emplace_back(balance == Balance::kEqual ? rank : rank / static_cast<double>(count[k]),
                        image);
  }
  std::stable_sort(
      placed.begin(), placed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::transform(
      placed.begin(), placed.end(), order.begin(), [](const auto& p) { return p.second; });
  return order;
}

}  // namespace

std::vector<int64_t> select_images(const Dataset& set, int64_t count, uint64_t seed) {
  if (count < 1 || count > set.size()) {
    throw std::invalid_argument(fmt::format(
        "--train-size: {}; expected 1 <= N <= {}, the size of {}", count, set.size(), set.name));
  }
  std::vector<int64_t> all(static_cast<size_t>(set.size()));
  std::iota(all.begin(), all.end(), 0);
  std::vector<int64_t> chosen = stratified(set, all, seed, module_id("select"), Balance::kEqual);
  chosen.resize(static_cast<size_t>(count));
  return chosen;
}

Split split_images(const Dataset& set,
                   const std::vector<int64_t>& images,
                   double train_fraction,
                   uint64_t seed) {
  if (!(train_fraction > 0 && train_fraction <= 1)) {
    throw std::invalid_argument(
        fmt::format("split: train fraction {}; expected 0 < fraction <= 1", train_fraction));
  }
  const auto size = static_cast<int64_t>(images.size());
  const int64_t train = std::llround(train_fraction * static_cast<double>(size));
  if (train == 0 || (train == size && train_fraction < 1)) {
    throw std::invalid_argument(fmt::format(
        "split: {} images at train fraction {} leave a part empty; expected more images",
        size,
        train_fraction));
  }
  std::vector<int64_t> order =
      stratified(set, images, seed, module_id("split"), Balance::kProportional);
  return {{order.begin(), order.begin() + train}, {order.begin() + train, order.end()}};
}

}  // namespace oche::nas
