// Batches as tensors on the default device. For the CPU a loader's thread makes them whole; for a
// CUDA device it gathers raw images, which are copied while the step before runs and made into a
// batch there (nas/data/device_batches.h). Either way they have the same bits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/tensor.h"
#include "nas/data/device_batches.h"
#include "nas/data/loader.h"

namespace oche::nas {

// The batches of a loader. `set` must outlive it.
class BatchFeed {
 public:
  // Takes what BatchLoader takes; whether images come raw is decided here.
  BatchFeed(const Dataset& set, std::vector<int64_t> indices, LoaderOptions options);

  // Waits for the loader. Rethrows what went wrong there.
  Batch next();

 private:
  std::optional<DeviceBatches> there_;  // where the device is not the CPU
  BatchLoader loader_;
};

// Images in their order, without augmentation, `batch` at a time; the last batch may be shorter.
class PlainFeed {
 public:
  // `set` and the memory of `indices` must outlive it.
  PlainFeed(const Dataset& set, std::span<const int64_t> indices, int64_t batch, DType dtype);

  // (n, height, width, channels); undefined after the last.
  Tensor next();

 private:
  std::span<const int64_t> take();
  void send();

  const Dataset& set_;
  std::span<const int64_t> left_;
  size_t batch_;
  DType dtype_;
  std::optional<DeviceBatches> there_;
};

}  // namespace oche::nas
