// safetensors files: round trips, the layout written, and the refusal of every malformed file.
#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace oche;
using namespace oche::test;
using namespace std::string_literals;

namespace {

// A file with this header and n bytes of data, without regard to sense.
std::string file_of(const std::string& header, size_t n) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + header + std::string(n, 'x');
}

std::string refusal(const std::string& contents) {
  return message_of<FormatError>([&] { SafetensorsFile(contents, "some.safetensors"); });
}

// Refused by the format's checks or by the checksum.
bool is_refused(const std::string& contents) {
  try {
    verify_checksum(SafetensorsFile(contents, "flipped"));
  } catch (const FormatError&) {
    return true;
  }
  return false;
}

SafetensorsWriter small_writer() {
  SafetensorsWriter writer;
  writer.add("stem.weight", {2, 3}, std::vector<float>{1, -2, 3, -4, 5, -6});
  writer.add("alphas", {2, 1}, std::vector<double>{0.25, -1e-300});
  writer.add("labels", {3}, std::vector<uint8_t>{7, 0, 255});
  writer.set_metadata("step", "12");
  return writer;
}

template <typename T>
void check_typed_round_trip() {
  const std::vector<T> values = {
      std::numeric_limits<T>::lowest(), T(0), T(1), std::numeric_limits<T>::max()};
  SafetensorsWriter writer;
  writer.add("x", {4}, values);
  CHECK(SafetensorsFile(writer.contents(), "memory").read<T>("x") == values);
}

}  // namespace

TEST_CASE("safetensors: every dtype and shape survives a round trip") {
  const std::vector<std::vector<int64_t>> shapes = {
      {}, {0}, {3}, {2, 0, 5}, {1, 2, 3}, {1, 1, 1, 1, 1, 7}};
  SafetensorsWriter writer;
  for (int dtype = 0; dtype <= static_cast<int>(FileDtype::kU64); ++dtype) {
    for (size_t i = 0; i < shapes.size(); ++i) {
      const auto type = static_cast<FileDtype>(dtype);
      std::vector<std::byte> bytes(static_cast<size_t>(*byte_count(type, shapes[i])));
      for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = std::byte(31 * k + i);
      writer.add(std::string(name_of(type)) + "/" + std::to_string(i), type, shapes[i], bytes);
    }
  }
  const TemporaryDirectory directory;
  const auto path = directory.path() / "all.safetensors";
  writer.write(path);
  const SafetensorsFile file = SafetensorsFile::open(path);
  REQUIRE(file.entries().size() == 13 * shapes.size());
  size_t end = 8 + file.header().size();
  for (const SafetensorsEntry& entry : file.entries()) {
    CAPTURE(entry.name);
    const size_t slash = entry.name.find('/');
    const size_t i = std::stoul(entry.name.substr(slash + 1));
    CHECK(name_of(entry.dtype) == entry.name.substr(0, slash));
    CHECK(entry.shape == shapes[i]);
    CHECK(entry.begin == end);
    CHECK(entry.begin % static_cast<size_t>(size_of(entry.dtype)) == 0);
    end = entry.end;
    const auto bytes = file.bytes(entry);
    CHECK(bytes.size() == static_cast<size_t>(*byte_count(entry.dtype, entry.shape)));
    for (size_t k = 0; k < bytes.size(); ++k) CHECK(bytes[k] == std::byte(31 * k + i));
  }
  CHECK(end == file.contents().size());
}

TEST_CASE("safetensors: typed reads copy exactly one dtype") {
  check_typed_round_trip<uint8_t>();
  check_typed_round_trip<int8_t>();
  check_typed_round_trip<int16_t>();
  check_typed_round_trip<uint16_t>();
  check_typed_round_trip<int32_t>();
  check_typed_round_trip<uint32_t>();
  check_typed_round_trip<int64_t>();
  check_typed_round_trip<uint64_t>();
  check_typed_round_trip<float>();
  check_typed_round_trip<double>();

  const SafetensorsFile file(small_writer().contents(), "some.safetensors");
  CHECK(message_of<FormatError>([&] { file.read<double>("stem.weight"); }) ==
        "some.safetensors: tensor 'stem.weight' has dtype F32; expected F64");
  CHECK(message_of<FormatError>([&] { file.read<float>("stem.bias"); }) ==
        "some.safetensors: tensor 'stem.bias' is missing");
  CHECK(file.find("stem.bias") == nullptr);
  CHECK(file.find("labels")->shape == std::vector<int64_t>{3});
}

