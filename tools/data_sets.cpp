// The table of data sets.
#include "tools/data_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "engine/error.h"
#include "nas/data/arrays.h"
#include "nas/data/cifar.h"
#include "nas/data/image_folder.h"
#include "nas/data/mnist.h"
#include "nas/data/patterns.h"

namespace oche::tools {
namespace {

namespace fs = std::filesystem;
using nas::Cifar, nas::DatasetShape, nas::Mnist, nas::Part;

// The same images for every seed of a search.
nas::Dataset load_patterns(const fs::path&, Part part) {
  nas::PatternsOptions options;
  if (part == Part::kTrain) {
    options.test = 0;
    return nas::make_patterns(options).train;
  }
  return nas::make_patterns(options).test;
}

DatasetShape patterns_shape(const fs::path&) {
  return {.images = nas::PatternsOptions().train,
          .height = 32,
          .width = 32,
          .channels = 3,
          .classes = 10};
}

template <Cifar kWhich>
DatasetShape cifar_shape(const fs::path&) {
  return nas::cifar_shape(kWhich);
}

template <Cifar kWhich>
nas::Dataset load_cifar(const fs::path& data, Part part) {
  return nas::load_cifar(kWhich, data, part);
}

DatasetShape mnist_shape(const fs::path&) {
  return nas::kMnistShape;
}

template <Mnist kWhich>
nas::Dataset load_mnist(const fs::path& data, Part part) {
  return nas::load_mnist(kWhich, data, part);
}

// clang-format off
constexpr DataSet kDataSets[] = {
    {"patterns", Origin::kGenerated, true, patterns_shape, load_patterns},
    {"cifar10", Origin::kDownloaded, true, cifar_shape<Cifar::k10>, load_cifar<Cifar::k10>},
    {"cifar100", Origin::kDownloaded, true, cifar_shape<Cifar::k100>, load_cifar<Cifar::k100>},
    {"mnist", Origin::kDownloaded, false, mnist_shape, load_mnist<Mnist::kDigits>},
    {"fashion-mnist", Origin::kDownloaded, true, mnist_shape, load_mnist<Mnist::kFashion>},
    {"folder", Origin::kOwn, true, nas::image_folder_shape, nas::load_image_folder},
    {"arrays", Origin::kOwn, true, nas::arrays_shape, nas::load_arrays},
};
// clang-format on

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
