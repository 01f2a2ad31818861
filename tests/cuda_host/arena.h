// Where the device's memory lies in the host's. Except under sanitizers, which want heap blocks, it
// can be touched only by kernels and copies: code of the host that reads through a pointer to it
// stops there, as it would with a device.
#pragma once

#include <cstddef>

namespace oche::cuda_host {

// 256-byte aligned; nullptr when there is no room.
void* arena_allocate(size_t bytes);
void arena_free(void* p, size_t bytes);

// While one lives, the memory can be touched.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace oche::cuda_host
