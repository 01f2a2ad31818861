// What the engine asks of CUDA besides kernels: devices, memory, copies, events. No CUDA headers
// here.
// Every function throws cuda::Error with the failed call; those that take a context are ordered on
// its stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/cuda/context.h"

struct CUevent_st;  // what a cudaEvent_t points to

namespace oche::kernels::cuda {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct OutOfMemory : Error {
  using Error::Error;
};

// How many devices there are: 0 where there is no driver, and then no_device_reason() says why.
int device_count();
std::string no_device_reason();

struct DeviceProperties {
  std::string name;
  int major, minor;  // compute capability
  int multiprocessors;
  size_t total_bytes;
  size_t shared_bytes;  // the most that a block may ask for
  int64_t l2_bytes;
  int driver, runtime;  // versions, 1000 * major + 10 * minor
};
DeviceProperties device_properties(int device);

// The stream-ordered pool of the context's device. It keeps what is released, for the next request.
struct MemoryUse {
  uint64_t in_use, peak, reserved;  // bytes
};
MemoryUse memory_use(const CudaContext&);
void reset_peak(const CudaContext&);
void trim_pool(CudaContext&);  // waits, and returns what is not in use to the driver

// At least 256-byte aligned; nullptr for 0 bytes. Failing throws OutOfMemory.
void* allocate(CudaContext&, size_t bytes);
void release(CudaContext&, void*) noexcept;

void copy_to_device(CudaContext&, void* to, const void* from, size_t bytes);  // `from` is free then
void copy_to_host(CudaContext&, void* to, const void* from, size_t bytes);    // waits
void copy_on_device(CudaContext&, void* to, const void* from, size_t bytes);
void fill_bytes(CudaContext&, void* to, uint8_t value, size_t bytes);
void synchronize(CudaContext&);

// A moment in the work of a stream: what a context's stream had been given when it was recorded.
// Every context has a stream of its own, those of one device included; events order one after
// another.
class Event {
 public:
  Event();  // on the current device
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(CudaContext&);  // takes the place of an earlier moment
  void wait() const;          // the calling thread, until the moment has passed
  // What the context's stream is given from now on happens after the moment; nobody waits here.
  void delay(CudaContext&) const;
  // Milliseconds from this moment to `end`, for which it waits; both have been recorded.
  double milliseconds_to(const Event& end) const;

 private:
  CUevent_st* event_ = nullptr;
};

// `size` bytes of host memory that do not move, from which a device copies while the host goes on.
class PinnedBuffer {
 public:
  explicit PinnedBuffer(size_t size);
  ~PinnedBuffer();
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  void* data() { return data_; }
  const void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  size_t size_;
};

// Copies from.data()[offset, offset + bytes), which stays as it is until an event recorded
// afterwards has passed. Beyond the buffer: std::invalid_argument.
void copy_to_device_async(
    CudaContext&, void* to, const PinnedBuffer& from, size_t offset, size_t bytes);

}  // namespace oche::kernels::cuda
