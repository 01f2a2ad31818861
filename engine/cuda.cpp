// CUDA devices: their contexts, and copies.
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "engine/cuda_memory.h"
#include "engine/device.h"
#include "engine/error.h"
#include "kernels/cuda/libraries.h"

namespace oche {
namespace {

namespace cuda = kernels::cuda;

bool is_cpu(Device device) {
  return device.type == DeviceType::kCpu;
}

// What make(index) gave at the first call with this index. Never destroyed: buffers in static
// storage may outlive everything else.
template <typename T, typename Make>
T& kept(int index, const Make& make) {
  static std::mutex mutex;
  static auto* all = new std::map<int, std::unique_ptr<T>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<T>& one = (*all)[index];
  if (!one) one = make(index);
  return *one;
}

}  // namespace

int cuda_device_count() {
  return cuda::device_count();
}
std::string why_no_cuda() {
  return cuda::no_device_reason();
}
std::string cuda_device_name(int index) {
  const cuda::DeviceProperties p = cuda::device_properties(index);
  return fmt::format("{} (compute capability {}.{})", p.name, p.major, p.minor);
}
std::vector<std::pair<std::string, std::string>> cuda_libraries() {
  std::vector<std::pair<std::string, std::string>> found;
  if (cuda::library_use_of_environment() == cuda::LibraryUse::kNone) return found;
  for (const cuda::LibraryState& state : {cuda::cublas_state(), cuda::cudnn_state()}) {
    if (state.problem.empty()) found.emplace_back(state.name, state.version);
  }
  return found;
}

kernels::CudaContext& cuda_context(int index) {
  return kept<kernels::CudaContext>(index, [](int i) {
    try {
      return std::make_unique<kernels::CudaContext>(i);
    } catch (const std::invalid_argument& e) {
      throw DeviceError(e.what());
    }
  });
}
CudaMemory& cuda_device_memory(int index) {
  return kept<CudaMemory>(index, [](int i) { return std::make_unique<CudaMemory>(i); });
}
DeviceMemory& cuda_memory(int index) {
  return cuda_device_memory(index);
}

void synchronize(Device device) {
  if (!is_cpu(device)) cuda::synchronize(cuda_context(device.index));
}

void copy_bytes(Device to_device, void* to, Device from_device, const void* from, int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  if (size == 0) return;
  if (is_cpu(to_device) && is_cpu(from_device)) {
    std::memcpy(to, from, size);
  } else if (is_cpu(to_device)) {
    cuda::copy_to_host(cuda_context(from_device.index), to, from, size);
  } else if (is_cpu(from_device)) {
    cuda::copy_to_device(cuda_context(to_device.index), to, from, size);
  } else {
    if (to_device != from_device) synchronize(from_device);
    cuda::copy_on_device(cuda_context(to_device.index), to, from, size);
  }
}
void fill_bytes(Device device, void* to, uint8_t value, int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  if (size == 0) return;
  if (is_cpu(device)) {
    std::memset(to, value, size);
  } else {
    cuda::fill_bytes(cuda_context(device.index), to, value, size);
  }
}

}  // namespace oche
