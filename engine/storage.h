// Buffers and their accounting: every byte that tensors hold on a device is counted, live and peak.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/device.h"
#include "engine/types.h"

namespace oche {

// One buffer on one device, 64-byte aligned, its contents undefined at first (in debug builds:
// NaN).
class Storage {
 public:
  // Throws OutOfMemory, naming the op under way (see op.h), the bytes asked and the bytes held.
  static std::shared_ptr<Storage> allocate(int64_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }  // nullptr in a dry run
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  // Counts writes, so that a tensor saved for backward and overwritten since is noticed.
  uint32_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  Storage(std::byte* data, int64_t address, int64_t bytes, Device device)
      : data_(data), address_(address), bytes_(bytes), device_(device) {}

  std::byte* data_;
  int64_t address_;  // within the memory of its device
  int64_t bytes_;
  Device device_;
  uint32_t version_ = 0;
};

struct MemoryStats {
  int64_t live = 0;  // bytes held by tensors now
  int64_t peak = 0;  // the most held at once since the last reset
  // The most addresses taken at once since then, gaps between buffers included: what tensors cost
  // the process.
  int64_t peak_extent = 0;
};
MemoryStats memory_stats(Device device = default_device());
void reset_peak_memory(Device device = default_device());
// Makes the peaks those of `earlier`, as if what came since had not been, but for what is held now.
void set_peak_memory(const MemoryStats& earlier, Device device = default_device());
// Gives memory that no tensor holds back to the system. Until then it is kept for the next tensors.
void release_unused_memory(Device device = default_device());

// The bytes that tensors may take; at first, and at most, all memory of the device. A larger
// allocation throws OutOfMemory. A dry run may take more.
int64_t memory_limit(Device device = default_device());
void set_memory_limit(int64_t bytes, Device device = default_device());

// While one lives, this thread's storages are counted but not allocated, and ops infer shapes but
// do not run: a step can be walked through for its peak memory and its multiply-adds without
// touching data.
class DryRun {
 public:
  DryRun();
  ~DryRun();
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;

  static bool active();
};

}  // namespace oche
