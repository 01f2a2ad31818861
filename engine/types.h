// Element types and devices.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/rounding.h"

namespace oche {

// bf16 is what fused ops may keep for their backward pass; no op takes it.
enum class DType : uint8_t { kFloat32, kFloat64, kInt64, kUInt8, kBFloat16 };

constexpr int64_t size_of(DType t) {
  constexpr int64_t sizes[] = {4, 8, 8, 1, 2};
  return sizes[static_cast<int>(t)];
}
constexpr bool is_floating(DType t) {
  return t == DType::kFloat32 || t == DType::kFloat64;
}
constexpr std::string_view to_string(DType t) {
  constexpr std::string_view names[] = {"f32", "f64", "i64", "u8", "bf16"};
  return names[static_cast<int>(t)];
}

template <typename T>
inline constexpr DType kDTypeOf = DType::kUInt8;
template <>
inline constexpr DType kDTypeOf<float> = DType::kFloat32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kFloat64;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <>
inline constexpr DType kDTypeOf<kernels::BFloat16> = DType::kBFloat16;

enum class DeviceType : uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

constexpr std::string_view to_string(Device d) {
  return d.type == DeviceType::kCpu ? "cpu" : "cuda";
}

}  // namespace oche
