// Names and sizes of the element types of array files.
#include "engine/file_dtype.h"

#include <algorithm>
#include <array>

namespace oche {
namespace {

// In the order of FileDtype.
constexpr std::array<std::string_view, 13> kNames = {
    "BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64", "U64"};
constexpr std::array<int64_t, 13> kSizes = {1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8};

}  // namespace

std::string_view name_of(FileDtype dtype) {
  return kNames[static_cast<size_t>(dtype)];
}

int64_t size_of(FileDtype dtype) {
  return kSizes[static_cast<size_t>(dtype)];
}

std::optional<FileDtype> parse_file_dtype(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<FileDtype>(found - kNames.begin());
}

std::optional<int64_t> byte_count(FileDtype dtype, const std::vector<int64_t>& shape) {
  int64_t bytes = size_of(dtype);
  bool is_empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      is_empty = true;
    } else if (__builtin_mul_overflow(bytes, extent, &bytes)) {
      return std::nullopt;
    }
  }
  return is_empty ? 0 : bytes;
}

}  // namespace oche
