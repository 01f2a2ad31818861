// Checks arrays and turns them into NHWC images.
#include "nas/data/arrays.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "engine/error.h"
#include "engine/shape.h"
#include "nas/data/data_file.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;

// An image array cannot have its channels last by accident: with more of them than this, a width
// of no more than this is not believed.
constexpr int64_t kColours = 4;

[[noreturn]] void fail(const SafetensorsFile& file,
                       const SafetensorsEntry& entry,
                       std::string_view expected) {
  throw DataError(fmt::format("{}: array {} is {} {}; expected {}",
                              quote(file.source(), 400),
                              quote(entry.name),
                              name_of(entry.dtype),
                              to_string(entry.shape),
                              expected));
}

const SafetensorsEntry& entry_of(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry* entry = file.find(name);
  if (entry) return *entry;
  throw DataError(
      fmt::format("{}: no array '{}'; expected images as x_train or x_test and "
                  "labels as y_train or y_test",
                  quote(file.source(), 400),
                  name));
}

template <typename T>
std::vector<int64_t> as_int64(const SafetensorsFile& file, const std::string& name) {
  const std::vector<T> values = file.read<T>(name);
  return {values.begin(), values.end()};  // a U64 beyond them becomes negative
}

std::vector<int64_t> integers(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  switch (entry.dtype) {
    case FileDtype::kU8:
      return as_int64<uint8_t>(file, entry.name);
    case FileDtype::kI8:
      return as_int64<int8_t>(file, entry.name);
    case FileDtype::kU16:
      return as_int64<uint16_t>(file, entry.name);
    case FileDtype::kI16:
      return as_int64<int16_t>(file, entry.name);
    case FileDtype::kU32:
      return as_int64<uint32_t>(file, entry.name);
    case FileDtype::kI32:
      return as_int64<int32_t>(file, entry.name);
    case FileDtype::kU64:
      return as_int64<uint64_t>(file, entry.name);
    case FileDtype::kI64:
      return as_int64<int64_t>(file, entry.name);
    default:
      fail(file, entry, "integers");
  }
}

// Labels of which each is in [0, classes).
std::vector<int64_t> read_labels(const SafetensorsFile& file,
                                 const SafetensorsEntry& entry,
                                 int64_t classes) {
  std::vector<int64_t> labels = integers(file, entry);
  const auto wrong =
      std::ranges::find_if(labels, [&](int64_t label) { return label < 0 || label >= classes; });
  if (wrong == labels.end()) return labels;
  const auto place = wrong - labels.begin();
  fail_at_byte(
      file.source(),
      fmt::format("{}[{}] is {}, expected 0 to {},", entry.name, place, *wrong, classes - 1),
      static_cast<int64_t>(entry.begin) + place * size_of(entry.dtype));
}

// (n, C, H, W) -> (n, H, W, C).
template <typename To, typename From>
std::vector<To> channels_last(const std::vector<From>& values, const Dataset& set) {
  std::vector<To> out(values.size());
  const auto channels = static_cast<size_t>(set.channels);
  const auto plane = static_cast<size_t>(set.height * set.width), image = plane * channels;
  for (size_t first = 0; first < values.size(); first += image) {
    for (size_t c = 0; c < channels; ++c) {
      for (size_t p = 0; p < plane; ++p) {
        out[first + p * channels + c] = static_cast<To>(values[first + c * plane + p]);
      }
    }
  }
  return out;
}

template <typename T>
void read_floats(const SafetensorsFile& file, const SafetensorsEntry& entry, Dataset& set) {
  const std::vector<T> values = file.read<T>(entry.name);
  const auto wrong = std::ranges::find_if(
      values, [](T value) { return !std::isfinite(static_cast<float>(value)); });
  if (wrong != values.end()) {
    fail_at_byte(file.source(),
                 fmt::format("{} holds {}, expected finite 32-bit numbers,", entry.name, *wrong),
                 static_cast<int64_t>(entry.begin) + (wrong - values.begin()) * sizeof(T));
  }
  set.values = channels_last<float>(values, set);
}

// A set without labels yet.
Dataset read_images(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  const std::vector<int64_t>& shape = entry.shape;
  const size_t rank = shape.size();
  const bool has_images =
      (rank == 3 || rank == 4) && std::ranges::all_of(shape, [](int64_t n) { return n > 0; });
  if (!has_images || (rank == 4 && shape[1] > kColours && shape[3] <= kColours)) {
    fail(file, entry, "(n, channels, height, width), or (n, height, width), and at least one");
  }
  Dataset set{.name = "arrays",
              .height = shape[rank - 2],
              .width = shape[rank - 1],
              .channels = rank == 4 ? shape[1] : 1};
  if (entry.dtype == FileDtype::kU8) {
    set.pixels = channels_last<uint8_t>(file.read<uint8_t>(entry.name), set);
  } else if (entry.dtype == FileDtype::kF32) {
    read_floats<float>(file, entry, set);
  } else if (entry.dtype == FileDtype::kF64) {
    read_floats<double>(file, entry, set);
  } else {
    fail(file, entry, "U8, F32 or F64");
  }
  return set;
}

// Where the number of classes is not known, there are at most as many as images.
Dataset read_part(const SafetensorsFile& file,
                  const std::string& part,
                  std::optional<int64_t> classes) {
  const SafetensorsEntry& x = entry_of(file, "x_" + part);
  const SafetensorsEntry& y = entry_of(file, "y_" + part);
  Dataset set = read_images(file, x);
  const int64_t images = x.shape[0];
  if (y.shape != std::vector{images}) {
    fail(file, y, fmt::format("({}), one label an image", images));
  }
  set.labels = read_labels(file, y, classes.value_or(images));
  set.classes = classes.value_or(*std::ranges::max_element(set.labels) + 1);
  return set;
}

}  // namespace

Dataset read_arrays(const SafetensorsFile& file, Part part) {
  Dataset train = read_part(file, "train", std::nullopt);
  if (train.classes < 2) fail(file, file.at("y_train"), "labels of at least 2 classes");
  measure_channels(train);
  if (part == Part::kTrain) return train;

  Dataset test = read_part(file, "test", train.classes);
  const auto size = [](const Dataset& s) { return std::vector{s.channels, s.height, s.width}; };
  if (size(test) != size(train) || test.values.empty() != train.values.empty()) {
    fail(file, file.at("x_test"), "images of the size and kind of x_train");
  }
  test.mean = train.mean;
  test.deviation = train.deviation;
  return test;
}

Dataset load_arrays(const fs::path& path, Part part) {
  const auto unfit = [](const std::exception& e) {
    return DataError(
        fmt::format("{}; expected a safetensors file with x_train and y_train", e.what()));
  };
  try {
    return read_arrays(SafetensorsFile::open(path), part);
  } catch (const FormatError& e) {
    throw unfit(e);
  } catch (const IoError& e) {
    throw unfit(e);
  }
}

DatasetShape arrays_shape(const fs::path& path) {
  const Dataset set = load_arrays(path, Part::kTrain);
  return {.images = set.size(),
          .height = set.height,
          .width = set.width,
          .channels = set.channels,
          .classes = set.classes,
          .element_bytes = set.values.empty() ? 1 : int64_t{sizeof(float)}};
}

}  // namespace oche::nas
