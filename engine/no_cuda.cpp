// The devices of a build without the CUDA back end: the CPU.
#include <fmt/format.h>

#include <cstring>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/memory.h"

namespace oche {
namespace {

[[noreturn]] void fail(int index) {
  throw DeviceError(fmt::format("cuda:{}: {}", index, why_no_cuda()));
}

}  // namespace

int cuda_device_count() {
  return 0;
}
std::string why_no_cuda() {
  return "this build has no CUDA back end";
}
std::string cuda_device_name(int index) {
  fail(index);
}
std::vector<std::pair<std::string, std::string>> cuda_libraries() {
  return {};
}
kernels::CudaContext& cuda_context(int index) {
  fail(index);
}
DeviceMemory& cuda_memory(int index) {
  fail(index);
}

void synchronize(Device) {}
void copy_bytes(Device, void* to, Device, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}
void fill_bytes(Device, void* to, uint8_t value, int64_t bytes) {
  if (bytes > 0) std::memset(to, value, static_cast<size_t>(bytes));
}

}  // namespace oche
