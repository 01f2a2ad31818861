// libFuzzer's hook for safetensors files. Blind mutations would hardly get past the header's length
// and the checksum: these change the header, one array's description or the data, and then set
// right what follows from it.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "engine/file_dtype.h"
#include "engine/sha256.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using nlohmann::json;
using Random = std::minstd_rand;

constexpr size_t kLengthBytes = 8, kDigits = 64;
constexpr int64_t kMaxArray = 1 << 12;  // bytes
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kOffsets = "data_offsets";

struct Parts {
  std::string header, data;
};

Parts split(const std::string& file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  const size_t header = std::min<uint64_t>(length, file.size() - kLengthBytes);
  return {file.substr(kLengthBytes, header), file.substr(kLengthBytes + header)};
}

std::string mutated(std::string text, size_t room) {
  const size_t size = text.size();
  text.resize(size + room);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, text.size()));
  return text;
}

json::iterator any_member(json& object, Random& random) {
  return std::next(object.begin(), static_cast<std::ptrdiff_t>(random() % object.size()));
}

void change_metadata(json& metadata, Random& random) {
  if (!metadata.is_object() || metadata.empty()) return;
  const auto member = any_member(metadata, random);
  if (random() % 4 == 0 || !member->is_string()) {
    metadata.erase(member);
  } else {
    *member = mutated(member->get<std::string>(), 16);
  }
}

void change_shape(json& shape, Random& random) {
  if (!shape.is_array()) return;
  if (shape.empty() || random() % 4 == 0) {
    shape.push_back(random() % 4);
  } else if (random() % 4 == 0) {
    shape.erase(shape.size() - 1);
  } else {
    shape[random() % shape.size()] = random() % 8;
  }
}

// One member of the header: taken out, renamed, or given another type or shape.
void change_entry(json& header, Random& random) {
  const auto entry = any_member(header, random);
  if (entry.key() == kMetadata) return change_metadata(*entry, random);
  switch (random() % 4) {
    case 0:
      header.erase(entry);
      break;
    case 1: {
      json value = *entry;
      std::string name = random() % 2 == 0 ? any_member(header, random).key() : entry.key();
      header.erase(entry);
      header[random() % 2 == 0 ? name : mutated(name, 8)] = std::move(value);
      break;
    }
    case 2:
      if (entry->contains("dtype")) {
        const auto dtype = static_cast<oche::FileDtype>(random() % 13);
        (*entry)["dtype"] = std::string(oche::name_of(dtype));
      }
      break;
    default:
      if (entry->contains("shape")) change_shape((*entry)["shape"], random);
  }
}

// Lays the arrays out anew, each as large as its type and shape say, in the order they had.
std::string lay_out(json& header, std::string data) {
  std::vector<std::pair<uint64_t, json*>> entries;
  for (auto& [name, entry] : header.items()) {
    if (name == kMetadata || !entry.is_object()) continue;
    const json offsets = entry.value(kOffsets, json());
    const bool valid = offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned();
    entries.emplace_back(valid ? offsets[0].get<uint64_t>() : data.size(), &entry);
  }
  std::ranges::stable_sort(entries, {}, &std::pair<uint64_t, json*>::first);
  int64_t end = 0;
  for (const auto& [begin, entry] : entries) {
    try {
      const auto dtype = oche::parse_file_dtype(entry->at("dtype").get<std::string>());
      const json& shape = entry->at("shape");
      if (!std::ranges::all_of(shape, &json::is_number_integer)) continue;
      const auto bytes = oche::byte_count(dtype.value(), shape);
      const int64_t first = end;
      end += std::clamp<int64_t>(bytes.value_or(0), 0, kMaxArray);
      (*entry)[kOffsets] = {first, end};
    } catch (const std::exception&) {  // no description at all: left as it is
    }
  }
  data.resize(static_cast<size_t>(end));
  return data;
}

Parts changed(Parts parts, Random& random) {
  const int way = static_cast<int>(random() % 8);
  if (way == 0) return {parts.header, mutated(parts.data, 64)};
  if (way == 1) return {mutated(parts.header, 64), parts.data};
  json header = json::parse(parts.header, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object() || header.empty()) return {mutated(parts.header, 64), parts.data};
  change_entry(header, random);
  std::string data = lay_out(header, std::move(parts.data));
  return {header.dump(-1, ' ', false, json::error_handler_t::replace), std::move(data)};
}

// The length in front and, where the metadata has one, the checksum.
std::string assembled(const Parts& parts) {
  const uint64_t length = parts.header.size();
  std::string file(reinterpret_cast<const char*>(&length), kLengthBytes);
  file += parts.header;
  file += parts.data;
  constexpr std::string_view kKey = "\"sha256\":\"";
  const size_t digits = file.find(kKey) + kKey.size();
  if (digits >= kKey.size() && file.find('"', digits) == digits + kDigits) {
    file.replace(digits, kDigits, kDigits, '0');
    file.replace(digits, kDigits, oche::sha256_hex(std::as_bytes(std::span(file))));
  }
  return file;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data,
                                          size_t size,
                                          size_t max_size,
                                          unsigned seed) {
  Random random(seed);
  if (size < kLengthBytes || random() % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string file(reinterpret_cast<const char*>(data), size);
  const std::string next = assembled(changed(split(file), random));
  if (next.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, next.data(), next.size());
  return next.size();
}
