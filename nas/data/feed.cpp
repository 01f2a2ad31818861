// Batches as tensors on the default device.
#include "nas/data/feed.h"

#include <algorithm>
#include <utility>

#include "engine/device.h"

namespace oche::nas {
namespace {

Tensor images_of(const HostBatch& host) {
  const Shape shape{host.n, host.h, host.w, host.c};
  const auto* single = std::get_if<std::vector<float>>(&host.images);
  return single ? Tensor::from(*single, shape)
                : Tensor::from(std::get<std::vector<double>>(host.images), shape);
}

bool makes_batches(Device device) {
  return device.type == DeviceType::kCuda;
}

LoaderOptions for_default_device(LoaderOptions options) {
  options.raw = makes_batches(default_device());
  return options;
}

}  // namespace

BatchFeed::BatchFeed(const Dataset& set, std::vector<int64_t> indices, LoaderOptions options)
    : loader_(set, std::move(indices), for_default_device(options)) {
  if (makes_batches(default_device())) {
    there_.emplace(set, options.batch, options.augment.cutout, options.dtype, default_device());
  }
}

Batch BatchFeed::next() {
  if (!there_) {
    const HostBatch host = loader_.next();
    return {images_of(host), Tensor::from(host.labels, {host.n})};
  }
  if (there_->pending() == 0) there_->send(loader_.next());
  Batch batch = there_->receive();
  // The following one, while the device works on this: unless the loader is what all wait for.
  if (const auto following = loader_.try_next()) there_->send(*following);
  return batch;
}

PlainFeed::PlainFeed(const Dataset& set,
                     std::span<const int64_t> indices,
                     int64_t batch,
                     DType dtype)
    : set_(set), left_(indices), batch_(static_cast<size_t>(batch)), dtype_(dtype) {
  if (!makes_batches(default_device())) return;
  there_.emplace(set, batch, 0, dtype, default_device());
  send();
}

std::span<const int64_t> PlainFeed::take() {
  const auto part = left_.first(std::min(batch_, left_.size()));
  left_ = left_.subspan(part.size());
  return part;
}

void PlainFeed::send() {
  if (!left_.empty()) there_->send(raw_batch(set_, take()));
}

Tensor PlainFeed::next() {
  if (!there_) return left_.empty() ? Tensor() : images_of(plain_batch(set_, take(), dtype_));
  if (there_->pending() == 0) return {};
  Tensor images = there_->receive().images;
  send();
  return images;
}

}  // namespace oche::nas