TEST_CASE("safetensors: the layout is fixed by the contents, not by the order of the calls") {
  SafetensorsWriter writer;
  writer.set_metadata("step", "12");
  writer.add("labels", {3}, std::vector<uint8_t>{7, 0, 255});
  writer.add("alphas", {2, 1}, std::vector<double>{0.25, -1e-300});
  writer.add("stem.weight", {2, 3}, std::vector<float>{1, -2, 3, -4, 5, -6});
  CHECK(writer.contents() == small_writer().contents());

  const SafetensorsFile file(writer.contents(), "memory");
  CHECK(
      file.header() ==
      R"({"__metadata__":{"step":"12"},"alphas":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]},)"
      R"("stem.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]},)"
      R"("labels":{"dtype":"U8","shape":[3],"data_offsets":[40,43]}}       )");
  CHECK(file.header().size() % 8 == 0);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"step", "12"}});
  CHECK(SafetensorsWriter().contents() == "\x08\0\0\0\0\0\0\0{}      "s);
}

TEST_CASE("safetensors: files of other writers may be unaligned, unordered and spaced") {
  const std::string header =
      " {\"b\\n\" : {\"data_offsets\":[1,9], \"shape\":[2], \"dtype\":\"F32\"},\n"
      "\"a\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[0,1]}, \"__metadata__\":{}}\n";
  std::string contents = file_of(header.substr(1), 1);
  const std::array<float, 2> values = {1.5F, -2.5F};
  contents.append(reinterpret_cast<const char*>(values.data()), sizeof values);
  const SafetensorsFile file(contents, "memory");
  REQUIRE(file.entries().size() == 2);
  CHECK(file.entries()[0].name == "a");
  CHECK(file.entries()[0].shape.empty());
  CHECK(file.read<float>("b\n") == std::vector<float>{1.5F, -2.5F});
}

