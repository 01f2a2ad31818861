// Vectors of channels: a small value type over the compilers' vector extension, and the loop that
// walks channels by it.
#pragma once

#include <cstdint>
#include <type_traits>

#if defined(__AVX__) || defined(__FMA__)
#include <immintrin.h>
#endif

namespace oche::kernels {

// The width of the compile target's vectors; a Vec is never wider.
#if defined(OCHE_VECTOR_BYTES)
inline constexpr int kVectorBytes = OCHE_VECTOR_BYTES;
#elif defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <typename T>
inline constexpr int kMaxLanes = kVectorBytes / static_cast<int>(sizeof(T));

// The integer as wide as T, which a comparison of vectors of T yields.
template <typename T>
using LaneInt = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// kN lanes of T; one lane is a plain scalar. `v` is the native vector, for operations not wrapped
// here.
template <typename T, int kN>
struct Vec {
  static constexpr int kLanes = kN;
  using Scalar = T;
  using Native __attribute__((vector_size(kN * sizeof(T)))) = T;
  using Int = Vec<LaneInt<T>, kN>;
  Native v;

  // At any alignment. A vector may alias its element type and no other: unlike one by memcpy, a
  // store does not make the compiler read extents and pointers again.
  static Vec load(const T* p) { return {*reinterpret_cast<const Unaligned*>(p)}; }
  static Vec broadcast(T s) { return {s - Native{}}; }
  void store(T* p) const { *reinterpret_cast<Unaligned*>(p) = v; }
  // Past the caches, where the target can: p is a multiple of the vector's size. Other threads see
  // it after stream_fence().
  void stream(T* p) const {
#ifdef __AVX512F__
    if constexpr (sizeof(Native) == 64)
      return _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v));
#endif
#ifdef __AVX__
    if constexpr (sizeof(Native) == 32)
      return _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v));
#endif
    store(p);
  }

 private:
  using Unaligned __attribute__((aligned(alignof(T)))) = Native;
};

template <typename T>
struct Vec<T, 1> {
  static constexpr int kLanes = 1;
  using Scalar = T;
  using Native = T;
  using Int = Vec<LaneInt<T>, 1>;
  Native v;

  static Vec load(const T* p) { return {*p}; }
  static Vec broadcast(T s) { return {s}; }
  void store(T* p) const { *p = v; }
  void stream(T* p) const { store(p); }
};

// Orders what was streamed before what follows.
inline void stream_fence() {
#ifdef __AVX__
  _mm_sfence();
#endif
}

// The widest vector of T.
template <typename T>
using WideVec = Vec<T, kMaxLanes<T>>;

template <typename T, int kN>
Vec<T, kN> operator+(Vec<T, kN> a, Vec<T, kN> b) {
  return {a.v + b.v};
}

// 0 where gate <= 0, else x; so a NaN in the gate lets x through.
template <typename T, int kN>
Vec<T, kN> gated(Vec<T, kN> x, Vec<T, kN> gate) {
  return {gate.v <= 0 ? typename Vec<T, kN>::Native{} : x.v};
}

// Lanes from 0 to 255, kept as bytes.
template <typename T, int kN>
void store_bytes(Vec<T, kN> a, uint8_t* p) {
  if constexpr (kN == 1) {
    *p = static_cast<uint8_t>(a.v);
  } else {
    using Bytes __attribute__((vector_size(kN), aligned(1), may_alias)) = uint8_t;
    *reinterpret_cast<Bytes*>(p) = __builtin_convertvector(a.v, Bytes);
  }
}
template <typename V>
V load_bytes(const uint8_t* p) {
  if constexpr (V::kLanes == 1) {
    return {*p};
  } else {
    using Bytes __attribute__((vector_size(V::kLanes), aligned(1), may_alias)) = uint8_t;
    return {__builtin_convertvector(*reinterpret_cast<const Bytes*>(p), typename V::Native)};
  }
}

