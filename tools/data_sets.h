// The data sets that the command line offers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::tools {

// What is known of one without reading it.
struct DataSet {
  std::string_view name;
  int64_t train_images, side, channels, classes;
  bool downloaded;  // false: generated, needs no files
  // Its training images. Throws DataError.
  nas::Dataset (*load_train)(const std::filesystem::path& directory);
};

std::span<const DataSet> data_sets();
std::vector<std::string> data_set_names();
const DataSet& find_data_set(std::string_view name);  // one of data_sets()

}  // namespace oche::tools
