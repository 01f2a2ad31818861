// Batches that a CUDA device makes of raw images: copied beside its work, then cropped, mirrored,
// normalised and cut out there.
#pragma once

#include <cstdint>
#include <deque>

#include "engine/upload.h"
#include "nas/data/batch.h"
#include "nas/data/dataset.h"
#include "nas/data/loader.h"

namespace oche::nas {

class DeviceBatches {
 public:
  // For batches of at most so many images of `set`, with squares of side `cutout`; `dtype` is f32
  // or f64. Throws OutOfMemory, or std::invalid_argument where the device is not a CUDA device.
  DeviceBatches(const Dataset& set, int64_t most, int64_t cutout, DType dtype, Device device);

  // What one takes of the host's memory, page-locked, and of the device's.
  static int64_t host_bytes(const DatasetShape& set, int64_t most);
  static int64_t device_bytes(const DatasetShape& set, int64_t most, DType dtype);

  // How many have been sent and not received, at most two.
  int64_t pending() const { return upload_.pending(); }
  // Copies a batch of RawImages; on return it may go.
  void send(const HostBatch& raw);
  // The batch sent first of those pending. The device has been asked to make it, nobody waits.
  Batch receive();

 private:
  // Where in a buffer the parts of a batch begin.
  struct Layout {
    explicit Layout(int64_t most);
    int64_t augmentations, pixels;  // after the labels
  };

  const int64_t most_, height_, width_, channels_, cutout_;
  const bool bytes_;  // the pixels are, else floats
  const Layout layout_;
  Tensor normalisation_;  // levels or scales, see Normalisation
  DType dtype_;
  Upload upload_;
  std::deque<int64_t> sizes_;  // images of each that is pending
};

}  // namespace oche::nas
