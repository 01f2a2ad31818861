// Reads the CIFAR files, trusting nothing about them.
#include "nas/data/cifar.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "nas/data/data_file.h"
#include "nas/data/public_set.h"

namespace oche::nas {
namespace {

constexpr int64_t kChannels = 3, kPlane = int64_t{32} * 32;

// A byte in front of the planes.
struct LabelByte {
  std::string_view name;
  int64_t count;
};

struct Layout {
  std::vector<LabelByte> labels;  // the last one is the class
  PublicSet files;                // the last one holds the test images
  int64_t train_records, test_records;
  std::vector<double> mean, deviation;  // docs/data.md has the sources

  int64_t record_bytes() const { return std::ssize(labels) + kChannels * kPlane; }
};

const Layout& layout_of(Cifar which) {
  static const Layout k10{
      .labels = {{"label", 10}},
      .files = {.name = "cifar10",
                .folder = "cifar-10-batches-bin",
                .files = {{"data_batch_1.bin", 30'730'000},
                          {"data_batch_2.bin", 30'730'000},
                          {"data_batch_3.bin", 30'730'000},
                          {"data_batch_4.bin", 30'730'000},
                          {"data_batch_5.bin", 30'730'000},
                          {"test_batch.bin", 30'730'000}},
                .archives = {{"cifar-10-binary.tar.gz",
                              "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}}},
      .train_records = 10'000,
      .test_records = 10'000,
      .mean = {0.49139968, 0.48215827, 0.44653124},
      .deviation = {0.24703233, 0.24348505, 0.26158768}};
  static const Layout k100{
      .labels = {{"coarse label", 20}, {"fine label", 100}},
      .files = {.name = "cifar100",
                .folder = "cifar-100-binary",
                .files = {{"train.bin", 153'700'000}, {"test.bin", 30'740'000}},
                .archives = {{"cifar-100-binary.tar.gz",
                              "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}}},
      .train_records = 50'000,
      .test_records = 10'000,
      .mean = {0.50707516, 0.48654887, 0.44091784},
      .deviation = {0.26733429, 0.25643846, 0.27615047}};
  return which == Cifar::k10 ? k10 : k100;
}

std::string describe(const Layout& layout, int64_t records) {
  return fmt::format("{} records of {}", records, layout.record_bytes());
}

}  // namespace

void append_cifar(
    Cifar which, std::string_view bytes, int64_t records, std::string_view source, Dataset& set) {
  const Layout& layout = layout_of(which);
  require_size(
      source, std::ssize(bytes), records * layout.record_bytes(), describe(layout, records));
  size_t out = set.pixels.size();
  set.pixels.resize(out + static_cast<size_t>(records * kChannels * kPlane));
  const auto* byte = reinterpret_cast<const uint8_t*>(bytes.data());
  for (int64_t r = 0; r < records; ++r) {
    int64_t label = 0;
    for (const auto& [name, count] : layout.labels) {
      label = *byte;
      if (label >= count) {
        fail_at_byte(source,
                     fmt::format("{} {}, expected 0 to {},", name, label, count - 1),
                     reinterpret_cast<const char*>(byte) - bytes.data());
      }
      ++byte;
    }
    set.labels.push_back(label);
    for (int64_t p = 0; p < kPlane; ++p) {
      for (int64_t c = 0; c < kChannels; ++c) set.pixels[out++] = byte[c * kPlane + p];
    }
    byte += kChannels * kPlane;
  }
}

Dataset load_cifar(Cifar which, const std::filesystem::path& directory, Part part) {
  const Layout& layout = layout_of(which);
  const DatasetShape shape = cifar_shape(which);
  return read_public_set(layout.files, directory, [&](const std::filesystem::path& folder) {
    Dataset set{.name = layout.files.name,
                .classes = shape.classes,
                .height = shape.height,
                .width = shape.width,
                .channels = shape.channels,
                .mean = layout.mean,
                .deviation = layout.deviation};
    const int64_t records = part == Part::kTest ? layout.test_records : layout.train_records;
    if (part == Part::kTrain) set.pixels.reserve(static_cast<size_t>(shape.bytes()));
    for (const PublicSet::File& file : layout.files.files) {
      const bool is_test = &file == &layout.files.files.back();
      if (is_test != (part == Part::kTest)) continue;
      const std::filesystem::path path = folder / file.name;
      const std::string bytes = read_data_file(path, file.bytes, describe(layout, records));
      append_cifar(which, bytes, records, path.native(), set);
    }
    return set;
  });
}

}  // namespace oche::nas
