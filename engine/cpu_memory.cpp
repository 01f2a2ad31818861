// Buffers of the CPU.
#include <algorithm>
#include <cstdlib>

#include "engine/address_space.h"
#include "engine/memory.h"
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

// The addresses that a buffer takes. Large ones end in a few lines that nobody uses: most are a
// multiple of 4 KiB long, and without this the streams of one kernel would compete for the same
// sets of the first-level cache.
int64_t footprint(int64_t bytes) {
  constexpr int64_t kLarge = 16 * 1024, kShift = 9 * kAlignment;
  const int64_t shifted = bytes < kLarge ? bytes : bytes + kShift;
  return std::max(kAlignment, (shifted + kAlignment - 1) / kAlignment * kAlignment);
}

// All buffers side by side in one reservation: memory that was freed by tensors of one size serves
// those of any other, and pages stay with the process, since a page fault costs more than most
// kernels take for a page.
class CpuMemory final : public DeviceMemory {
 private:
  std::pair<int64_t, std::byte*> take(int64_t bytes, bool dry) override {
    AddressSpace& space = dry ? dry_ : real_;
    const int64_t size = footprint(bytes), address = space.allocate(size);
    std::byte* data = nullptr;
    if (!dry) {
      if (space.end() <= current_limit()) data = bytes_at(address, size);
      if (!data) space.free(address, size);
    }
    return {address, data};
  }
  void give_back(int64_t bytes, int64_t address, std::byte* data) override {
    if (!kOneReservation) std::free(data);
    (data ? real_ : dry_).free(address, footprint(bytes));
  }
  int64_t extent() const override { return real_.end() + dry_.end(); }
  void drop_unused() override {
    if (!kOneReservation) return;
    for (const auto& [address, bytes] : real_.gaps()) reservation_.drop(address, address + bytes);
    reservation_.drop(real_.end(), reservation_.size());
  }
  int64_t capacity() const override { return reservation_.size(); }

  std::byte* bytes_at(int64_t address, int64_t size) {
    if (kOneReservation) return reservation_.data() + address;
    void* data = nullptr;
    return posix_memalign(&data, kAlignment, static_cast<size_t>(size)) == 0
               ? static_cast<std::byte*>(data)
               : nullptr;
  }

  const Reservation reservation_{physical_memory()};
  AddressSpace real_, dry_;
};

}  // namespace

DeviceMemory& cpu_memory() {
  static auto* memory = new CpuMemory;
  return *memory;
}

}  // namespace oche
