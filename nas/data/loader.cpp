// The batch loader and its thread.
#include "nas/data/loader.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/random.h"

namespace oche::nas {
namespace {

using Images = decltype(HostBatch::images);
using Augmentations = std::vector<Augmentation>;
using MakeImages = std::function<Images(std::span<const int64_t>, Augmentations)>;

template <typename T>
MakeImages finished_images(const Dataset& set, const AugmentOptions& options) {
  return [&set, writer = ImageWriter<T>(set, options)](std::span<const int64_t> indices,
                                                       const Augmentations& augmentations) {
    std::vector<T> images(indices.size() * static_cast<size_t>(set.image_size()));
    writer.write(indices, augmentations, images.data());
    return images;
  };
}

template <typename Element>
std::vector<Element> gathered(const std::vector<Element>& all,
                              std::span<const int64_t> indices,
                              const Dataset& set) {
  std::vector<Element> images;
  images.reserve(indices.size() * static_cast<size_t>(set.image_size()));
  for (const int64_t index : indices) {
    check_index(set, index);
    const auto first = all.begin() + index * set.image_size();
    images.insert(images.end(), first, first + set.image_size());
  }
  return images;
}

MakeImages raw_images(const Dataset& set) {
  return [&set](std::span<const int64_t> indices, Augmentations augmentations) {
    RawImages images;
    images.augmentations = std::move(augmentations);
    if (set.values.empty()) {
      images.pixels = gathered(set.pixels, indices, set);
    } else {
      images.pixels = gathered(set.values, indices, set);
    }
    return images;
  };
}

MakeImages image_maker(const Dataset& set, const LoaderOptions& options) {
  if (options.raw) return raw_images(set);
  return options.dtype == DType::kFloat64 ? finished_images<double>(set, options.augment)
                                          : finished_images<float>(set, options.augment);
}

HostBatch make_batch(const Dataset& set,
                     std::span<const int64_t> indices,
                     Augmentations augmentations,
                     const MakeImages& make_images) {
  HostBatch batch;
  batch.images = make_images(indices, std::move(augmentations));
  batch.n = std::ssize(indices);
  batch.h = set.height, batch.w = set.width, batch.c = set.channels;
  for (const int64_t index : indices) {
    const int64_t label = set.labels[static_cast<size_t>(index)];
    if (label < 0 || label >= set.classes) {
      throw std::invalid_argument(fmt::format(
          "image {} of {}: label {} is outside [0, {})", index, set.name, label, set.classes));
    }
    batch.labels.push_back(label);
  }
  return batch;
}

HostBatch unaugmented(const Dataset& set,
                      std::span<const int64_t> indices,
                      const MakeImages& make_images) {
  return make_batch(set, indices, Augmentations(indices.size()), make_images);
}

}  // namespace

HostBatch plain_batch(const Dataset& set, std::span<const int64_t> indices, DType dtype) {
  return unaugmented(set, indices, image_maker(set, {.dtype = dtype}));
}
HostBatch raw_batch(const Dataset& set, std::span<const int64_t> indices) {
  return unaugmented(set, indices, raw_images(set));
}

struct BatchLoader::Producer {
  Producer(const Dataset& from, std::vector<int64_t> images, const LoaderOptions& how)
      : set(from), indices(std::move(images)), options(how) {}

  void produce() {
    const MakeImages make_images = image_maker(set, options);
    int64_t epoch = options.epoch + options.step / batches_per_epoch;
    int64_t step = options.step % batches_per_epoch;
    std::vector<int64_t> order;
    while (true) {
      if (order.empty()) {
        order = shuffled_indices(
            options.seed, Purpose::kShuffle, epoch, std::ssize(indices), options.stream);
        for (int64_t& position : order) position = indices[static_cast<size_t>(position)];
      }
      const auto slice = std::span(order).subspan(static_cast<size_t>(step * options.batch),
                                                  static_cast<size_t>(options.batch));
      Augmentations augmentations;
      for (const int64_t index : slice) {
        augmentations.push_back(
            draw_augmentation(options.seed, options.stream, epoch, index, set, options.augment));
      }
      HostBatch batch = make_batch(set, slice, std::move(augmentations), make_images);
      batch.epoch = epoch;
      batch.step = step;
      if (!push(std::move(batch))) return;
      if (++step == batches_per_epoch) {
        step = 0;
        ++epoch;
        order.clear();
      }
    }
  }

  // Waits for room; false when the loader is being destroyed.
  bool push(HostBatch batch) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return stop || ready.size() < BatchLoader::kBatchesAhead; });
    if (stop) return false;
    ready.push_back(std::move(batch));
    changed.notify_all();
    return true;
  }

  // Of those that are ready there is one; the caller holds the mutex.
  HostBatch pop() {
    HostBatch batch = std::move(ready.front());
    ready.pop_front();
    changed.notify_all();
    return batch;
  }

  void run() noexcept {
    try {
      produce();
    } catch (...) {
      const std::scoped_lock lock(mutex);
      failure = std::current_exception();
      changed.notify_all();
    }
  }

  const Dataset& set;
  const std::vector<int64_t> indices;
  const LoaderOptions options;
  const int64_t batches_per_epoch = std::ssize(indices) / options.batch;

  std::mutex mutex;
  std::condition_variable changed;  // `ready`, `failure` or `stop`
  std::deque<HostBatch> ready;
  std::exception_ptr failure;
  bool stop = false;
  std::thread thread;
};

BatchLoader::BatchLoader(const Dataset& set,
                         std::vector<int64_t> indices,
                         const LoaderOptions& options) {
  if (options.batch < 1 || options.batch > std::ssize(indices)) {
    throw std::invalid_argument(
        fmt::format("--batch: {}; expected 1 <= batch <= {}, the images of this part of {}",
                    options.batch,
                    indices.size(),
                    set.name));
  }
  if (!is_floating(options.dtype)) {
    throw std::invalid_argument(
        fmt::format("loader: dtype {}; expected f32 or f64", to_string(options.dtype)));
  }
  if (options.epoch < 0 || options.step < 0) {
    throw std::invalid_argument(fmt::format(
        "loader: start at epoch {}, step {}; expected both >= 0", options.epoch, options.step));
  }
  producer_ = std::make_unique<Producer>(set, std::move(indices), options);
  producer_->thread = std::thread([p = producer_.get()] { p->run(); });
}

BatchLoader::~BatchLoader() {
  {
    const std::scoped_lock lock(producer_->mutex);
    producer_->stop = true;
  }
  producer_->changed.notify_all();
  producer_->thread.join();
}

HostBatch BatchLoader::next() {
  Producer& p = *producer_;
  std::unique_lock lock(p.mutex);
  p.changed.wait(lock, [&] { return p.failure || !p.ready.empty(); });
  if (p.ready.empty()) std::rethrow_exception(p.failure);
  return p.pop();
}

std::optional<HostBatch> BatchLoader::try_next() {
  const std::scoped_lock lock(producer_->mutex);
  if (producer_->ready.empty()) return std::nullopt;
  return producer_->pop();
}

}  // namespace oche::nas
