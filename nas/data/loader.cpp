// The batch loader and its thread.
#include "nas/data/loader.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "engine/random.h"

namespace oche::nas {
namespace {

// The images and labels of a batch; augmentation(index) says what an image undergoes.
template <typename T, typename Draw>
HostBatch make_batch(const Dataset& set,
                     const ImageWriter<T>& writer,
                     std::span<const int64_t> indices,
                     const Draw& augmentation) {
  HostBatch batch;
  batch.n = static_cast<int64_t>(indices.size());
  batch.h = set.height, batch.w = set.width, batch.c = set.channels;
  std::vector<T> images(indices.size() * static_cast<size_t>(set.image_size()));
  T* out = images.data();
  for (const int64_t index : indices) {
    writer.write(index, augmentation(index), out);
    out += set.image_size();
    batch.labels.push_back(set.labels[static_cast<size_t>(index)]);
  }
  batch.images = std::move(images);
  return batch;
}

}  // namespace

HostBatch plain_batch(const Dataset& set, std::span<const int64_t> indices, DType dtype) {
  const auto plain = [](int64_t) { return Augmentation{}; };
  if (dtype == DType::kFloat64)
    return make_batch(set, ImageWriter<double>(set, {}), indices, plain);
  return make_batch(set, ImageWriter<float>(set, {}), indices, plain);
}

struct BatchLoader::Producer {
  Producer(const Dataset& from, std::vector<int64_t> images, const LoaderOptions& how)
      : set(from), indices(std::move(images)), options(how) {}

  template <typename T>
  void produce() {
    const ImageWriter<T> writer(set, options.augment);
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
      HostBatch batch = make_batch(set, writer, slice, [&](int64_t index) {
        return draw_augmentation(options.seed, options.stream, epoch, index, set, options.augment);
      });
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

  void run() noexcept {
    try {
      options.dtype == DType::kFloat64 ? produce<double>() : produce<float>();
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
  HostBatch batch = std::move(p.ready.front());
  p.ready.pop_front();
  p.changed.notify_all();
  return batch;
}

}  // namespace oche::nas
