// The devices of this process: which there are, where new tensors go, and bytes between them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/types.h"
#include "kernels/context.h"

namespace oche {

// Where tensors are made unless a device is named: at first the CPU. One choice for the process,
// made before its tensors are. Throws DeviceError where there is no such device.
Device default_device();
void set_default_device(Device device);

// How many CUDA devices there are; where there are none, why_no_cuda() says so in a few words.
int cuda_device_count();
std::string why_no_cuda();
// The model, such as "NVIDIA H100 PCIe (compute capability 9.0)".
std::string cuda_device_name(int index);
// Name and version of the libraries that may compute in place of our kernels on a CUDA device, of
// those that are installed and not turned off. Loads them.
std::vector<std::pair<std::string, std::string>> cuda_libraries();
// Made at the first call. Throws DeviceError where there is no such device.
kernels::CudaContext& cuda_context(int index);

// Waits for all that was asked of a device; nothing to do for the CPU.
void synchronize(Device device);
// Bytes within or between devices. On return `from` may be overwritten, and what went to the CPU
// has arrived.
void copy_bytes(Device to_device, void* to, Device from_device, const void* from, int64_t bytes);
void fill_bytes(Device device, void* to, uint8_t value, int64_t bytes);

}  // namespace oche
