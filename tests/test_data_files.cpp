// The files of published data sets: CIFAR records, idx arrays, what is said of missing and
// malformed ones.
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "nas/data/cifar.h"
#include "nas/data/data_file.h"
#include "nas/data/idx.h"
#include "nas/data/mnist.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;
namespace fs = std::filesystem;

namespace {

int64_t record_bytes(Cifar which) {
  return which == Cifar::k10 ? 3073 : 3074;
}

// Byte p of plane c of record r is (r + 3 p + 50 c) mod 256; the class is r mod 10, the coarse
// label r mod 20.
std::string records(Cifar which, int64_t count) {
  std::string bytes;
  for (int64_t r = 0; r < count; ++r) {
    if (which == Cifar::k100) bytes += static_cast<char>(r % 20);
    bytes += static_cast<char>(r % 10);
    for (int c = 0; c < 3; ++c) {
      for (int p = 0; p < 1024; ++p)
        bytes += static_cast<char>((r + int64_t{3} * p + int64_t{50} * c) % 256);
    }
  }
  return bytes;
}

std::string word(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
  return bytes;
}

std::string idx(const std::vector<uint32_t>& shape, const std::string& values) {
  std::string bytes = word(0x800 + static_cast<uint32_t>(shape.size()));
  for (const uint32_t extent : shape) bytes += word(extent);
  return bytes + values;
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// A file of `bytes` whose contents are `head` and zeros; it takes no room on the disk.
void write_sparse(const fs::path& path, int64_t bytes, const std::string& head = "") {
  write(path, head);
  fs::resize_file(path, static_cast<uintmax_t>(bytes));
}

Dataset idx_set(int64_t height, int64_t width) {
  return {.name = "idx", .classes = 10, .height = height, .width = width, .channels = 1};
}

}  // namespace

TEST_CASE("CIFAR records become NHWC images") {
  for (const Cifar which : {Cifar::k10, Cifar::k100}) {
    CAPTURE(record_bytes(which));
    Dataset set;
    append_cifar(which, records(which, 12), 12, "memory", set);
    append_cifar(which, records(which, 12), 12, "memory", set);
    REQUIRE(set.labels.size() == 24);
    REQUIRE(set.pixels.size() == size_t{24} * 3072);
    CHECK(set.labels[11] == 1);
    CHECK(set.labels[23] == 1);
    for (const auto& [r, p, c] :
         {std::array{0, 0, 0}, {0, 1, 0}, {0, 0, 2}, {7, 1023, 1}, {11, 500, 2}}) {
      CAPTURE(r, p, c);
      CHECK(set.pixels[static_cast<size_t>(12 + r) * 3072 + static_cast<size_t>(p * 3 + c)] ==
            (r + 3 * p + 50 * c) % 256);
    }
  }
}

TEST_CASE("malformed CIFAR records are refused with the byte's offset") {
  struct Row {
    Cifar which;
    int64_t bytes;
    int64_t bad_at;  // the byte that becomes `bad`, or -1
    int bad;
    std::string fault, offset;
  };
  constexpr int64_t k10 = 4 * 3073, k100 = 4 * 3074;
  const std::vector<Row> rows = {
      {Cifar::k10, 0, -1, 0, "0 bytes, expected 12292", "at byte 0"},
      {Cifar::k10, k10 - 1, -1, 0, "12291 bytes, expected 12292", "at byte 12291"},
      {Cifar::k10, k10 - 3073, -1, 0, "9219 bytes, expected 12292", "at byte 9219"},
      {Cifar::k10, k10 + 1, -1, 0, "12293 bytes, expected 12292", "at byte 12292"},
      {Cifar::k10, k10, 0, 10, "label 10, expected 0 to 9", "at byte 0"},
      {Cifar::k10, k10, 3 * 3073, 255, "label 255, expected 0 to 9", "at byte 9219"},
      {Cifar::k100,
       k10,
       -1,
       0,
       "12292 bytes, expected 12296 (4 records of 3074): ends",
       "at byte 12292"},
      {Cifar::k100,
       k100 + 7,
       -1,
       0,
       "12303 bytes, expected 12296 (4 records of 3074): surplus",
       "at byte 12296"},
      {Cifar::k100, k100, 0, 20, "coarse label 20, expected 0 to 19", "at byte 0"},
      {Cifar::k100, k100, 3074, 20, "coarse label 20, expected 0 to 19", "at byte 3074"},
      {Cifar::k100, k100, 3 * 3074 + 1, 100, "fine label 100, expected 0 to 99", "at byte 9223"}};
  for (const Row& row : rows) {
    std::string bytes = records(row.which, 5).substr(0, static_cast<size_t>(row.bytes));
    if (row.bad_at >= 0) bytes[static_cast<size_t>(row.bad_at)] = static_cast<char>(row.bad);
    Dataset set;
    const auto message =
        message_of<DataError>([&] { append_cifar(row.which, bytes, 4, "some file", set); });
    CAPTURE(message);
    CHECK(contains(message, "'some file': " + row.fault));
    CHECK(message.ends_with(row.offset));
  }
}

TEST_CASE("a missing data set says what was expected where") {
  struct Row {
    std::string name, folder;
    std::function<Dataset(const fs::path&)> load;
    std::vector<std::pair<std::string, std::string>> files;  // and their sizes
    std::string advice;
  };
  const std::vector<std::pair<std::string, std::string>> idx_files = {
      {"train-images-idx3-ubyte", " (47040016 bytes)"},
      {"train-labels-idx1-ubyte", " (60008 bytes)"},
      {"t10k-images-idx3-ubyte", " (7840016 bytes)"},
      {"t10k-labels-idx1-ubyte", " (10008 bytes)"}};
  const std::vector<Row> rows = {
      {"cifar10",
       "cifar-10-batches-bin",
       [](const fs::path& directory) { return load_cifar(Cifar::k10, directory, Part::kTrain); },
       {{"data_batch_1.bin", " (30730000 bytes)"},
        {"data_batch_2.bin", " (30730000 bytes)"},
        {"data_batch_3.bin", " (30730000 bytes)"},
        {"data_batch_4.bin", " (30730000 bytes)"},
        {"data_batch_5.bin", " (30730000 bytes)"},
        {"test_batch.bin", " (30730000 bytes)"}},
       "here or in cifar-10-batches-bin/, from cifar-10-binary.tar.gz (SHA-256 "
       "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd);"},
      {"cifar100",
       "cifar-100-binary",
       [](const fs::path& directory) { return load_cifar(Cifar::k100, directory, Part::kTest); },
       {{"train.bin", " (153700000 bytes)"}, {"test.bin", " (30740000 bytes)"}},
       "here or in cifar-100-binary/, from cifar-100-binary.tar.gz (SHA-256 58a81ae1"},
      {"mnist",
       "",
       [](const fs::path& directory) {
         return load_mnist(Mnist::kDigits, directory, Part::kTrain);
       },
       idx_files,
       "here, from train-images-idx3-ubyte.gz (SHA-256 440f"},
      {"fashion-mnist",
       "",
       [](const fs::path& directory) {
         return load_mnist(Mnist::kFashion, directory, Part::kTest);
       },
       idx_files,
       "here, from train-images-idx3-ubyte.gz (SHA-256 3aed"}};
  for (const Row& row : rows) {
    const TemporaryDirectory directory;
    CAPTURE(row.name);
    const auto message = [&] { return message_of<DataError>([&] { row.load(directory.path()); }); };
    const auto& [last, last_size] = row.files.back();
    std::string all;
    for (const auto& [file, size] : row.files) all += (all.empty() ? "" : ", ") + file + size;
    const std::string expected = row.name + ": '" + (directory.path() / row.name).string() +
                                 "': missing " + all + "; expected " + row.advice;
    CHECK(message().substr(0, expected.size()) == expected);
    CHECK(contains(message(), "; fetch with: scripts/get_data.sh " + row.name + " '"));
    CHECK_FALSE(contains(message(), "\n"));

    // Wherever most of the files are, only what is missing there is named, and they are held to
    // their sizes once they are all there.
    for (const fs::path& place : {directory.path() / row.name / row.folder,
                                  directory.path() / row.folder,
                                  directory.path()}) {
      CAPTURE(place);
      fs::create_directories(place);
      for (size_t i = 0; i + 1 < row.files.size(); ++i) write(place / row.files[i].first, "abc");
      CHECK(contains(message(), "': missing " + last + last_size + ";"));
      write(place / last, "abc");
      CHECK(contains(message(), (place / "").string()));
      CHECK(contains(message(), "': 3 bytes, expected "));
      CHECK(contains(
          message(),
          "at byte 3; fetch the files again with: scripts/get_data.sh " + row.name + " DIR"));
      for (const auto& [file, size] : row.files) fs::remove(place / file);
    }
  }
}

TEST_CASE("a data file is held to its size before it is read, and read to its end") {
  const TemporaryDirectory directory;
  const fs::path file = directory.path() / "file";
  write(file, "abcd");
  CHECK(read_data_file(file, 4, "four letters") == "abcd");
  CHECK(read_data_file(file, 4) == "abcd");
  CHECK(contains(message_of<DataError>([&] { read_data_file(file, 3); }), "more than the 3 bytes"));
  write_sparse(file, int64_t{1} << 40);
  CHECK(contains(message_of<DataError>([&] { read_data_file(file, 4, "four letters"); }),
                 "': 1099511627776 bytes, expected 4 (four letters): surplus at byte 4"));
  CHECK(contains(
      message_of<DataError>([&] { read_data_file(directory.path() / "none", 4, "letters"); }),
      "cannot open"));
  CHECK_THROWS_AS(read_data_file(directory.path(), 4, "letters"), DataError);
}

TEST_CASE("idx arrays are parsed") {
  const std::string bytes = idx({2, 1, 3}, "abcdef");
  const IdxArray array = parse_idx(bytes, 3, "memory");
  CHECK(array.shape == std::vector<int64_t>{2, 1, 3});
  CHECK(array.values == "abcdef");
  CHECK(parse_idx(idx({0}, ""), 1, "memory").values.empty());

  Dataset set = idx_set(1, 3);
  const std::string labels = idx({2}, std::string("\x09\x00", 2));
  for (int i = 0; i < 2; ++i) append_idx({bytes, "images"}, {labels, "labels"}, set);
  CHECK(set.labels == std::vector<int64_t>{9, 0, 9, 0});
  CHECK(set.pixels.size() == 12);
  CHECK(set.pixels[7] == 'b');
}

TEST_CASE("malformed idx files are refused with the byte's offset") {
  struct Row {
    std::string bytes, fault, offset;
  };
  const std::string good = idx({2, 1, 3}, "abcdef");
  const std::vector<Row> rows = {
      {"", "0 bytes, expected a header of 16: ends", "at byte 0"},
      {good.substr(0, 15), "15 bytes, expected a header of 16: ends", "at byte 15"},
      {idx({6, 1}, "abcdefghij"), "magic number 2050, expected 2051", "at byte 0"},
      {word(0x903) + good.substr(4), "magic number 2307, expected 2051", "at byte 0"},
      {good.substr(0, 21), "21 bytes, expected 22 (2x1x3 and a header of 16): ends", "at byte 21"},
      {good + "g", "23 bytes, expected 22 (2x1x3 and a header of 16): surplus", "at byte 22"},
      {idx({~0U, 1, 3}, "abcdef"), "(4294967295x1x3 and a header of 16): ends", "at byte 22"},
      {idx({~0U, ~0U, ~0U}, "abcdef"), "extent 4294967295 overflows", "at byte 8"},
      {idx({1, 1U << 31, ~0U}, "abcdef"), "expected 9223372034707292176", "at byte 22"}};
  for (const Row& row : rows) {
    const auto message = message_of<DataError>([&] { parse_idx(row.bytes, 3, "some file"); });
    CAPTURE(message);
    CHECK(contains(message, "'some file': "));
    CHECK(contains(message, row.fault));
    CHECK(message.ends_with(row.offset));
  }

  struct Pair {
    std::string images, labels, fault;
  };
  const std::string labels = idx({2}, std::string("\x09\x00", 2));
  const std::vector<Pair> pairs = {
      {idx({2, 3, 1}, "abcdef"), labels, "'images': images of 3x1, expected 1x3, at byte 8"},
      {good, idx({1}, "\x09"), "'labels': 1 labels, expected 2, one an image, at byte 4"},
      {good, idx({2}, "\x01\x0a"), "'labels': label 10, expected 0 to 9, at byte 9"},
      {good, idx({2}, "\xff\x01"), "'labels': label 255, expected 0 to 9, at byte 8"},
      {good, good, "'labels': magic number 2051, expected 2049 (unsigned bytes, 1 dimensions), at"},
      {labels, labels, "'images': 10 bytes, expected a header of 16: ends at byte 10"}};
  for (const Pair& pair : pairs) {
    Dataset set = idx_set(1, 3);
    const auto message = message_of<DataError>([&] {
      append_idx({pair.images, "images"}, {pair.labels, "labels"}, set);
    });
    CHECK(contains(message, pair.fault));
    CHECK(set.pixels.empty());
    CHECK(set.labels.empty());
  }
}

TEST_CASE("files of the official sizes are read") {
  const TemporaryDirectory directory;
  const fs::path fashion = directory.path() / "fashion-mnist";
  fs::create_directory(fashion);
  write_sparse(fashion / "train-images-idx3-ubyte", 47'040'016, idx({60'000, 28, 28}, ""));
  write_sparse(fashion / "train-labels-idx1-ubyte", 60'008, idx({60'000}, "\x03"));
  write_sparse(fashion / "t10k-images-idx3-ubyte", 7'840'016, idx({10'000, 28, 28}, "\x07"));
  write_sparse(fashion / "t10k-labels-idx1-ubyte", 10'008, idx({10'000}, "\x04"));
  const Dataset test = load_mnist(Mnist::kFashion, directory.path(), Part::kTest);
  CHECK(test.name == "fashion-mnist");
  CHECK(test.size() == 10'000);
  CHECK(test.image_size() == 784);
  CHECK(test.labels[0] == 4);
  CHECK(test.pixels[0] == 7);
  CHECK(test.mean == std::vector{0.28604060});
  const Dataset train = load_mnist(Mnist::kDigits, fashion, Part::kTrain);
  CHECK(train.size() == kMnistShape.images);
  CHECK(train.labels[0] == 3);
  CHECK(train.mean == std::vector{0.13066048});
  write_sparse(fashion / "t10k-images-idx3-ubyte", 7'840'016, idx({10'000, 14, 56}, ""));
  CHECK(contains(message_of<DataError>([&] { load_mnist(Mnist::kFashion, fashion, Part::kTest); }),
                 "t10k-images-idx3-ubyte': images of 14x56, expected 28x28, at byte 8; fetch"));

  const fs::path cifar = directory.path() / "cifar100" / "cifar-100-binary";
  fs::create_directories(cifar);
  write_sparse(cifar / "train.bin", 153'700'000);
  write_sparse(cifar / "test.bin", 30'740'000, "\x13\x63\x01");
  const Dataset hundred = load_cifar(Cifar::k100, directory.path(), Part::kTest);
  CHECK(hundred.name == "cifar100");
  CHECK(hundred.classes == 100);
  CHECK(hundred.size() == 10'000);
  CHECK(hundred.labels[0] == 99);
  CHECK(hundred.pixels[0] == 1);
  CHECK(hundred.mean.size() == 3);
  write_sparse(cifar / "test.bin", 30'740'000, "\x14\x63\x01");
  CHECK(contains(
      message_of<DataError>([&] { load_cifar(Cifar::k100, directory.path(), Part::kTest); }),
      "cifar-100-binary/test.bin': coarse label 20, expected 0 to 19, at byte 0; fetch"));
}
