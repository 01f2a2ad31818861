// Addressed randomness: every random number of a run is a function of (seed, module, purpose) and
// (step, phase, element), so it can be drawn anywhere, in any order, and again.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/philox.h"

namespace oche {

using kernels::RandomKey;

// What the numbers are for. The values are part of every stored result: append, never renumber.
enum class Purpose : uint32_t {
  kInit = 0,       // weights
  kAlphaInit = 1,  // architecture parameters
  kShuffle = 2,    // order of an epoch
  kAugment = 3,    // crop, flip, cutout
  kDropout = 4,
  kPatterns = 5,  // the generated data set
  kStratify = 6,  // subset and split
  kGumbel = 7,
  kPerturb = 8,     // architecture or weight noise
  kNoise = 9,       // a candidate that is noise
  kOpDropout = 10,  // of whole candidates
  kDropPath = 11,   // of whole edges
};

// Which pass of a step draws. The plus and minus passes of a finite difference share one.
enum class Phase : uint32_t { kNone = 0, kValidation = 1, kTrain = 2, kUnrolled = 3 };

// FNV-1a, 64 bits.
uint64_t module_id(std::string_view name);

RandomKey random_key(uint64_t seed, uint64_t module, Purpose purpose);

// A counter base as the kernels take it. `step` wraps at 2^32.
kernels::RandomCounterBase random_counter(int64_t step,
                                          Phase phase,
                                          const int64_t* step_at = nullptr);

// Where an op draws: element i of its draw takes the block (key, step, phase, i).
struct RandomAddress {
  RandomKey key;
  int64_t step = 0;
  Phase phase = Phase::kNone;
  const int64_t* step_at = nullptr;  // see kernels::RandomCounterBase
};

// A stream of 32-bit words for plain host code: the words of the blocks `stream` * 2^32 + 0, 1, 2,
// ... of one step.
class RandomWords {
 public:
  RandomWords(const RandomKey& key, int64_t step, int64_t stream = 0);

  uint32_t next() {
    if (used_ == 4) refill();
    return block_.word[used_++];
  }

  // Uniform in [0, bound), bound >= 1, without bias (Lemire: "Fast random integer generation in an
  // interval", 2019).
  uint32_t below(uint32_t bound);

 private:
  void refill();

  RandomKey key_;
  kernels::RandomCounterBase base_;
  uint64_t element_;
  kernels::RandomBlock block_;
  int used_ = 4;
};

// A permutation of 0 .. n-1 (Fisher and Yates), n < 2^32. `stream` tells apart the users of one
// purpose.
std::vector<int64_t> shuffled_indices(
    uint64_t seed, Purpose purpose, int64_t epoch, int64_t n, uint64_t stream = 0);

}  // namespace oche
