// CUDA devices: their contexts, their memory, and copies.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "engine/device.h"
#include "engine/error.h"
#include "engine/memory.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/runtime.h"

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

// Buffers from the stream-ordered pool of a device.
class CudaMemory final : public DeviceMemory {
 public:
  explicit CudaMemory(int index)
      : context_(cuda_context(index)),
        capacity_(static_cast<int64_t>(cuda::device_properties(index).total_bytes)) {}

 private:
  static int64_t footprint(int64_t bytes) {
    constexpr int64_t kAlignment = 512;  // the pool's
    return std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  }

  std::pair<int64_t, std::byte*> take(int64_t bytes, bool dry) override {
    const int64_t size = footprint(bytes);
    void* data = nullptr;
    if (!dry && extent_ + size <= current_limit()) {
      try {
        data = cuda::allocate(context_, static_cast<size_t>(size));
      } catch (const cuda::OutOfMemory&) {
        data = nullptr;  // the caller says so, with the op and what tensors hold
      }
    }
    if (dry || data) extent_ += size;
    return {0, static_cast<std::byte*>(data)};
  }
  void give_back(int64_t bytes, int64_t, std::byte* data) override {
    cuda::release(context_, data);
    extent_ -= footprint(bytes);
  }
  int64_t extent() const override { return extent_; }
  void drop_unused() override { cuda::trim_pool(context_); }
  int64_t capacity() const override { return capacity_; }

  kernels::CudaContext& context_;
  const int64_t capacity_;
  int64_t extent_ = 0;
};

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
DeviceMemory& cuda_memory(int index) {
  return kept<CudaMemory>(index, [](int i) { return std::make_unique<CudaMemory>(i); });
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