TEST_CASE("safetensors: a malformed file is refused with its fault named") {
  struct Row {
    std::string header;
    size_t bytes;
    std::string fault;
  };
  const auto a = [](const std::string& fields) { return "{\"a\":{" + fields + "}}"; };
  const auto shaped = [&](const std::string& shape, const std::string& offsets) {
    return a("\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":" + offsets);
  };
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  const std::string max = "9223372036854775807";
  REQUIRE(refusal(file_of(shaped("[1]", "[0,4]"), 4)) == "no error");
  REQUIRE(refusal(file_of(two("[4,8]", "[0,4]"), 8)) == "no error");
  const std::vector<Row> rows = {
      // the header as text
      {"", 0, "byte 8: the header does not start with '{'"},
      {" {}", 0, "byte 8: the header does not start with '{'"},
      {"[]", 0, "byte 8: the header does not start with '{'"},
      {"{}{}", 0, "header: line 1, column 3"},
      {"{}\0"s, 0, "header: line 1, column 3: NUL byte"},
      {"{\"a\":1,\"a\":1}", 0, "duplicate key 'a'"},
      {"{\"a\":" + std::string(70, '['), 0, "nested deeper than 64"},
      {"{\"\xff\":1}", 0, "ill-formed UTF-8"},
      // metadata
      {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object of strings"},
      {"{\"__metadata__\":{\"n\":1}}", 0, "__metadata__: the value of 'n' is not a string"},
      // fields of an entry
      {"{\"a\":1}", 0, "tensor 'a': expected an object of dtype, shape and data_offsets"},
      {a(""), 0, "tensor 'a': expected an object of"},
      {a(R"("dtype":"U8","shape":[0])"), 0, "tensor 'a': expected an object of"},
      {a(R"("dtype":"U8","shape":[0],"data_offsets":[0,0],"more":1)"),
       0,
       "tensor 'a': expected an object of"},
      {a(R"("dtype":1,"shape":[0],"data_offsets":[0,0])"), 0, "tensor 'a': dtype is not a string"},
      {a(R"("dtype":"F33","shape":[0],"data_offsets":[0,0])"),
       0,
       "tensor 'a': unknown dtype 'F33'"},
      {a(R"("dtype":"f32","shape":[0],"data_offsets":[0,0])"),
       0,
       "tensor 'a': unknown dtype 'f32'"},
      {shaped("4", "[0,4]"), 4, "tensor 'a': shape is not an array"},
      {shaped("[-1]", "[0,4]"), 4, "tensor 'a': extent '-1' in shape"},
      {shaped("[1.0]", "[0,4]"), 4, "tensor 'a': extent '1.0' in shape"},
      {shaped("[\"1\"]", "[0,4]"), 4, "tensor 'a': extent '\"1\"' in shape"},
      {shaped("[true]", "[0,4]"), 4, "tensor 'a': extent 'true' in shape"},
      {shaped("[9223372036854775808]", "[0,4]"),
       4,
       "tensor 'a': extent '9223372036854775808' in shape"},
      {shaped("[1]", "4"), 4, "tensor 'a': data_offsets is not a pair"},
      {shaped("[1]", "[4]"), 4, "tensor 'a': data_offsets is not a pair"},
      {shaped("[1]", "[0,4,4]"), 4, "tensor 'a': data_offsets is not a pair"},
      {shaped("[1]", "[-4,0]"), 4, "tensor 'a': data_offsets is not a pair"},
      {shaped("[1]", "[0,4.0]"), 4, "tensor 'a': data_offsets is not a pair"},
      // the shape against the range
      {shaped("[2]", "[0,4]"),
       4,
       "tensor 'a': F32 (2) takes 8 bytes, but data_offsets [0, 4] hold 4"},
      {shaped("[0]", "[0,4]"), 4, "tensor 'a': F32 (0) takes 0 bytes"},
      {shaped("[]", "[0,0]"), 0, "tensor 'a': F32 () takes 4 bytes"},
      {shaped("[4611686018427387905]", "[0,4]"), 4, "overflows"},    // 4 modulo 2^64
      {shaped("[4294967296,4294967296]", "[0,0]"), 0, "overflows"},  // 0 modulo 2^64
      {shaped("[0," + max + "," + max + "]", "[0,0]"), 0, "overflows"},
      // ranges against one another and the file
      {shaped("[1]", "[4,0]"), 4, "tensor 'a': data_offsets [4, 0] are not in order"},
      {shaped("[1]", "[0,4]"), 3, "tensor 'a': data_offsets end at 4, but the file has 3"},
      {shaped("[1]", "[18446744073709551612,18446744073709551615]"),
       4,
       "data_offsets end at 18446744073709551615"},
      {shaped("[1]", "[0,4]"), 5, "1 bytes follow the last tensor"},
      {shaped("[1]", "[4,8]"),
       8,
       "tensor 'a': starts at byte 66 and leaves a hole; expected byte 62"},
      {"{}", 1, "byte 10: 1 bytes follow the last tensor"},
      {two("[0,4]", "[3,7]"),
       7,
       "tensor 'b': starts at byte 116 and overlaps another; expected byte 117"},
      {two("[0,4]", "[0,4]"), 4, "tensor 'b': starts at byte 113 and overlaps another"},
      {two("[0,4]", "[5,9]"), 9, "tensor 'b': starts at byte 118 and leaves a hole"},
  };
  for (const Row& row : rows) {
    const std::string message = refusal(file_of(row.header, row.bytes));
    CAPTURE(row.header, row.bytes, message);
    CHECK(message.starts_with("some.safetensors: "));
    CHECK(contains(message, row.fault));
  }
}

TEST_CASE("safetensors: a shape of thousands of dimensions does not fill the message") {
  std::string shape = "1";
  for (int i = 1; i < 5000; ++i) shape += ",1";
  const std::string entry =
      R"({"a":{"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[0,8]}})";
  const std::string message = refusal(file_of(entry, 8));
  CHECK(contains(message, "1, ... 5000 dimensions) takes 4 bytes"));
  CHECK(message.size() < 300);
}

