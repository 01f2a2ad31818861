// Philox4x32-10: random numbers as a pure function of an address (Salmon, Moraes, Dror, Shaw:
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Nothing is consumed, so threads,
// devices, repeated passes and resumed runs all read the same numbers.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/portable_math.h"

namespace oche::kernels {

struct RandomKey {
  uint32_t word[2];
};

// What an op or a pass fixes of the counter; the element completes it.
struct RandomCounterBase {
  uint32_t step = 0;
  uint32_t phase = 0;
  // Not nullptr: where the draw runs, and counts in place of `step`, so that a launch that is
  // recorded once draws anew at each replay.
  const int64_t* step_at = nullptr;

  OCHE_HOST_DEVICE RandomCounterBase resolved() const {
    return step_at ? RandomCounterBase{static_cast<uint32_t>(*step_at), phase} : *this;
  }
};

struct RandomBlock {
  uint32_t word[4];
};

// The ten rounds: two 32 x 32 -> 64 bit products each, and a key that moves by a Weyl sequence.
OCHE_HOST_DEVICE inline RandomBlock philox(RandomKey key, RandomBlock c) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xd2511f53} * c.word[0];
    const uint64_t b = uint64_t{0xcd9e8d57} * c.word[2];
    c = {{static_cast<uint32_t>(b >> 32) ^ c.word[1] ^ key.word[0],
          static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ c.word[3] ^ key.word[1],
          static_cast<uint32_t>(a)}};
    key.word[0] += 0x9e3779b9;
    key.word[1] += 0xbb67ae85;
  }
  return c;
}

// The block of an element: counter = (element low, element high, step, phase).
OCHE_HOST_DEVICE inline RandomBlock random_block(RandomKey key,
                                                 RandomCounterBase base,
                                                 uint64_t element) {
  return philox(key,
                {{static_cast<uint32_t>(element),
                  static_cast<uint32_t>(element >> 32),
                  base.step,
                  base.phase}});
}

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
OCHE_HOST_DEVICE inline uint64_t splitmix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The key of one use of random numbers: (seed, module, purpose) mixed into 64 bits.
OCHE_HOST_DEVICE inline RandomKey make_random_key(uint64_t seed,
                                                  uint64_t module,
                                                  uint32_t purpose) {
  const uint64_t mixed = splitmix64(splitmix64(splitmix64(seed) ^ module) ^ purpose);
  return {{static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)}};
}

// 53 uniform bits of the words `first` and `first + 1`.
OCHE_HOST_DEVICE inline uint64_t random_bits53(const RandomBlock& b, int first) {
  return (uint64_t{b.word[first]} << 21) | (b.word[first + 1] >> 11);
}

// Uniform in [0, 1): 53 bits for double, and for float the first 24 of the same bits.
template <typename T>
OCHE_HOST_DEVICE T uniform(const RandomBlock& b);
template <>
OCHE_HOST_DEVICE inline double uniform<double>(const RandomBlock& b) {
  return static_cast<double>(random_bits53(b, 0)) * 0x1p-53;
}
template <>
OCHE_HOST_DEVICE inline float uniform<float>(const RandomBlock& b) {
  return static_cast<float>(b.word[0] >> 8) * 0x1p-24f;
}

// Uniform in (0, 1), never an end: the middles of 2^52 equal intervals.
OCHE_HOST_DEVICE inline double uniform_open(const RandomBlock& b) {
  return static_cast<double>(random_bits53(b, 0) | 1) * 0x1p-53;
}

// Standard normal (Box & Muller 1958, the cosine branch).
OCHE_HOST_DEVICE inline double normal(const RandomBlock& b) {
  const double turns = static_cast<double>(random_bits53(b, 2)) * 0x1p-53;
  return ::sqrt(-2 * portable_log(uniform_open(b))) * portable_sincos(turns).cos;
}

// Standard Gumbel.
OCHE_HOST_DEVICE inline double gumbel(const RandomBlock& b) {
  return -portable_log(-portable_log(uniform_open(b)));
}

}  // namespace oche::kernels
