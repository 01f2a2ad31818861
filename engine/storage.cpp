// Buffers and their accounting.
#include "engine/storage.h"

#include "engine/device.h"
#include "engine/memory.h"

namespace oche {
namespace {

thread_local int dry_runs = 0;

DeviceMemory& memory_of(Device device) {
  return device.type == DeviceType::kCpu ? cpu_memory() : cuda_memory(device.index);
}

}  // namespace

std::shared_ptr<Storage> Storage::allocate(int64_t bytes, Device device) {
  const auto [address, data] = memory_of(device).allocate(bytes, DryRun::active());
#ifndef NDEBUG
  if (data) fill_bytes(device, data, 0xFF, bytes);  // an unwritten value reads as NaN
#endif
  return std::shared_ptr<Storage>(new Storage(data, address, bytes, device));
}

Storage::~Storage() {
  memory_of(device_).free(bytes_, address_, data_);
}

MemoryStats memory_stats(Device device) {
  return memory_of(device).stats();
}
void reset_peak_memory(Device device) {
  memory_of(device).reset_peak();
}
void set_peak_memory(const MemoryStats& earlier, Device device) {
  memory_of(device).set_peak(earlier);
}
void release_unused_memory(Device device) {
  memory_of(device).release_unused();
}
int64_t memory_limit(Device device) {
  return memory_of(device).limit();
}
void set_memory_limit(int64_t bytes, Device device) {
  memory_of(device).set_limit(bytes);
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
