// Reads CIFAR-10, trusting nothing about the files.
#include "nas/data/cifar10.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <system_error>

#include "engine/error.h"

namespace oche::nas {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32, kChannels = 3, kClasses = 10;
constexpr int64_t kPlane = kSide * kSide;
constexpr int64_t kRecord = 1 + kChannels * kPlane;
constexpr int64_t kRecordsPerFile = 10'000;
constexpr std::string_view kFolder = "cifar-10-batches-bin";
constexpr std::array<std::string_view, 5> kTrainFiles = {"data_batch_1.bin",
                                                         "data_batch_2.bin",
                                                         "data_batch_3.bin",
                                                         "data_batch_4.bin",
                                                         "data_batch_5.bin"};
constexpr std::string_view kTestFile = "test_batch.bin";
constexpr std::string_view kArchive = "cifar-10-binary.tar.gz";
constexpr std::string_view kArchiveSha256 =
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

Dataset empty_set() {
  return {.name = "cifar10",
          .classes = kClasses,
          .height = kSide,
          .width = kSide,
          .channels = kChannels,
          .mean = {0.49139968, 0.48215827, 0.44653124},
          .deviation = {0.24703233, 0.24348505, 0.26158768}};
}

// The folder with all six files.
fs::path find_folder(const fs::path& directory) {
  std::error_code ignored;
  const bool inside =
      !is_file(directory / kTrainFiles[0]) && fs::is_directory(directory / kFolder, ignored);
  fs::path folder = inside ? directory / kFolder : directory;
  std::string missing;
  for (const std::string_view file : {kTrainFiles[0],
                                      kTrainFiles[1],
                                      kTrainFiles[2],
                                      kTrainFiles[3],
                                      kTrainFiles[4],
                                      kTestFile}) {
    if (!is_file(folder / file)) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", file);
  }
  if (missing.empty()) return folder;
  throw DataError(fmt::format(
      "cifar10: {}: missing {}; expected data_batch_1.bin ... data_batch_5.bin and {} of {} bytes "
      "each, here or in {}/, from {} (SHA-256 {}); fetch them with: scripts/get_data.sh cifar10 {}",
      quote(folder.string(), 400),
      missing,
      kTestFile,
      kRecordsPerFile * kRecord,
      kFolder,
      kArchive,
      kArchiveSha256,
      quote(directory.string(), 400)));
}

[[noreturn]] void fail(const fs::path& file, std::string_view what, int64_t offset) {
  throw DataError(
      fmt::format("cifar10: {}: {} at byte {}; fetch the files again with: "
                  "scripts/get_data.sh cifar10 DIR",
                  quote(file.string(), 400),
                  what,
                  offset));
}

}  // namespace

void append_cifar10_file(const fs::path& file, int64_t records, Dataset& set) {
  const int64_t expected = records * kRecord;
  std::error_code error;
  const auto bytes = static_cast<int64_t>(fs::file_size(file, error));
  std::ifstream in(file, std::ios::binary);
  if (error || !in) fail(file, "cannot be read", 0);
  if (bytes != expected) {
    fail(file,
         fmt::format("{} bytes, expected {} ({} records of {}): {}",
                     bytes,
                     expected,
                     records,
                     kRecord,
                     bytes < expected ? "ends" : "surplus"),
         std::min(bytes, expected));
  }
  std::array<char, kRecord> record;
  size_t out = set.pixels.size();
  set.pixels.resize(out + static_cast<size_t>(records * kChannels * kPlane));
  for (int64_t r = 0; r < records; ++r) {
    if (!in.read(record.data(), kRecord)) fail(file, "read stopped", r * kRecord + in.gcount());
    const int64_t label = static_cast<unsigned char>(record[0]);
    if (label >= kClasses)
      fail(file, fmt::format("label {}, expected 0 to 9,", label), r * kRecord);
    set.labels.push_back(label);
    for (size_t p = 0; p < kPlane; ++p) {
      for (size_t c = 0; c < kChannels; ++c) {
        set.pixels[out++] = static_cast<unsigned char>(record[1 + c * kPlane + p]);
      }
    }
  }
}

TrainTest load_cifar10(const fs::path& directory) {
  const fs::path folder = find_folder(directory);
  TrainTest sets{empty_set(), empty_set()};
  for (const std::string_view file : kTrainFiles) {
    append_cifar10_file(folder / file, kRecordsPerFile, sets.train);
  }
  append_cifar10_file(folder / kTestFile, kRecordsPerFile, sets.test);
  return sets;
}

}  // namespace oche::nas
