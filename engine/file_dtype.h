// Element types of array files; files have more of them than tensors do.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

namespace oche {

// Those of safetensors, narrow to wide.
enum class FileDtype {
  kBool,
  kU8,
  kI8,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64
};

std::string_view name_of(FileDtype dtype);  // as safetensors spells it: "F32"
int64_t size_of(FileDtype dtype);           // bytes of an element
std::optional<FileDtype> parse_file_dtype(std::string_view name);

// Bytes of an array; none if an extent is negative or the product overflows. Extents of 0 are left
// out of the check, so that the strides of every accepted shape fit as well.
std::optional<int64_t> byte_count(FileDtype dtype, const std::vector<int64_t>& shape);

// The type of elements T. BOOL, F16 and BF16 have no T: they are handled as bytes.
template <typename T>
constexpr FileDtype file_dtype_of() {
  static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && sizeof(T) <= 8);
  if constexpr (std::is_floating_point_v<T>) {
    return sizeof(T) == 4 ? FileDtype::kF32 : FileDtype::kF64;
  } else {
    constexpr bool is_signed = std::is_signed_v<T>;
    switch (sizeof(T)) {
      case 1:
        return is_signed ? FileDtype::kI8 : FileDtype::kU8;
      case 2:
        return is_signed ? FileDtype::kI16 : FileDtype::kU16;
      case 4:
        return is_signed ? FileDtype::kI32 : FileDtype::kU32;
      default:
        return is_signed ? FileDtype::kI64 : FileDtype::kU64;
    }
  }
}

}  // namespace oche
