// Buffers and their accounting.
#include "engine/storage.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "engine/error.h"
#include "engine/op.h"

namespace oche {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;  // a recycled buffer would hide a use after free
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif
#else
constexpr bool kCaching = true;
#endif

constexpr size_t kAlignment = 64;

thread_local int dry_runs = 0;

// Sizes come in eight steps for each power of two, so that buffers find a second owner and at most
// 1/8 is lost.
int64_t size_class(int64_t bytes) {
  const int64_t step =
      std::max<int64_t>(kAlignment, std::bit_floor(static_cast<uint64_t>(bytes)) / 8);
  return std::max<int64_t>(kAlignment, (bytes + step - 1) / step * step);
}

// Freed CPU buffers by size class, kept for the next tensor of that size: returning large buffers
// to the system costs a page fault for each 4 KiB when they are wanted again.
class CpuPool {
 public:
  std::byte* allocate(int64_t bytes) {
    const int64_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    void* data = nullptr;
    if (auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
      data = it->second.back();
      it->second.pop_back();
      stats_.cached -= size;
    } else if (posix_memalign(&data, kAlignment, size) != 0) {
      release();
      if (posix_memalign(&data, kAlignment, size) != 0) {
        throw OutOfMemory(current_op(), bytes, stats_.live, "--batch");
      }
    }
#ifndef NDEBUG
    std::memset(data, 0xFF, size);  // an unwritten value reads as NaN
#endif
    return static_cast<std::byte*>(data);
  }

  void free(std::byte* data, int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (kCaching) {
      const int64_t size = size_class(bytes);
      free_[size].push_back(data);
      stats_.cached += size;
    } else {
      std::free(data);
    }
  }

  void count(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    stats_.live += bytes;
    stats_.peak = std::max(stats_.peak, stats_.live);
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak = stats_.live;
  }
  void release_cached() {
    const std::lock_guard lock(mutex_);
    release();
  }

 private:
  void release() {
    for (auto& [size, buffers] : free_) {
      for (void* buffer : buffers) std::free(buffer);
    }
    free_.clear();
    stats_.cached = 0;
  }

  std::mutex mutex_;
  std::map<int64_t, std::vector<void*>> free_;
  MemoryStats stats_;
};

CpuPool& cpu_pool() {
  static auto* pool =
      new CpuPool;  // never destroyed: tensors in static storage may outlive it otherwise
  return *pool;
}

}  // namespace

std::shared_ptr<Storage> Storage::allocate(int64_t bytes, Device device) {
  std::byte* data = DryRun::active() ? nullptr : cpu_pool().allocate(bytes);
  std::shared_ptr<Storage> storage(new Storage(data, bytes, device));
  cpu_pool().count(bytes);
  return storage;
}

Storage::~Storage() {
  if (data_) cpu_pool().free(data_, bytes_);
  cpu_pool().count(-bytes_);
}

MemoryStats memory_stats(Device) {
  return cpu_pool().stats();
}
void reset_peak_memory(Device) {
  cpu_pool().reset_peak();
}
void release_cached_memory(Device) {
  cpu_pool().release_cached();
}

DryRun::DryRun() {
  ++dry_runs;
}
DryRun::~DryRun() {
  --dry_runs;
}
bool DryRun::active() {
  return dry_runs > 0;
}

}  // namespace oche
