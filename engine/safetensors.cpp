// Reading and writing safetensors: u64 header length, JSON header, then the tensors' bytes.
#include "engine/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "engine/error.h"
#include "engine/file.h"
#include "engine/json.h"
#include "engine/sha256.h"
#include "engine/shape.h"

namespace oche {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "elements are copied as they lie in files");

constexpr size_t kLengthBytes = 8;               // of the header length before the header
constexpr size_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::string_view kChecksumKey = "sha256";
constexpr std::string_view kZeroDigits =
    "0000000000000000000000000000000000000000000000000000000000000000";

[[noreturn]] void fail(const std::string& source, std::string_view what) {
  throw FormatError(fmt::format("{}: {}", source, what));
}

// Where text has digits as the value of the checksum's key, or npos. Inside a JSON string each
// quote follows a backslash, so only a key matches, and only the metadata has a key "sha256" of a
// string.
size_t find_checksum(std::string_view text, std::string_view digits) {
  const std::string key = fmt::format("\"{}\":\"", kChecksumKey);
  const size_t found = text.find(fmt::format("{}{}\"", key, digits));
  return found == std::string_view::npos ? found : found + key.size();
}

// The offset of the first byte of data, from a header length that fits the format and the file.
size_t checked_data_begin(const std::string& contents, const std::string& source) {
  if (contents.size() < kLengthBytes) {
    fail(
        source,
        fmt::format("{} bytes; a safetensors file has at least {}", contents.size(), kLengthBytes));
  }
  const size_t rest = contents.size() - kLengthBytes;
  uint64_t length = 0;
  std::memcpy(&length, contents.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    fail(source,
         fmt::format("byte 0: header of {} bytes; the format allows {}", length, kMaxHeaderBytes));
  }
  if (length > rest) {
    fail(source, fmt::format("byte 0: header of {} bytes, but {} bytes follow", length, rest));
  }
  if (length == 0 || contents[kLengthBytes] != '{') {
    fail(source, "byte 8: the header does not start with '{'");
  }
  return kLengthBytes + length;
}

std::map<std::string, std::string> parse_metadata(const json& value, const std::string& source) {
  if (!value.is_object()) fail(source, fmt::format("{} is not an object of strings", kMetadataKey));
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      fail(source, fmt::format("{}: the value of {} is not a string", kMetadataKey, quote(key)));
    }
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

// The entry of one tensor out of a header; every number is checked before it is used.
class EntryParser {
 public:
  EntryParser(const std::string& source,
              const std::string& name,
              size_t data_begin,
              size_t data_end)
      : source_(source), name_(name), data_begin_(data_begin), data_bytes_(data_end - data_begin) {}

  SafetensorsEntry parse(const json& value) const {
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets")) {
      fail("expected an object of dtype, shape and data_offsets");
    }
    SafetensorsEntry entry{.name = name_,
                           .dtype = parse_dtype(value["dtype"]),
                           .shape = parse_shape(value["shape"]),
                           .begin = 0,
                           .end = 0};
    const auto [begin, end] = parse_range(value["data_offsets"]);
    const std::optional<int64_t> bytes = byte_count(entry.dtype, entry.shape);
    if (!bytes) fail(fmt::format("shape {} overflows", to_string(entry.shape)));
    if (static_cast<uint64_t>(*bytes) != end - begin) {
      fail(fmt::format("{} {} takes {} bytes, but data_offsets [{}, {}] hold {}",
                       name_of(entry.dtype),
                       to_string(entry.shape),
                       *bytes,
                       begin,
                       end,
                       end - begin));
    }
    entry.begin = data_begin_ + begin;
    entry.end = data_begin_ + end;
    return entry;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    oche::fail(source_, fmt::format("tensor {}: {}", quote(name_), what));
  }

  FileDtype parse_dtype(const json& value) const {
    if (!value.is_string()) fail("dtype is not a string");
    const auto& name = value.get_ref<const std::string&>();
    const std::optional<FileDtype> dtype = parse_file_dtype(name);
    if (!dtype) fail(fmt::format("unknown dtype {}", quote(name)));
    return *dtype;
  }

  std::vector<int64_t> parse_shape(const json& value) const {
    if (!value.is_array()) fail("shape is not an array");
    std::vector<int64_t> shape;
    for (const json& extent : value) {
      if (!extent.is_number_unsigned() || !std::in_range<int64_t>(extent.get<uint64_t>())) {
        fail(fmt::format("extent {} in shape is not an integer in 0 to 2^63 - 1",
                         quote(extent.dump())));
      }
      shape.push_back(extent.get<int64_t>());
    }
    return shape;
  }

  // Offsets from the end of the header, ordered and within the file.
  std::pair<uint64_t, uint64_t> parse_range(const json& value) const {
    if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
        !value[1].is_number_unsigned()) {
      fail("data_offsets is not a pair of non-negative integers");
    }
    const auto begin = value[0].get<uint64_t>();
    const auto end = value[1].get<uint64_t>();
    if (begin > end) fail(fmt::format("data_offsets [{}, {}] are not in order", begin, end));
    if (end > data_bytes_) {
      fail(fmt::format(
          "data_offsets end at {}, but the file has {} bytes of data", end, data_bytes_));
    }
    return {begin, end};
  }

  const std::string& source_;
  const std::string& name_;
  size_t data_begin_;
  size_t data_bytes_;
};

