// The memory of one device, as Storage takes it: addresses, limits, and the count of what is held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "engine/storage.h"

namespace oche {

// Every call may come from any thread. In a dry run (`dry`) bytes are counted, and there is no
// data.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // Where a buffer lies, and its bytes. Throws OutOfMemory.
  std::pair<int64_t, std::byte*> allocate(int64_t bytes, bool dry);
  void free(int64_t bytes, int64_t address, std::byte* data);

  MemoryStats stats();
  void reset_peak();
  void set_peak(const MemoryStats& earlier);
  void release_unused();
  int64_t limit();
  void set_limit(int64_t bytes);

 protected:
  virtual std::pair<int64_t, std::byte*> take(int64_t bytes, bool dry) = 0;  // data null: no room
  virtual void give_back(int64_t bytes, int64_t address, std::byte* data) = 0;
  // False for what lies in a buffer that is counted itself.
  virtual bool is_counted(const std::byte*) const { return true; }
  virtual int64_t extent() const = 0;  // see MemoryStats::peak_extent
  virtual void drop_unused() = 0;
  virtual int64_t capacity() const = 0;  // the most that the limit can be
  int64_t current_limit() const { return limit_ < 0 ? capacity() : limit_; }

 private:
  void count(int64_t bytes);
  [[noreturn]] void fail(int64_t bytes) const;

  std::mutex mutex_;
  int64_t limit_ = -1;  // negative: capacity()
  MemoryStats stats_;
};

// They are never destroyed: tensors in static storage may outlive everything else.
DeviceMemory& cpu_memory();
// Throws where there is no such device.
DeviceMemory& cuda_memory(int index);

}  // namespace oche