#ifdef __AVX2__
// What the compilers make of the generic ones goes lane by lane.
inline void store_bytes(Vec<int32_t, 8> a, uint8_t* p) {
  const auto v = reinterpret_cast<__m256i>(a.v);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storeu_si64(p, _mm_packus_epi16(words, words));
}
template <>
inline Vec<int32_t, 8> load_bytes(const uint8_t* p) {
  return {reinterpret_cast<Vec<int32_t, 8>::Native>(_mm256_cvtepu8_epi32(_mm_loadu_si64(p)))};
}
#endif
#ifdef __AVX512F__
// With masks, all ones, since g++ 12 takes the others' unused operand for uninitialised.
inline void store_bytes(Vec<int32_t, 16> a, uint8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm512_maskz_cvtepi32_epi8(0xFFFF, reinterpret_cast<__m512i>(a.v)));
}
template <>
inline Vec<int32_t, 16> load_bytes(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {reinterpret_cast<Vec<int32_t, 16>::Native>(_mm512_maskz_cvtepu8_epi32(0xFFFF, bytes))};
}
#endif

// a * b + c, rounded once where the target has fused multiply-add, in every lane count alike: a
// channel gets the same bits whether it falls in a full vector or in the tail.
template <typename T, int kN>
Vec<T, kN> fma(Vec<T, kN> a, Vec<T, kN> b, Vec<T, kN> c) {
  return {a.v * b.v + c.v};
}
#ifdef __FMA__
inline Vec<float, 1> fma(Vec<float, 1> a, Vec<float, 1> b, Vec<float, 1> c) {
  return {__builtin_fmaf(a.v, b.v, c.v)};
}
inline Vec<double, 1> fma(Vec<double, 1> a, Vec<double, 1> b, Vec<double, 1> c) {
  return {__builtin_fma(a.v, b.v, c.v)};
}
inline Vec<float, 4> fma(Vec<float, 4> a, Vec<float, 4> b, Vec<float, 4> c) {
  return {_mm_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec<double, 2> fma(Vec<double, 2> a, Vec<double, 2> b, Vec<double, 2> c) {
  return {_mm_fmadd_pd(a.v, b.v, c.v)};
}
inline Vec<float, 8> fma(Vec<float, 8> a, Vec<float, 8> b, Vec<float, 8> c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec<double, 4> fma(Vec<double, 4> a, Vec<double, 4> b, Vec<double, 4> c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
#endif
#ifdef __AVX512F__
inline Vec<float, 16> fma(Vec<float, 16> a, Vec<float, 16> b, Vec<float, 16> c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec<double, 8> fma(Vec<double, 8> a, Vec<double, 8> b, Vec<double, 8> c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
#endif

// Names a vector type in a generic lambda: `typename decltype(tag)::type`.
template <typename V>
struct VecTag {
  using type = V;
};

// Cuts [first, n) into a few ranges of whole vectors: body(VecTag<V>, begin, end), V from the
// widest vector down to 16 bytes, then scalars.
template <typename T, int kN = kMaxLanes<T>, typename Body>
void for_vector_ranges(int64_t first, int64_t n, const Body& body) {
  const int64_t end = first + (n - first) / kN * kN;
  if (first < end) body(VecTag<Vec<T, kN>>{}, first, end);
  if constexpr (kN > 1) {
    constexpr int kNext = kN * sizeof(T) > 16 ? kN / 2 : 1;
    if (end < n) for_vector_ranges<T, kNext>(end, n, body);
  }
}

// Covers [first, n) in order: body(VecTag<V>, c) handles the elements [c, c + V::kLanes).
template <typename T, typename Body>
void for_channels(int64_t first, int64_t n, const Body& body) {
  for_vector_ranges<T>(first, n, [&body](auto tag, int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c += decltype(tag)::type::kLanes) body(tag, c);
  });
}

}  // namespace oche::kernels
