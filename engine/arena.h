// A buffer that others are laid out in, at addresses that depend on the order of requests alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/address_space.h"

namespace oche {

class ArenaLayout {
 public:
  static constexpr int64_t kAlignment = 256;

  // Of `size` bytes at `data`, which is aligned.
  ArenaLayout(std::byte* data, int64_t size) : data_(data), size_(size) {}

  // nullptr where it does not fit.
  std::byte* allocate(int64_t bytes) {
    const int64_t address = space_.allocate(footprint(bytes));
    if (space_.end() <= size_) return data_ + address;
    space_.free(address, footprint(bytes));
    return nullptr;
  }
  void free(const std::byte* p, int64_t bytes) { space_.free(p - data_, footprint(bytes)); }

  bool contains(const std::byte* p) const { return p >= data_ && p < data_ + size_; }
  bool is_empty() const { return space_.end() == 0; }

  static int64_t footprint(int64_t bytes) {
    return std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  }

 private:
  std::byte* data_;
  int64_t size_;
  AddressSpace space_;
};

}  // namespace oche
