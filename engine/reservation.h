// Virtual addresses on the CPU, reserved at once; a page of them takes memory when it is first
// written to.
#pragma once

#include <cstddef>
#include <cstdint>

namespace oche {

// The memory of this machine, bytes, or what the process's control group may use of it.
int64_t physical_memory();

class Reservation {
 public:
  // At most `bytes`; less, in the end none, where the system refuses as much.
  explicit Reservation(int64_t bytes);
  ~Reservation();
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  std::byte* data() const { return data_; }  // at the start of a page
  int64_t size() const { return size_; }
  // Gives the whole pages in [begin, end) back to the system; what they held is lost.
  void drop(int64_t begin, int64_t end) const;

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace oche
