// Uploads to CUDA devices: page-locked memory, a stream for the copies, events between that and the
// stream of the kernels.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <stdexcept>

#include "engine/device.h"
#include "engine/tensor.h"
#include "engine/upload.h"
#include "kernels/cuda/runtime.h"

namespace oche {
namespace {

namespace cuda = kernels::cuda;

class CudaUpload final : public UploadDriver {
 public:
  CudaUpload(int index, int64_t bytes)
      : work_(cuda_context(index)), copies_(index), slots_{Slot(index, bytes), Slot(index, bytes)} {
    for (Slot& slot : slots_) slot.used.record(work_);  // its memory is there from then on
  }
  ~CudaUpload() override {
    try {
      for (Slot& slot : slots_) {
        slot.copied.delay(work_);  // the memory of the device returns in the order of its work,
        slot.copied.wait();        // that of the host at once
      }
    } catch (const cuda::Error& e) {
      fmt::print(stderr, "upload: {}\n", e.what());
    }
  }

  std::byte* on_host(int slot) override {
    return static_cast<std::byte*>(slots_.at(slot).host.data());
  }
  const std::byte* on_device(int slot) override {
    return reinterpret_cast<const std::byte*>(slots_.at(slot).device.data<uint8_t>());
  }
  void host_awaits_copy(int slot) override { slots_.at(slot).copied.wait(); }
  void copies_await_use(int slot) override { slots_.at(slot).used.delay(copies_); }
  void copy(int slot, int64_t bytes) override {
    Slot& s = slots_.at(slot);
    cuda::copy_to_device_async(
        copies_, s.device.mutable_data<uint8_t>(), s.host, 0, static_cast<size_t>(bytes));
    s.copied.record(copies_);
  }
  void work_awaits_copy(int slot) override { slots_.at(slot).copied.delay(work_); }
  void mark_use(int slot) override { slots_.at(slot).used.record(work_); }

 private:
  struct Slot {
    Slot(int index, int64_t bytes)
        : host(static_cast<size_t>(bytes)),
          device(Tensor::empty({bytes}, DType::kUInt8, {DeviceType::kCuda, index})) {}

    cuda::PinnedBuffer host;
    Tensor device;
    cuda::Event copied, used;
  };

  kernels::CudaContext& work_;
  kernels::CudaContext copies_;
  std::array<Slot, Upload::kSlots> slots_;
};

}  // namespace

std::unique_ptr<UploadDriver> make_upload_driver(Device device, int64_t bytes) {
  if (device.type != DeviceType::kCuda) {
    throw std::invalid_argument(
        fmt::format("upload: to {}; expected a CUDA device", to_string(device)));
  }
  return std::make_unique<CudaUpload>(device.index, bytes);
}

}  // namespace oche
