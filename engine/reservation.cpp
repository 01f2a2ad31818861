// mmap and madvise.
#include "engine/reservation.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace oche {

int64_t physical_memory() {
  int64_t bytes = int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  std::ifstream file("/sys/fs/cgroup/memory.max");  // a number, or "max"
  if (int64_t limit = 0; file >> limit && limit > 0) bytes = std::min(bytes, limit);
  return bytes;
}

Reservation::Reservation(int64_t bytes) {
  for (; bytes > 0 && !data_; bytes /= 2) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const auto size = static_cast<size_t>(bytes);
    void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, kFlags, -1, 0);
    if (data == MAP_FAILED) continue;
    data_ = static_cast<std::byte*>(data);
    size_ = bytes;
    // Large pages where there are any: fewer faults, and strided reads that do not miss the TLB.
    ::madvise(data, size, MADV_HUGEPAGE);
  }
}

Reservation::~Reservation() {
  if (data_) ::munmap(data_, static_cast<size_t>(size_));
}

void Reservation::drop(int64_t begin, int64_t end) const {
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  begin = (begin + page - 1) / page * page;
  end = std::min(end, size_) / page * page;
  if (begin < end) ::madvise(data_ + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
}

}  // namespace oche
