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
using Words = Vec<uint32_t, kN>;
template <int kN>
Words<kN> words_of(Vec<float, kN> v) {
  return {reinterpret_cast<typename Words<kN>::Native>(v.v)};
}
template <int kN>
Vec<float, kN> floats_of(Words<kN> w) {
  return {reinterpret_cast<typename Vec<float, kN>::Native>(w.v)};
}
// `rounded`, but where v is a NaN `instead`.
template <int kN>
Words<kN> unless_nan(Vec<float, kN> v, Words<kN> rounded, Words<kN> instead) {
  return {v.v == v.v ? rounded.v : instead.v};
}
// Each as a bfloat16, in the lower half of its word.
template <int kN>
Words<kN> bfloat16_words(Vec<float, kN> v) {
  const Words<kN> bits = words_of(v);
  return unless_nan(v, {(bits.v + 0x7fff + (bits.v >> 16 & 1)) >> 16}, {bits.v >> 16 | 0x40});
}
template <int kN>
Words<kN> tf32_words(Vec<float, kN> v) {
  const Words<kN> bits = words_of(v);
  return unless_nan(v, {(bits.v + 0x1000) & 0xffffe000u}, bits);
}

template <int kN>
struct HalfWords {
  using Native __attribute__((vector_size(kN * 2), aligned(2), may_alias)) = uint16_t;
};
template <typename V>
V load_kept(const BFloat16* p) {
  if constexpr (V::kLanes == 1) {
    return {to_float(*p)};
  } else {
    const auto half = *reinterpret_cast<const typename HalfWords<V::kLanes>::Native*>(p);
    using Word = typename Words<V::kLanes>::Native;
    return floats_of(Words<V::kLanes>{__builtin_convertvector(half, Word) << 16});
  }
}
template <typename V>
void store_kept(V v, BFloat16* p) {
  if constexpr (V::kLanes == 1) {
    *p = to_bfloat16(v.v);
  } else {
    using Half = typename HalfWords<V::kLanes>::Native;
    *reinterpret_cast<Half*>(p) = __builtin_convertvector(bfloat16_words(v).v, Half);
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
        const auto rounded = tf32 ? tf32_words(v) : Words<V::kLanes>{bfloat16_words(v).v << 16};
        floats_of(rounded).store(factors + i);
      }
    });
  }
}

}  // namespace oche::kernels
