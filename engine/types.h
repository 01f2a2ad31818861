// Element types and devices.
#pragma once

#include <cstdint>
#include <string_view>

namespace oche {

enum class DType : uint8_t { kFloat32, kFloat64, kInt64, kUInt8 };

constexpr int64_t size_of(DType t) {
  return t == DType::kUInt8 ? 1 : t == DType::kFloat32 ? 4 : 8;
}
constexpr bool is_floating(DType t) {
  return t == DType::kFloat32 || t == DType::kFloat64;
}
constexpr std::string_view to_string(DType t) {
  constexpr std::string_view names[] = {"f32", "f64", "i64", "u8"};
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
