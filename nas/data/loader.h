// Batches made ahead of their use by one background thread. The order never depends on timing:
// batch k of epoch e is a pure function of (seed, stream, e, k).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "engine/types.h"
#include "nas/data/augment.h"
#include "nas/data/dataset.h"

namespace oche::nas {

// Images as their data set has them, and what each of them is yet to undergo.
struct RawImages {
  std::variant<std::vector<uint8_t>, std::vector<float>> pixels;  // (n, h, w, c)
  std::vector<Augmentation> augmentations;                        // (n)
  bool operator==(const RawImages&) const = default;
};

struct HostBatch {
  std::variant<std::vector<float>, std::vector<double>, RawImages> images;  // (n, h, w, c)
  std::vector<int64_t> labels;  // (n), each in [0, classes) of the data set
  int64_t n = 0, h = 0, w = 0, c = 0;
  int64_t epoch = 0, step = 0;  // where in its loader's sequence the batch stands
};

struct LoaderOptions {
  int64_t batch = 64;
  uint64_t seed = 0;
  uint64_t stream = 0;  // tells apart the loaders of one run, such as module_id("search")
  AugmentOptions augment = {};
  DType dtype = DType::kFloat32;  // or kFloat64
  bool raw = false;               // RawImages instead, for a device that makes the rest of them
  // The first batch. A step beyond the epoch counts on into the following ones, so that a shorter
  // loader can be placed by the step of a longer one.
  int64_t epoch = 0, step = 0;
};

// The images named by `indices`, in this order, without augmentation: for evaluation. Throws
// std::invalid_argument for an image that the set does not have, and for a label beyond its
// classes: what goes to a device is not looked at again.
HostBatch plain_batch(const Dataset& set, std::span<const int64_t> indices, DType dtype);
// The same as RawImages.
HostBatch raw_batch(const Dataset& set, std::span<const int64_t> indices);

// An endless sequence of epochs, each a fresh permutation of `indices`; the last short batch of an
// epoch is dropped. `set` must outlive the loader.
class BatchLoader {
 public:
  static constexpr size_t kBatchesAhead = 3;
  // Held at once: those ahead, one being made, one handed out.
  static constexpr int64_t kMostBatches = kBatchesAhead + 2;

  BatchLoader(const Dataset& set, std::vector<int64_t> indices, const LoaderOptions& options);
  ~BatchLoader();  // stops and joins the thread
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // Waits for the next batch. Rethrows what went wrong while making it.
  HostBatch next();
  // The same batch if it is there already; does not wait and rethrows nothing.
  std::optional<HostBatch> try_next();

 private:
  struct Producer;
  std::unique_ptr<Producer> producer_;
};

}  // namespace oche::nas
