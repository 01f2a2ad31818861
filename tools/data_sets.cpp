// The table of data sets.
#include "tools/data_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include "engine/error.h"
#include "nas/data/cifar10.h"
#include "nas/data/patterns.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;

constexpr nas::PatternsOptions kPatterns;  // the same images for every seed of a search

nas::Dataset train_patterns(const fs::path&) {
  nas::PatternsOptions options = kPatterns;
  options.test = 0;
  return nas::make_patterns(options).train;
}

// scripts/get_data.sh makes DIR/cifar10/cifar-10-batches-bin; DIR may also be one of the latter
// two.
nas::Dataset train_cifar10(const fs::path& directory) {
  std::error_code ignored;
  const bool here = fs::exists(directory / "data_batch_1.bin", ignored) ||
                    fs::exists(directory / "cifar-10-batches-bin", ignored);
  return nas::load_cifar10(here ? directory : directory / "cifar10").train;
}

constexpr DataSet kDataSets[] = {
    {.name = "patterns",
     .train_images = kPatterns.train,
     .side = 32,
     .channels = 3,
     .classes = 10,
     .downloaded = false,
     .load_train = train_patterns},
    {.name = "cifar10",
     .train_images = 50'000,
     .side = 32,
     .channels = 3,
     .classes = 10,
     .downloaded = true,
     .load_train = train_cifar10},
};

}  // namespace

std::span<const DataSet> data_sets() {
  return kDataSets;
}

std::vector<std::string> data_set_names() {
  std::vector<std::string> names;
  for (const DataSet& set : kDataSets) names.emplace_back(set.name);
  return names;
}

const DataSet& find_data_set(std::string_view name) {
  const auto found = std::ranges::find(kDataSets, name, &DataSet::name);
  if (found != std::end(kDataSets)) return *found;
  throw std::invalid_argument(fmt::format("--dataset: {} is not known", quote(name)));
}

}  // namespace oche::tools
