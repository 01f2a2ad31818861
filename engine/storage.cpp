// Buffers and their accounting.
#include "engine/storage.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "engine/address_space.h"
#include "engine/error.h"
#include "engine/op.h"
#include "engine/reservation.h"

namespace oche {
namespace {

// Under AddressSanitizer each buffer is a heap block of its own, with red zones, and gone once
// freed.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kOneReservation = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kOneReservation = false;
#else
constexpr bool kOneReservation = true;
#endif
#else
constexpr bool kOneReservation = true;
#endif

constexpr int64_t kAlignment = 64;

thread_local int dry_runs = 0;

// The addresses that a buffer takes. Large ones end in a few lines that nobody uses: most are a
// multiple of 4 KiB long, and without this the streams of one kernel would compete for the same
// sets of the first-level cache.
int64_t footprint(int64_t bytes) {
  constexpr int64_t kLarge = 16 * 1024, kShift = 9 * kAlignment;
  const int64_t shifted = bytes < kLarge ? bytes : bytes + kShift;
  return std::max(kAlignment, (shifted + kAlignment - 1) / kAlignment * kAlignment);
}

// All buffers of the CPU, side by side in one reservation: memory that was freed by tensors of one
// size serves those of any other, and pages stay with the process, since a page fault costs more
// than most kernels take for a page.
class CpuMemory {
 public:
  // The address, and the bytes there: none in a dry run.
  std::pair<int64_t, std::byte*> allocate(int64_t bytes, bool dry) {
    const std::lock_guard lock(mutex_);
    AddressSpace& space = dry ? dry_ : real_;
    if (!dry && bytes > limit_) fail(bytes);
    const int64_t size = footprint(bytes), address = space.allocate(size);
    std::byte* data = nullptr;
    if (!dry) {
      if (space.end() <= limit_) data = bytes_at(address, size);
      if (!data) {
        space.free(address, size);
        fail(bytes);
      }
    }
    count(bytes);
    return {address, data};
  }

  void free(int64_t bytes, int64_t address, std::byte* data) {
    const std::lock_guard lock(mutex_);
    if (!kOneReservation) std::free(data);
    (data ? real_ : dry_).free(address, footprint(bytes));
    count(-bytes);
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak = stats_.live;
    stats_.peak_extent = extent();
  }
  void release_unused() {
    const std::lock_guard lock(mutex_);
    if (!kOneReservation) return;
    for (const auto& [address, bytes] : real_.gaps()) reservation_.drop(address, address + bytes);
    reservation_.drop(real_.end(), reservation_.size());
  }
  int64_t limit() {
    const std::lock_guard lock(mutex_);
    return limit_;
  }
  void set_limit(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = std::min(bytes, reservation_.size());
  }

 private:
  std::byte* bytes_at(int64_t address, int64_t size) {
    if (kOneReservation) return reservation_.data() + address;
    void* data = nullptr;
    return posix_memalign(&data, kAlignment, static_cast<size_t>(size)) == 0
               ? static_cast<std::byte*>(data)
               : nullptr;
  }

  void count(int64_t bytes) {
    stats_.live += bytes;
    stats_.peak = std::max(stats_.peak, stats_.live);
    stats_.peak_extent = std::max(stats_.peak_extent, extent());
  }
  int64_t extent() const { return real_.end() + dry_.end(); }

  [[noreturn]] void fail(int64_t bytes) const {
    throw OutOfMemory(current_op(), bytes, stats_.live, "--batch");
  }

  std::mutex mutex_;
  const Reservation reservation_{physical_memory()};
  int64_t limit_ = reservation_.size();
  AddressSpace real_, dry_;
  MemoryStats stats_;
};

CpuMemory& cpu_memory() {
  static auto* memory =
      new CpuMemory;  // never destroyed: tensors in static storage may outlive it otherwise
  return *memory;
}

}  // namespace

std::shared_ptr<Storage> Storage::allocate(int64_t bytes, Device device) {
  const auto [address, data] = cpu_memory().allocate(bytes, DryRun::active());
#ifndef NDEBUG
  if (data) std::memset(data, 0xFF, static_cast<size_t>(bytes));  // an unwritten value reads as NaN
#endif
  return std::shared_ptr<Storage>(new Storage(data, address, bytes, device));
}

Storage::~Storage() {
  cpu_memory().free(bytes_, address_, data_);
}

MemoryStats memory_stats(Device) {
  return cpu_memory().stats();
}
void reset_peak_memory(Device) {
  cpu_memory().reset_peak();
}
void release_unused_memory(Device) {
  cpu_memory().release_unused();
}
int64_t memory_limit(Device) {
  return cpu_memory().limit();
}
void set_memory_limit(int64_t bytes, Device) {
  cpu_memory().set_limit(bytes);
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
