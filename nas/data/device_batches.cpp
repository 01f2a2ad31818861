// Batches that a CUDA device makes of raw images.
#include "nas/data/device_batches.h"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>

#include "engine/dispatch.h"
#include "kernels/augment.h"

namespace oche::nas {
namespace {

constexpr int64_t kLevels = 256;  // values of a byte

Tensor normalisation_of(const Dataset& set, DType dtype, Device device) {
  if (!set.values.empty()) {
    return Tensor::from(Normalisation<double>(set).scales, {set.channels, 2}, device);
  }
  const Shape shape{set.channels, kLevels};
  return dtype == DType::kFloat64 ? Tensor::from(Normalisation<double>(set).levels, shape, device)
                                  : Tensor::from(Normalisation<float>(set).levels, shape, device);
}

int64_t pixel_bytes(const Dataset& set) {
  return set.values.empty() ? 1 : sizeof(float);
}

}  // namespace

DeviceBatches::Layout::Layout(int64_t most) {
  constexpr int64_t kAlignment = 256;
  augmentations = most * int64_t{sizeof(int64_t)};
  pixels = augmentations + most * int64_t{sizeof(Augmentation)};
  pixels = (pixels + kAlignment - 1) / kAlignment * kAlignment;
}

int64_t DeviceBatches::host_bytes(const DatasetShape& set, int64_t most) {
  const int64_t image = set.height * set.width * set.channels * set.element_bytes;
  return Upload::kSlots * (Layout(most).pixels + most * image);
}

int64_t DeviceBatches::device_bytes(const DatasetShape& set, int64_t most, DType dtype) {
  const bool floats = set.element_bytes > 1;
  const int64_t normalisation =
      floats ? 2 * size_of(DType::kFloat64) : kLevels * size_of(dtype);  // a channel
  return host_bytes(set, most) + set.channels * normalisation;
}

DeviceBatches::DeviceBatches(
    const Dataset& set, int64_t most, int64_t cutout, DType dtype, Device device)
    : most_(most),
      height_(set.height),
      width_(set.width),
      channels_(set.channels),
      cutout_(cutout),
      bytes_(set.values.empty()),
      layout_(most),
      normalisation_(normalisation_of(set, dtype, device)),
      dtype_(dtype),
      upload_(make_upload_driver(device,
                                 layout_.pixels + most * set.image_size() * pixel_bytes(set))) {}

void DeviceBatches::send(const HostBatch& raw) {
  const auto& images = std::get<RawImages>(raw.images);
  if (raw.n > most_) {
    throw std::invalid_argument(
        fmt::format("batch of {} images; expected at most {}", raw.n, most_));
  }
  const auto put = [](std::byte* to, const auto& values) {
    const size_t bytes = values.size() * sizeof values[0];
    if (bytes > 0) std::memcpy(to, values.data(), bytes);
    return static_cast<int64_t>(bytes);
  };
  std::visit(
      [&](const auto& pixels) {
        const int64_t bytes = std::ssize(pixels) * int64_t{sizeof pixels[0]};
        upload_.send(layout_.pixels + bytes, [&](std::byte* to) {
          put(to, raw.labels);
          put(to + layout_.augmentations, images.augmentations);
          put(to + layout_.pixels, pixels);
        });
      },
      images.pixels);
  sizes_.push_back(raw.n);
}

Batch DeviceBatches::receive() {
  const int64_t n = sizes_.at(0);
  const Device device = normalisation_.device();
  Batch batch{Tensor::empty({n, height_, width_, channels_}, dtype_, device),
              Tensor::empty({n}, DType::kInt64, device)};
  const kernels::AugmentShape shape{n, height_, width_, channels_, cutout_};
  upload_.receive([&](const std::byte* from) {
    const auto* what = reinterpret_cast<const Augmentation*>(from + layout_.augmentations);
    const std::byte* pixels = from + layout_.pixels;
    dispatch(batch.images, [&]<typename T>(auto& ctx) {
      T* out = batch.images.mutable_data<T>();
      if (bytes_) {
        kernels::augment<T>(ctx,
                            shape,
                            nullptr,
                            what,
                            reinterpret_cast<const uint8_t*>(pixels),
                            normalisation_.data<T>(),
                            out);
      } else {
        kernels::augment<T>(ctx,
                            shape,
                            nullptr,
                            what,
                            reinterpret_cast<const float*>(pixels),
                            normalisation_.data<double>(),
                            out);
      }
    });
    copy_bytes(
        device, batch.labels.mutable_data<int64_t>(), device, from, n * int64_t{sizeof(int64_t)});
  });
  sizes_.pop_front();
  return batch;
}

}  // namespace oche::nas
