// The data sets that the command line offers.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::tools {

enum class Origin { kGenerated, kDownloaded, kOwn };  // kOwn: at the path that --data names

struct DataSet {
  std::string_view name;
  Origin origin;
  bool flip;  // true iff a mirrored image is still one of its class: the default of --flip
  nas::DatasetShape (*shape)(const std::filesystem::path& data);  // touches files of kOwn alone
  nas::Dataset (*load)(const std::filesystem::path& data, nas::Part part);
};

// All functions of a data set throw DataError.
std::span<const DataSet> data_sets();
std::vector<std::string> data_set_names();
const DataSet& find_data_set(std::string_view name);  // one of data_sets()

}  // namespace oche::tools
