// Data sets from the arrays of safetensors files.
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "nas/data/arrays.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

// The contents 0, 1, 2, ...
template <typename T>
std::vector<T> counting(int64_t size) {
  std::vector<T> values;
  for (int64_t i = 0; i < size; ++i) values.push_back(static_cast<T>(i));
  return values;
}

SafetensorsFile file_of(const SafetensorsWriter& writer) {
  return {writer.contents(), "some file"};
}

template <typename T>
void check_layout(const Dataset& set, const std::vector<T>& elements) {
  CHECK(set.size() == 3);
  CHECK(set.classes == 3);
  CHECK(set.channels == 2);
  CHECK(set.height == 4);
  CHECK(set.width == 5);
  CHECK(set.mean.size() == 2);
  REQUIRE(elements.size() == 120);
  for (const auto [n, c, y, x] :
       {std::array{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 3, 4}, {2, 1, 2, 3}}) {
    CAPTURE(n, c, y, x);
    CHECK(elements[((n * 4 + y) * 5 + x) * 2 + c] == static_cast<T>(((n * 2 + c) * 4 + y) * 5 + x));
  }
}

template <typename T>
void check_labels() {
  SafetensorsWriter writer;
  writer.add("x_train", {3, 1, 1}, counting<uint8_t>(3));
  writer.add("y_train", {3}, std::vector<T>{2, 0, 1});
  CHECK(read_arrays(file_of(writer), Part::kTrain).labels == std::vector<int64_t>{2, 0, 1});
}

}  // namespace

TEST_CASE("arrays of bytes and floats become NHWC images") {
  const std::vector<int64_t> shape = {3, 2, 4, 5};
  SafetensorsWriter bytes, floats, doubles;
  bytes.add("x_train", shape, counting<uint8_t>(120));
  floats.add("x_train", shape, counting<float>(120));
  doubles.add("x_train", shape, counting<double>(120));
  for (SafetensorsWriter* writer : {&bytes, &floats, &doubles})
    writer->add("y_train", {3}, std::vector<int64_t>{0, 2, 1});
  const Dataset from_bytes = read_arrays(file_of(bytes), Part::kTrain);
  check_layout(from_bytes, from_bytes.pixels);
  CHECK(from_bytes.mean[0] == Approx(49.5 / 255));
  for (const SafetensorsWriter* writer : {&floats, &doubles}) {
    const Dataset set = read_arrays(file_of(*writer), Part::kTrain);
    check_layout(set, set.values);
    CHECK(set.mean[1] == Approx(69.5));
  }
}

TEST_CASE("labels are of any integer type") {
  check_labels<uint8_t>();
  check_labels<int8_t>();
  check_labels<uint16_t>();
  check_labels<int16_t>();
  check_labels<uint32_t>();
  check_labels<int32_t>();
  check_labels<uint64_t>();
  check_labels<int64_t>();
}

TEST_CASE("the test part has the classes and the normalisation of the training part") {
  SafetensorsWriter writer;
  writer.add("x_train", {3, 1, 2}, counting<uint8_t>(6));
  writer.add("y_train", {3}, std::vector<uint8_t>{2, 0, 1});
  CHECK(contains(message_of<DataError>([&] { read_arrays(file_of(writer), Part::kTest); }),
                 "'some file': no array 'x_test'"));
  writer.add("x_test", {1, 1, 2}, counting<uint8_t>(2));
  writer.add("y_test", {1}, std::vector<uint8_t>{2});
  const Dataset test = read_arrays(file_of(writer), Part::kTest);
  CHECK(test.labels == std::vector<int64_t>{2});
  CHECK(test.classes == 3);
  CHECK(test.mean == read_arrays(file_of(writer), Part::kTrain).mean);

  SafetensorsWriter other;
  other.add("x_train", {3, 1, 2}, counting<uint8_t>(6));
  other.add("y_train", {3}, std::vector<uint8_t>{2, 0, 1});
  other.add("x_test", {1, 2, 1}, counting<uint8_t>(2));
  other.add("y_test", {1}, std::vector<uint8_t>{3});
  CHECK(contains(message_of<DataError>([&] { read_arrays(file_of(other), Part::kTest); }),
                 "y_test[0] is 3, expected 0 to 2, at byte "));
}

