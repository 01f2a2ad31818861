// What a search will take.
#include <algorithm>
#include <cmath>

#include "engine/op.h"
#include "nas/data/loader.h"
#include "nas/search.h"
#include "nas/stages.h"

namespace oche::nas {
namespace {

// Of stage `i`, whose edges may have kept their costliest candidates.
Space largest_space(const SearchConfig& c, int64_t i) {
  Space space = make_space(c.space, c.steps);
  const int64_t count = stage_candidates(c, i);
  space.normal = shrunk(space.normal, space.normal.sizes(), count);
  space.reduce = shrunk(space.reduce, space.reduce.sizes(), count);
  return space;
}

struct StageCost {
  int64_t weights, alphas, macs_per_image;
  MemoryStats memory;
};
StageCost estimate_stage(const SearchConfig& c,
                         Space space,
                         const DatasetShape& set,
                         int64_t device_bytes) {
  const DryRun dry_run;
  SearchState state(c, std::move(space), set.channels, set.classes);
  const Batch batch{Tensor::empty({c.batch, set.height, set.width, set.channels}, c.dtype),
                    Tensor::empty({c.batch}, DType::kInt64)};
  const int64_t macs_before = mac_count();
  state.network.forward(batch.images, state.mixtures(), {});
  const int64_t macs = (mac_count() - macs_before) / c.batch;

  const Batch validation{Tensor::empty(batch.images.shape(), c.dtype),
                         Tensor::empty({c.batch}, DType::kInt64)};
  const Tensor held = device_bytes == 0 ? Tensor() : Tensor::empty({device_bytes}, DType::kUInt8);
  reset_peak_memory();
  for (int64_t step = 0; step < 2; ++step) state.step(batch, validation, c.lr, step);
  return {state.network.weights().numel(), state.arch.alphas().numel(), macs, memory_stats()};
}

}  // namespace

SearchCost estimate_cost(const SearchConfig& c, const DatasetShape& set) {
  validate(c);
  const bool on_cpu = default_device() == Device();
  constexpr int64_t kFeeds = 2;
  const int64_t there = on_cpu ? 0 : kFeeds * DeviceBatches::device_bytes(set, c.batch, c.dtype);
  SearchCost cost{};
  int64_t extent = 0;
  for (int64_t i = 0; i < stage_count(c); ++i) {
    const StageCost s = estimate_stage(stage_config(c, i), largest_space(c, i), set, there);
    cost.weights = std::max(cost.weights, s.weights);
    cost.alphas = std::max(cost.alphas, s.alphas);
    cost.macs_per_image = std::max(cost.macs_per_image, s.macs_per_image);
    cost.tensor_bytes = std::max(cost.tensor_bytes, s.memory.peak);
    extent = std::max(extent, s.memory.peak_extent);
  }
  const int64_t pixels = set.height * set.width * set.channels;
  const int64_t element = on_cpu ? size_of(c.dtype) : set.element_bytes;
  int64_t batches = kFeeds * BatchLoader::kMostBatches * c.batch * pixels * element;
  if (!on_cpu) batches += kFeeds * DeviceBatches::host_bytes(set, c.batch);
  const int64_t used = c.train_size > 0 ? std::min(c.train_size, set.images) : set.images;
  const double fraction = one_level(c) ? 1 : c.train_fraction;
  const auto train_images =
      static_cast<int64_t>(std::llround(fraction * static_cast<double>(used)));
  cost.memory_bytes = (on_cpu ? extent : 0) + set.bytes() + batches;
  cost.device_bytes = on_cpu ? 0 : extent;
  cost.steps = c.epochs * (train_images / c.batch);
  return cost;
}

}  // namespace oche::nas
