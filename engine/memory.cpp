// The count of what a device's buffers hold.
#include "engine/memory.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/op.h"

namespace oche {

std::pair<int64_t, std::byte*> DeviceMemory::allocate(int64_t bytes, bool dry) {
  const std::lock_guard lock(mutex_);
  if (!dry && bytes > current_limit()) fail(bytes);
  const auto [address, data] = take(bytes, dry);
  if (!dry && !data) fail(bytes);
  if (is_counted(data)) count(bytes);
  return {address, data};
}

void DeviceMemory::free(int64_t bytes, int64_t address, std::byte* data) {
  const std::lock_guard lock(mutex_);
  const bool counted = is_counted(data);
  give_back(bytes, address, data);
  if (counted) count(-bytes);
}

MemoryStats DeviceMemory::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}
void DeviceMemory::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak = stats_.live;
  stats_.peak_extent = extent();
}
void DeviceMemory::set_peak(const MemoryStats& earlier) {
  const std::lock_guard lock(mutex_);
  stats_.peak = std::max(stats_.live, earlier.peak);
  stats_.peak_extent = std::max(extent(), earlier.peak_extent);
}
void DeviceMemory::release_unused() {
  const std::lock_guard lock(mutex_);
  drop_unused();
}
int64_t DeviceMemory::limit() {
  const std::lock_guard lock(mutex_);
  return current_limit();
}
void DeviceMemory::set_limit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = std::min(bytes, capacity());
}

void DeviceMemory::count(int64_t bytes) {
  stats_.live += bytes;
  stats_.peak = std::max(stats_.peak, stats_.live);
  stats_.peak_extent = std::max(stats_.peak_extent, extent());
}

void DeviceMemory::fail(int64_t bytes) const {
  throw OutOfMemory(current_op(), bytes, stats_.live, "--batch");
}

}  // namespace oche