// Every byte from begin to end belongs to exactly one entry; entries come in file order.
void check_coverage(const std::vector<SafetensorsEntry>& entries,
                    size_t begin,
                    size_t end,
                    const std::string& source) {
  size_t covered = begin;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != covered) {
      fail(source,
           fmt::format("tensor {}: starts at byte {} and {}; expected byte {}",
                       quote(entry.name),
                       entry.begin,
                       entry.begin < covered ? "overlaps another" : "leaves a hole",
                       covered));
    }
    covered = entry.end;
  }
  if (covered != end) {
    fail(source,
         fmt::format("byte {}: {} bytes follow the last tensor; expected the end of the file",
                     covered,
                     end - covered));
  }
}

// JSON text of value, whose strings must be UTF-8.
std::string json_text(const json& value) {
  try {
    return value.dump();
  } catch (const json::type_error& error) {
    throw std::invalid_argument(
        fmt::format("SafetensorsWriter: {}; expected UTF-8 names and metadata", error.what()));
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  return SafetensorsFile(read_file(path), path.native());
}

SafetensorsFile::SafetensorsFile(std::string contents, std::string source)
    : contents_(std::move(contents)),
      source_(std::move(source)),
      data_begin_(checked_data_begin(contents_, source_)) {
  const json header = parse_json(this->header(), source_ + ": header", kMaxHeaderBytes);
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataKey) {
      metadata_ = parse_metadata(value, source_);
    } else {
      entries_.push_back(EntryParser(source_, name, data_begin_, contents_.size()).parse(value));
    }
  }
  const auto place = [](const SafetensorsEntry& e) { return std::tie(e.begin, e.end, e.name); };
  std::sort(entries_.begin(), entries_.end(), [&](const auto& a, const auto& b) {
    return place(a) < place(b);
  });
  check_coverage(entries_, data_begin_, contents_.size(), source_);
  for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].name, i);
}

