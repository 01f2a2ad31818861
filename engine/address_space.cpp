// Best fit, with neighbours joined.
#include "engine/address_space.h"

#include <iterator>

namespace oche {

int64_t AddressSpace::allocate(int64_t bytes) {
  const auto fit = by_size_.lower_bound({bytes, 0});
  if (fit == by_size_.end()) {
    const int64_t address = end_;
    end_ += bytes;
    return address;
  }
  const auto [size, address] = *fit;
  remove_gap(gaps_.find(address));
  if (size > bytes) add_gap(address + bytes, size - bytes);
  return address;
}

void AddressSpace::free(int64_t address, int64_t bytes) {
  auto next = gaps_.lower_bound(address);
  if (next != gaps_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == address) {
      address = previous->first;
      bytes += previous->second;
      remove_gap(previous);
    }
  }
  if (next != gaps_.end() && address + bytes == next->first) {
    bytes += next->second;
    remove_gap(next);
  }
  if (address + bytes == end_) {
    end_ = address;
  } else {
    add_gap(address, bytes);
  }
}

void AddressSpace::add_gap(int64_t address, int64_t bytes) {
  gaps_.emplace(address, bytes);
  by_size_.emplace(bytes, address);
}

void AddressSpace::remove_gap(std::map<int64_t, int64_t>::iterator gap) {
  by_size_.erase({gap->second, gap->first});
  gaps_.erase(gap);
}

}  // namespace oche
