// Vectors of what is kept with fewer bits than it is computed with, and of rounded floats.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/mixed_cell.h"

namespace oche::kernels {

template <typename V>
V load_kept(const typename V::Scalar* p) {
  return V::load(p);
}
template <typename V>
void store_kept(V v, typename V::Scalar* p) {
  v.store(p);
}

// The bits of floats, lane by lane.
template <int kN>
struct FloatBits {
  using Word __attribute__((vector_size(kN * 4))) = uint32_t;
  using Half __attribute__((vector_size(kN * 2), aligned(2), may_alias)) = uint16_t;
  using Native = typename Vec<float, kN>::Native;

  static Word of(Native v) { return reinterpret_cast<Word>(v); }
  static Native floats(Word bits) { return reinterpret_cast<Native>(bits); }
  // `rounded`, but where v is a NaN `instead`.
  static Word unless_nan(Native v, Word rounded, Word instead) {
    return v == v ? rounded : instead;
  }
  static Word upper_half(Native v) {
    const Word bits = of(v);
    return unless_nan(v, (bits + 0x7fff + (bits >> 16 & 1)) >> 16, bits >> 16 | 0x40);
  }
};

template <typename V>
V load_kept(const BFloat16* p) {
  if constexpr (V::kLanes == 1) {
    return {to_float(*p)};
  } else {
    using Bits = FloatBits<V::kLanes>;
    const auto half = *reinterpret_cast<const typename Bits::Half*>(p);
    return {Bits::floats(__builtin_convertvector(half, typename Bits::Word) << 16)};
  }
}
template <typename V>
void store_kept(V v, BFloat16* p) {
  if constexpr (V::kLanes == 1) {
    *p = to_bfloat16(v.v);
  } else {
    using Bits = FloatBits<V::kLanes>;
    *reinterpret_cast<typename Bits::Half*>(p) =
        __builtin_convertvector(Bits::upper_half(v.v), typename Bits::Half);
  }
}

// body(data pointer) for what is set of `p`: T* or BFloat16*.
template <typename T, typename Body>
void with_kept(const StoredPixels<T>& p, const Body& body) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    if (p.narrow) return body(p.narrow);
  }
  body(p.data);
}

// The pointer to Kept that is set.
template <typename Kept, typename T>
const Kept* kept_as(const StoredPixels<const T>& p) {
  if constexpr (std::is_same_v<Kept, BFloat16>) {
    return p.narrow;
  } else {
    return p.data;
  }
}

template <typename T>
bool rounds_factors(CellProducts products) {
  return std::is_same_v<T, float> && products != CellProducts::kExact;
}
// n factors of a pointwise product.
template <typename T>
void round_factors(CellProducts products, int64_t n, T* factors) {
  if constexpr (std::is_same_v<T, float>) {
    if (products == CellProducts::kExact) return;
    for_channels<T>(0, n, [&](auto tag, int64_t i) {
      using V = typename decltype(tag)::type;
      const V v = V::load(factors + i);
      const bool tf32 = products == CellProducts::kTensorFloat32;
      if constexpr (V::kLanes == 1) {
        factors[i] = tf32 ? round_to_tf32(v.v) : round_to_bfloat16(v.v);
      } else {
        using Bits = FloatBits<V::kLanes>;
        const auto bits = Bits::of(v.v);
        const auto rounded = tf32 ? Bits::unless_nan(v.v, (bits + 0x1000) & 0xffffe000u, bits)
                                  : Bits::upper_half(v.v) << 16;
        V{Bits::floats(rounded)}.store(factors + i);
      }
    });
  }
}

}  // namespace oche::kernels
