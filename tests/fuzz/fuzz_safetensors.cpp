// Fuzz target: safetensors files. What is accepted has every byte in one array, and reads the same
// when written again.
#include <algorithm>

#include "engine/error.h"
#include "engine/safetensors.h"
#include "tests/fuzz/target.h"

using namespace oche;

namespace {

void check(const SafetensorsFile& file) {
  size_t bytes = 8 + file.header().size();
  SafetensorsWriter writer;
  for (const SafetensorsEntry& entry : file.entries()) {
    const std::span<const std::byte> array = file.bytes(entry);
    fuzz::require(file.find(entry.name) == &entry, "an array is found by its name");
    writer.add(entry.name, entry.dtype, entry.shape, array);
    bytes += array.size();
  }
  fuzz::require(bytes == file.contents().size(), "every byte belongs to one array");

  const std::string written = writer.contents(Checksum::kSha256);
  const SafetensorsFile again(written, "again");
  verify_checksum(again);
  fuzz::require(again.entries().size() == file.entries().size(), "all arrays are written");
  for (const SafetensorsEntry& entry : file.entries()) {
    const SafetensorsEntry& copy = again.at(entry.name);
    fuzz::require(copy.dtype == entry.dtype && copy.shape == entry.shape &&
                      std::ranges::equal(again.bytes(copy), file.bytes(entry)),
                  "an array reads as written");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string contents(fuzz::text_of(data, size));
  const auto open = [&] { return SafetensorsFile(contents, "fuzz.safetensors"); };
  if (fuzz::accepts<FormatError>([&] { check(open()); })) {
    fuzz::accepts<FormatError>([&] { verify_checksum(open()); });
    fuzz::accepted = true;  // with or without one
  }
  return 0;
}
