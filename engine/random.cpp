// Addressed randomness: keys, word streams and shuffles.
#include "engine/random.h"

#include <fmt/format.h>

#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace oche {

uint64_t module_id(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

RandomKey random_key(uint64_t seed, uint64_t module, Purpose purpose) {
  return kernels::make_random_key(seed, module, static_cast<uint32_t>(purpose));
}

kernels::RandomCounterBase random_counter(int64_t step, Phase phase, const int64_t* step_at) {
  return {static_cast<uint32_t>(step), static_cast<uint32_t>(phase), step_at};
}

RandomWords::RandomWords(const RandomKey& key, int64_t step, int64_t stream)
    : key_(key),
      base_(random_counter(step, Phase::kNone)),
      element_(static_cast<uint64_t>(stream) << 32) {}

void RandomWords::refill() {
  block_ = kernels::random_block(key_, base_, element_++);
  used_ = 0;
}

uint32_t RandomWords::below(uint32_t bound) {
  // The high half of word * bound; the 2^32 mod bound lowest low halves are one word too many.
  const uint32_t surplus = (0 - bound) % bound;
  for (;;) {
    const uint64_t product = uint64_t{next()} * bound;
    if (static_cast<uint32_t>(product) >= surplus) return static_cast<uint32_t>(product >> 32);
  }
}

std::vector<int64_t> shuffled_indices(
    uint64_t seed, Purpose purpose, int64_t epoch, int64_t n, uint64_t stream) {
  if (n < 0 || n > std::numeric_limits<uint32_t>::max()) {
    throw std::invalid_argument(fmt::format("shuffled_indices: n {}; expected 0 <= n < 2^32", n));
  }
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  RandomWords words(random_key(seed, stream, purpose), epoch);
  for (size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[words.below(static_cast<uint32_t>(left))]);
  }
  return order;
}

}  // namespace oche
