// safetensors files (https://github.com/huggingface/safetensors): named arrays in one file, and the
// checksum over all of it that checkpoints carry. Plain bytes: nothing here knows Tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/file_dtype.h"

namespace oche {

struct SafetensorsEntry {
  std::string name;
  FileDtype dtype;
  std::vector<int64_t> shape;
  size_t begin;  // its bytes are [begin, end) of the file, row-major and little-endian;
  size_t end;    // in files of other writers begin may be unaligned
};

// A file in memory whose header has been checked in full against its length.
class SafetensorsFile {
 public:
  // Throws IoError, or FormatError naming the path and the tensor or byte offset.
  static SafetensorsFile open(const std::filesystem::path& path);
  // The same for contents in memory; source names them in errors.
  SafetensorsFile(std::string contents, std::string source);

  const std::string& source() const { return source_; }
  std::string_view header() const;  // JSON text, with its padding
  std::span<const std::byte> contents() const { return std::as_bytes(std::span(contents_)); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // in file order

  const SafetensorsEntry* find(std::string_view name) const;  // nullptr when there is none
  const SafetensorsEntry& at(std::string_view name) const;    // FormatError when there is none
  std::span<const std::byte> bytes(const SafetensorsEntry& entry) const;

  // A copy of the elements of a tensor, which must be there and have exactly the dtype of T.
  template <typename T>
  std::vector<T> read(std::string_view name) const {
    const SafetensorsEntry& entry = at(name, file_dtype_of<T>());
    std::vector<T> values((entry.end - entry.begin) / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes(entry).data(), entry.end - entry.begin);
    return values;
  }

 private:
  const SafetensorsEntry& at(std::string_view name, FileDtype expected) const;

  std::string contents_;
  std::string source_;
  size_t data_begin_;  // the header ends here
  std::map<std::string, std::string> metadata_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, size_t, std::less<>> index_;  // from name to place in entries_
};

// Throws FormatError unless metadata "sha256" is the SHA-256 of the file with these 64 digits
// replaced by '0'. The header has to spell the field as SafetensorsWriter does, without spaces.
void verify_checksum(const SafetensorsFile& file);

enum class Checksum { kNone, kSha256 };

// Collects tensors, copying them. The file has the widest dtype first and names in order within a
// dtype, so each tensor is aligned, and the order of the calls does not change a byte.
class SafetensorsWriter {
 public:
  // Throws std::invalid_argument for a name used before and for bytes that do not fill the shape.
  void add(const std::string& name,
           FileDtype dtype,
           std::vector<int64_t> shape,
           std::span<const std::byte> bytes);
  template <typename T>
  void add(const std::string& name, std::vector<int64_t> shape, const std::vector<T>& values) {
    add(name, file_dtype_of<T>(), std::move(shape), std::as_bytes(std::span(values)));
  }
  void set_metadata(const std::string& key, std::string value);

  std::string contents(Checksum checksum = Checksum::kNone) const;
  void write(const std::filesystem::path& path, Checksum checksum = Checksum::kNone) const;

 private:
  struct Tensor {
    FileDtype dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };

  using Named = std::pair<const std::string, Tensor>;

  std::string header_text(const std::vector<const Named*>& order, Checksum checksum) const;

  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace oche
