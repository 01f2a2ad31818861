// Ranges of addresses, handed out and taken back. There is no memory behind them here, so that a
// dry run lays out its buffers just as the real run will.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace oche {

// Addresses count from 0, in bytes. Free neighbours are one range again at once, and what is free
// at the end is no part of the space.
class AddressSpace {
 public:
  // The address of `bytes` > 0 bytes: in the smallest free range that holds them, of equal ones the
  // lowest, else at the end.
  int64_t allocate(int64_t bytes);
  // Takes back what allocate(bytes) gave.
  void free(int64_t address, int64_t bytes);

  // One past the highest address in use.
  int64_t end() const { return end_; }
  // The free ranges below, address -> bytes.
  const std::map<int64_t, int64_t>& gaps() const { return gaps_; }

 private:
  void add_gap(int64_t address, int64_t bytes);
  void remove_gap(std::map<int64_t, int64_t>::iterator gap);

  int64_t end_ = 0;
  std::map<int64_t, int64_t> gaps_;
  std::set<std::pair<int64_t, int64_t>> by_size_;  // the same, (bytes, address)
};

}  // namespace oche