TEST_CASE("safetensors: a header length that does not fit is refused before it is used") {
  struct Row {
    uint64_t length;
    std::string fault;
  };
  const std::vector<Row> rows = {
      {3, "byte 0: header of 3 bytes, but 2 bytes follow"},
      {100'000'000, "byte 0: header of 100000000 bytes, but 2 bytes follow"},
      {100'000'001, "byte 0: header of 100000001 bytes; the format allows 100000000"},
      {uint64_t{1} << 63, "the format allows"},
      {~uint64_t{0}, "the format allows"}};
  for (const Row& row : rows) {
    std::string contents = file_of("{}", 0);
    std::memcpy(contents.data(), &row.length, sizeof row.length);
    CAPTURE(row.length);
    CHECK(contains(refusal(contents), row.fault));
  }
  CHECK(refusal("1234567") == "some.safetensors: 7 bytes; a safetensors file has at least 8");
}

TEST_CASE("safetensors: every truncation and every changed byte of a checksummed file is refused") {
  const std::string contents = small_writer().contents(Checksum::kSha256);
  REQUIRE_FALSE(is_refused(contents));
  size_t accepted = 0;
  for (size_t size = 0; size < contents.size(); ++size)
    accepted += !is_refused(contents.substr(0, size));
  CHECK(accepted == 0);

  std::string changed = contents;
  for (size_t i = 0; i < contents.size(); ++i) {
    for (int flip = 1; flip < 256; ++flip) {
      changed[i] = static_cast<char>(contents[i] ^ flip);
      accepted += !is_refused(changed);
    }
    changed[i] = contents[i];
  }
  CHECK(accepted == 0);
  CHECK(is_refused(contents + " "));
}

TEST_CASE("safetensors: a checksum that is absent, odd or wrong says so") {
  const auto verdict = [](const std::string& contents) {
    return message_of<FormatError>([&] { verify_checksum(SafetensorsFile(contents, "ckpt")); });
  };
  const std::string zeros(64, '0');
  CHECK(verdict(small_writer().contents()) == "ckpt: the metadata has no sha256");
  CHECK(verdict(file_of(R"({"__metadata__":{"sha256":"00"}})", 0)) ==
        "ckpt: sha256 '00' is not 64 plain digits");
  CHECK(contains(verdict(file_of(R"({"__metadata__":{"sha256": ")" + zeros + "\"}}", 0)),
                 "plain digits"));
  CHECK(contains(verdict(file_of(R"({"__metadata__":{"sha256":")" + zeros + "\"}}", 0)),
                 "but it records '" + zeros + "'; use an intact copy"));

  // A name or a value that looks like the field does not mislead it.
  SafetensorsWriter writer = small_writer();
  writer.set_metadata("a", "\"sha256\":\"" + zeros + "\"");
  writer.add("sha256", {1}, std::vector<uint8_t>{1});
  writer.add("\"sha256\":\"" + zeros + "\"", {1}, std::vector<uint8_t>{1});
  CHECK(verdict(writer.contents(Checksum::kSha256)) == "no error");
}

TEST_CASE("safetensors: the writer refuses what it could not read back") {
  SafetensorsWriter writer = small_writer();
  const auto refused = [&](const std::string& name, std::vector<int64_t> shape) {
    return message_of<std::invalid_argument>(
        [&] { writer.add(name, std::move(shape), std::vector<float>(4)); });
  };
  CHECK(refused("x", {5}) == "SafetensorsWriter: 16 bytes for tensor 'x'; expected F32 (5)");
  CHECK(contains(refused("x", {-4}), "expected F32 (-4)"));
  CHECK(contains(refused("x", {int64_t{1} << 62, 1}), "expected F32"));
  CHECK(contains(refused("labels", {4}), "tensor name 'labels' is taken"));
  CHECK(contains(refused("__metadata__", {4}), "tensor name '__metadata__' is taken"));
  CHECK(contains(message_of<std::invalid_argument>([&] { writer.set_metadata("sha256", "1"); }),
                 "is the checksum's"));
  CHECK(refused("\xff", {4}) == "no error");
  CHECK(contains(message_of<std::invalid_argument>([&] { writer.contents(); }), "expected UTF-8"));
}