TEST_CASE("unfit arrays are refused by name") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto refusal = [](const auto& x, const auto& x_shape, const auto& y, const auto& y_shape) {
    SafetensorsWriter writer;
    writer.add("x_train", x_shape, x);
    writer.add("y_train", y_shape, y);
    return message_of<DataError>([&] { read_arrays(file_of(writer), Part::kTrain); });
  };
  using Shape = std::vector<int64_t>;
  const std::vector<uint8_t> x = counting<uint8_t>(24), y = {0, 1, 1};
  const Shape n{3}, fit{3, 2, 4};
  CHECK(refusal(x, fit, y, n) == "no error");
  CHECK(contains(refusal(x, Shape{3, 8}, y, n), "'some file': array 'x_train' is U8 (3, 8);"));
  CHECK(contains(refusal(x, Shape{3, 1, 8, 1, 1}, y, n), "expected (n, channels, height, width)"));
  CHECK(contains(refusal(x, Shape{1, 8, 1, 3}, y, n), "expected (n, channels, height, width)"));
  CHECK(contains(refusal(counting<uint8_t>(0), Shape{3, 0, 8}, y, n), "and at least one"));
  CHECK(contains(refusal(counting<int32_t>(24), fit, y, n), "is I32 (3, 2, 4); expected U8, F32"));
  CHECK(contains(refusal(x, fit, counting<uint8_t>(2), Shape{2}),
                 "'y_train' is U8 (2); expected (3)"));
  CHECK(contains(refusal(x, fit, y, Shape{3, 1}), "'y_train' is U8 (3, 1); expected (3)"));
  CHECK(
      contains(refusal(x, fit, counting<float>(3), n), "'y_train' is F32 (3); expected integers"));
  CHECK(contains(refusal(x, fit, std::vector<uint8_t>{0, 0, 0}, n), "at least 2 classes"));
  CHECK(contains(refusal(x, fit, std::vector<uint8_t>{0, 1, 3}, n),
                 "'some file': y_train[2] is 3, expected 0 to 2, at byte "));
  CHECK(contains(refusal(x, fit, std::vector<int64_t>{0, -1, 1}, n), "y_train[1] is -1, expected"));
  CHECK(contains(refusal(x, fit, std::vector<uint64_t>{0, ~0ULL, 1}, n), "y_train[1] is -1, exp"));
  std::vector<float> wild = counting<float>(24);
  wild[7] = kNan;
  CHECK(
      contains(refusal(wild, fit, y, n), "x_train holds nan, expected finite 32-bit numbers, at"));
  std::vector<double> wide = counting<double>(24);
  wide[23] = 1e300;
  CHECK(contains(refusal(wide, fit, y, n), "x_train holds 1e+300, expected finite 32-bit numbers"));

  SafetensorsWriter writer;
  writer.add("images", fit, x);
  CHECK(contains(message_of<DataError>([&] { read_arrays(file_of(writer), Part::kTrain); }),
                 "'some file': no array 'x_train'; expected"));
  writer.add("x_train", fit, x);
  CHECK(contains(message_of<DataError>([&] { read_arrays(file_of(writer), Part::kTrain); }),
                 "'some file': no array 'y_train'; expected"));
}

TEST_CASE("the byte that an array is refused for is the byte of the file") {
  SafetensorsWriter writer;
  writer.add("x_train", {2, 1, 1}, counting<uint8_t>(2));
  writer.add("y_train", {2}, std::vector<int16_t>{0, 0x7a7b});
  const std::string contents = writer.contents();
  const auto message = message_of<DataError>([&] { read_arrays(file_of(writer), Part::kTrain); });
  CHECK(message.ends_with("at byte " + std::to_string(contents.find("\x7b\x7a"))));
}

TEST_CASE("a file of arrays that is missing or damaged is a fault of the data") {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory.path() / "arrays";
  const auto refusal = [&] {
    return message_of<DataError>([&] { load_arrays(path, Part::kTrain); });
  };
  CHECK(contains(refusal(), "cannot open '" + path.string()));
  CHECK(contains(refusal(), "expected a safetensors file with x_train and y_train"));
  std::ofstream(path) << "short";
  CHECK(contains(refusal(), path.string()));
  SafetensorsWriter writer;
  writer.add("x_train", {2, 1, 3}, counting<uint8_t>(6));
  writer.add("y_train", {2}, counting<uint8_t>(2));
  writer.write(path);
  const DatasetShape shape = arrays_shape(path);
  CHECK(shape.images == 2);
  CHECK(shape.classes == 2);
  CHECK(shape.width == 3);
  CHECK(shape.channels == 1);
  CHECK(shape.bytes() == 6);
  SafetensorsWriter floats;
  floats.add("x_train", {2, 1, 3}, counting<double>(6));
  floats.add("y_train", {2}, counting<uint8_t>(2));
  floats.write(path);
  CHECK(arrays_shape(path).bytes() == 24);
}
