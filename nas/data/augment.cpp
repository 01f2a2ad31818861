// Draws and applies the augmentation of an image.
#include "nas/data/augment.h"

#include <fmt/format.h>

#include <iterator>
#include <stdexcept>

#include "engine/random.h"

namespace oche::nas {
Augmentation draw_augmentation(uint64_t seed,
                               uint64_t stream,
                               int64_t epoch,
                               int64_t index,
                               const Dataset& set,
                               const AugmentOptions& options) {
  RandomWords words(random_key(seed, stream, Purpose::kAugment), epoch, index);
  const auto below = [&](int64_t bound) {
    return static_cast<int64_t>(words.below(static_cast<uint32_t>(bound)));
  };
  Augmentation a;
  a.cutout_y = below(set.height);
  a.cutout_x = below(set.width);
  const int64_t margin_y = crop_margin(set.height), margin_x = crop_margin(set.width);
  const int64_t dy = below(2 * margin_y + 1) - margin_y, dx = below(2 * margin_x + 1) - margin_x;
  const bool flip = below(2) == 1;
  if (options.crop) a.dy = dy, a.dx = dx;
  a.flip = options.flip && flip;
  return a;
}

template <typename T>
Normalisation<T>::Normalisation(const Dataset& set) {
  for (size_t c = 0; c < static_cast<size_t>(set.channels); ++c) {
    const double mean = set.mean.at(c), deviation = set.deviation.at(c);
    for (int byte = 0; byte < 256; ++byte) {
      levels.push_back(static_cast<T>((byte / 255.0 - mean) / deviation));
    }
    scales.push_back(mean);
    scales.push_back(deviation);
  }
}

void check_index(const Dataset& set, int64_t index) {
  if (index >= 0 && index < set.size()) return;
  throw std::invalid_argument(fmt::format(
      "image: index {}; expected 0 <= index < {}, the size of {}", index, set.size(), set.name));
}

template <typename T>
ImageWriter<T>::ImageWriter(const Dataset& set, const AugmentOptions& options)
    : set_(&set), cutout_(options.cutout), normalisation_(set) {
  if (options.cutout < 0) {
    throw std::invalid_argument(fmt::format("cutout: side {}; expected >= 0", options.cutout));
  }
}

template <typename T>
void ImageWriter<T>::write(std::span<const int64_t> indices,
                           std::span<const Augmentation> augmentations,
                           T* out) const {
  for (const int64_t index : indices) check_index(*set_, index);
  const kernels::AugmentShape shape{
      std::ssize(indices), set_->height, set_->width, set_->channels, cutout_};
  kernels::CpuContext here(1);  // the calling thread, whoever else computes meanwhile
  const auto write_from = [&](const auto* images, const auto* normalisation) {
    kernels::augment<T>(
        here, shape, indices.data(), augmentations.data(), images, normalisation, out);
  };
  if (set_->values.empty()) {
    write_from(set_->pixels.data(), normalisation_.levels.data());
  } else {
    write_from(set_->values.data(), normalisation_.scales.data());
  }
}

template struct Normalisation<float>;
template struct Normalisation<double>;
template class ImageWriter<float>;
template class ImageWriter<double>;

}  // namespace oche::nas
