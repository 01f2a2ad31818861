// Parses idx files.
#include "nas/data/idx.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "nas/data/data_file.h"

namespace oche::nas {
namespace {

constexpr int64_t kWord = 4;            // bytes of the magic number and of each extent
constexpr uint32_t kUnsignedBytes = 8;  // the element type

uint32_t read_word(std::string_view bytes, int64_t offset) {
  uint32_t word = 0;
  for (int64_t i = 0; i < kWord; ++i) {
    word = word << 8 | static_cast<uint8_t>(bytes[static_cast<size_t>(offset + i)]);
  }
  return word;
}

}  // namespace

IdxArray parse_idx(std::string_view bytes, int64_t rank, std::string_view source) {
  const int64_t header = kWord * (1 + rank), size = std::ssize(bytes);
  if (size < header) {
    fail_at_byte(
        source, fmt::format("{} bytes, expected a header of {}: ends", size, header), size);
  }
  const uint32_t magic = read_word(bytes, 0);
  const uint32_t expected = kUnsignedBytes << 8 | static_cast<uint32_t>(rank);
  if (magic != expected) {
    fail_at_byte(
        source,
        fmt::format(
            "magic number {}, expected {} (unsigned bytes, {} dimensions),", magic, expected, rank),
        0);
  }
  IdxArray array{.shape = {}, .values = bytes.substr(static_cast<size_t>(header))};
  int64_t elements = 1;
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t extent = read_word(bytes, kWord * (1 + d));
    if (__builtin_mul_overflow(elements, extent, &elements) ||
        elements > std::numeric_limits<int64_t>::max() - header) {
      fail_at_byte(source, fmt::format("extent {} overflows", extent), kWord * (1 + d));
    }
    array.shape.push_back(extent);
  }
  require_size(source,
               size,
               header + elements,
               fmt::format("{} and a header of {}", fmt::join(array.shape, "x"), header));
  return array;
}

void append_idx(const IdxFile& images, const IdxFile& labels, Dataset& set) {
  const IdxArray pixels = parse_idx(images.bytes, 3, images.source);
  const IdxArray classes = parse_idx(labels.bytes, 1, labels.source);
  if (pixels.shape[1] != set.height || pixels.shape[2] != set.width) {
    fail_at_byte(images.source,
                 fmt::format("images of {}x{}, expected {}x{},",
                             pixels.shape[1],
                             pixels.shape[2],
                             set.height,
                             set.width),
                 2 * kWord);
  }
  if (classes.shape[0] != pixels.shape[0]) {
    fail_at_byte(
        labels.source,
        fmt::format("{} labels, expected {}, one an image,", classes.shape[0], pixels.shape[0]),
        kWord);
  }
  const auto wrong = std::ranges::find_if(
      classes.values, [&](char label) { return static_cast<uint8_t>(label) >= set.classes; });
  if (wrong != classes.values.end()) {
    fail_at_byte(
        labels.source,
        fmt::format("label {}, expected 0 to {},", static_cast<uint8_t>(*wrong), set.classes - 1),
        2 * kWord + (wrong - classes.values.begin()));
  }
  set.pixels.insert(set.pixels.end(), pixels.values.begin(), pixels.values.end());
  std::ranges::transform(classes.values, std::back_inserter(set.labels), [](char label) {
    return static_cast<uint8_t>(label);
  });
}

}  // namespace oche::nas
