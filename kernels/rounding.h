// Numbers with fewer bits than a float: how floats become them, on the host and on a device alike.
#pragma once

#include <bit>
#include <cstdint>

namespace oche::kernels {

// The upper half of a float: its exponent, and 7 of its 23 bits of fraction. For storage; nothing
// computes with it.
struct BFloat16 {
  uint16_t bits;
};

// To nearest, ties to even; a NaN stays one.
constexpr BFloat16 to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
constexpr float to_float(BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}
constexpr float round_to_bfloat16(float x) {
  return to_float(to_bfloat16(x));
}

// 10 bits of fraction, what tensor cores read of a float as TF32: to nearest, ties away from zero,
// as the instruction cvt.rna.tf32.f32 does.
constexpr float round_to_tf32(float x) {
  if (x != x) return x;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000) & 0xffffe000u);
}

}  // namespace oche::kernels