std::string_view SafetensorsFile::header() const {
  return std::string_view(contents_).substr(kLengthBytes, data_begin_ - kLengthBytes);
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

const SafetensorsEntry& SafetensorsFile::at(std::string_view name) const {
  const SafetensorsEntry* entry = find(name);
  if (entry == nullptr) {
    fail(source_, fmt::format("tensor {} is missing", quote(name)));
  }
  return *entry;
}

const SafetensorsEntry& SafetensorsFile::at(std::string_view name, FileDtype expected) const {
  const SafetensorsEntry& entry = at(name);
  if (entry.dtype != expected) {
    fail(source_,
         fmt::format("tensor {} has dtype {}; expected {}",
                     quote(name),
                     name_of(entry.dtype),
                     name_of(expected)));
  }
  return entry;
}

std::span<const std::byte> SafetensorsFile::bytes(const SafetensorsEntry& entry) const {
  return contents().subspan(entry.begin, entry.end - entry.begin);
}

void verify_checksum(const SafetensorsFile& file) {
  const auto recorded = file.metadata().find(std::string(kChecksumKey));
  if (recorded == file.metadata().end()) fail(file.source(), "the metadata has no sha256");
  const std::string& digits = recorded->second;
  const size_t place = find_checksum(file.header(), digits);
  if (digits.size() != kZeroDigits.size() || place == std::string_view::npos) {
    fail(file.source(),
         fmt::format("sha256 {} is not {} plain digits", quote(digits), kZeroDigits.size()));
  }
  const size_t begin = kLengthBytes + place;
  Sha256 hash;
  hash.update(file.contents().first(begin));
  hash.update(std::as_bytes(std::span(kZeroDigits)));
  hash.update(file.contents().subspan(begin + digits.size()));
  if (const std::string actual = hash.finish_hex(); actual != digits) {
    fail(file.source(),
         fmt::format(
             "its SHA-256 is {}, but it records {}; use an intact copy", actual, quote(digits)));
  }
}

void SafetensorsWriter::add(const std::string& name,
                            FileDtype dtype,
                            std::vector<int64_t> shape,
                            std::span<const std::byte> bytes) {
  const std::optional<int64_t> expected = byte_count(dtype, shape);
  if (!expected || static_cast<uint64_t>(*expected) != bytes.size()) {
    throw std::invalid_argument(
        fmt::format("SafetensorsWriter: {} bytes for tensor {}; expected {} ({})",
                    bytes.size(),
                    quote(name),
                    name_of(dtype),
                    fmt::join(shape, ", ")));
  }
  Tensor tensor{dtype, std::move(shape), {bytes.begin(), bytes.end()}};
  if (name == kMetadataKey || !tensors_.emplace(name, std::move(tensor)).second) {
    throw std::invalid_argument(
        fmt::format("SafetensorsWriter: tensor name {} is taken; expected a new one", quote(name)));
  }
}

void SafetensorsWriter::set_metadata(const std::string& key, std::string value) {
  if (key == kChecksumKey) {
    throw std::invalid_argument(fmt::format(
        "SafetensorsWriter: metadata {} is the checksum's; expected another key", quote(key)));
  }
  metadata_[key] = std::move(value);
}

std::string SafetensorsWriter::contents(Checksum checksum) const {
  std::vector<const Named*> order;
  for (const Named& tensor : tensors_) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return size_of(a->second.dtype) > size_of(b->second.dtype);
  });

  const std::string header = header_text(order, checksum);
  const uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), kLengthBytes);
  out += header;
  for (const Named* tensor : order) {
    const std::vector<std::byte>& bytes = tensor->second.bytes;
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  if (checksum == Checksum::kSha256) {
    const std::string digits = sha256_hex(std::as_bytes(std::span(out)));
    out.replace(find_checksum(out, kZeroDigits), digits.size(), digits);
  }
  return out;
}

void SafetensorsWriter::write(const std::filesystem::path& path, Checksum checksum) const {
  write_file_atomically(path, contents(checksum));
}

// The metadata and one field a tensor, then spaces: the data starts at a multiple of 8.
std::string SafetensorsWriter::header_text(const std::vector<const Named*>& order,
                                           Checksum checksum) const {
  std::map<std::string, std::string> metadata = metadata_;
  if (checksum == Checksum::kSha256) metadata[std::string(kChecksumKey)] = kZeroDigits;

  std::vector<std::string> fields;
  if (!metadata.empty()) {
    fields.push_back(fmt::format("\"{}\":{}", kMetadataKey, json_text(metadata)));
  }
  size_t end = 0;
  for (const Named* named : order) {
    const auto& [name, tensor] = *named;
    const size_t begin = std::exchange(end, end + tensor.bytes.size());
    fields.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                 json_text(name),
                                 name_of(tensor.dtype),
                                 fmt::join(tensor.shape, ","),
                                 begin,
                                 end));
  }
  std::string text = fmt::format("{{{}}}", fmt::join(fields, ","));
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace oche
