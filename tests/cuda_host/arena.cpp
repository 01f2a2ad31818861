// The device's memory: one range of pages, open while the device works.
#include "tests/cuda_host/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "engine/address_space.h"
#include "tests/cuda_host/limits.h"

namespace oche::cuda_host {

#if defined(OCHE_ADDRESS_SANITIZER) || defined(OCHE_THREAD_SANITIZER)

void* arena_allocate(size_t bytes) {
  void* p = nullptr;
  return posix_memalign(&p, 256, bytes) == 0 ? p : nullptr;
}
void arena_free(void* p, size_t) {
  std::free(p);
}
DeviceAccess::DeviceAccess() = default;
DeviceAccess::~DeviceAccess() = default;

#else

namespace {

constexpr int64_t kAlignment = 256, kPage = int64_t{2} << 20;  // a huge page, so that there are few

int64_t round_up(int64_t bytes, int64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

class Arena {
 public:
  Arena() {
    void* p = mmap(nullptr,
                   kMemoryBytes + kPage,
                   PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1,
                   0);
    if (p == MAP_FAILED) {
      std::perror("cuda-on-host: memory of the device");
      std::abort();
    }
    const auto address = reinterpret_cast<uintptr_t>(p);
    start_ = static_cast<std::byte*>(p) + (kPage - address % kPage) % kPage;
    madvise(start_, kMemoryBytes, MADV_HUGEPAGE);
  }

  void* allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const int64_t size = footprint(bytes), address = space_.allocate(size);
    if (space_.end() > static_cast<int64_t>(kMemoryBytes)) {
      space_.free(address, size);
      return nullptr;
    }
    const int64_t end = round_up(space_.end(), kPage);
    if (end > used_) {
      if (open_ > 0) protect(used_, end, PROT_READ | PROT_WRITE);
      used_ = end;
    }
    return start_ + address;
  }
  void free(void* p, size_t bytes) {
    const std::lock_guard lock(mutex_);
    space_.free(static_cast<std::byte*>(p) - start_, footprint(bytes));
  }

  void open() {
    const std::lock_guard lock(mutex_);
    if (open_++ == 0) protect(0, used_, PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--open_ == 0) protect(0, used_, PROT_NONE);
  }

 private:
  static int64_t footprint(size_t bytes) {
    return round_up(std::max<int64_t>(static_cast<int64_t>(bytes), 1), kAlignment);
  }
  void protect(int64_t begin, int64_t end, int access) const {
    if (begin < end) mprotect(start_ + begin, static_cast<size_t>(end - begin), access);
  }

  std::mutex mutex_;
  std::byte* start_ = nullptr;
  int64_t used_ = 0;  // from the start, whole pages
  int open_ = 0;
  AddressSpace space_;
};

Arena& arena() {
  static Arena& one = *new Arena;  // outlives what releases memory at exit
  return one;
}

}  // namespace

void* arena_allocate(size_t bytes) {
  return arena().allocate(bytes);
}
void arena_free(void* p, size_t bytes) {
  arena().free(p, bytes);
}
DeviceAccess::DeviceAccess() {
  arena().open();
}
DeviceAccess::~DeviceAccess() {
  arena().close();
}

#endif

}  // namespace oche::cuda_host
