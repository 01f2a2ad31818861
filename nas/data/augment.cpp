// Draws and applies the augmentation of an image.
#include "nas/data/augment.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "engine/random.h"

namespace oche::nas {
namespace {

// Sets the part of the square that lies inside the image to 0, which is the mean.
template <typename T>
void cut_out(const Dataset& set, int64_t side, const Augmentation& a, T* out) {
  const int64_t top = a.cutout_y - side / 2, left = a.cutout_x - side / 2;
  const int64_t first = std::max<int64_t>(0, left), last = std::min(set.width, left + side);
  for (int64_t y = std::max<int64_t>(0, top); y < std::min(set.height, top + side); ++y) {
    T* row = out + y * set.width * set.channels;
    std::fill(row + first * set.channels, row + last * set.channels, T(0));
  }
}

}  // namespace

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
ImageWriter<T>::ImageWriter(const Dataset& set, const AugmentOptions& options)
    : set_(&set), cutout_(options.cutout) {
  if (options.cutout < 0) {
    throw std::invalid_argument(fmt::format("cutout: side {}; expected >= 0", options.cutout));
  }
  for (size_t c = 0; c < static_cast<size_t>(set.channels); ++c) {
    for (int level = 0; level < 256; ++level) {
      levels_.push_back(static_cast<T>((level / 255.0 - set.mean.at(c)) / set.deviation.at(c)));
    }
  }
}

template <typename T>
void ImageWriter<T>::write(int64_t index, const Augmentation& a, T* out) const {
  if (index < 0 || index >= set_->size()) {
    throw std::invalid_argument(
        fmt::format("image: index {}; expected 0 <= index < {}, the size of {}",
                    index,
                    set_->size(),
                    set_->name));
  }
  const int64_t H = set_->height, W = set_->width, C = set_->channels;
  const auto write_pixels = [&](const auto* images, const auto& normalised) {
    const auto* image = images + index * set_->image_size();
    T* pixel = out;
    for (int64_t y = 0; y < H; ++y) {
      for (int64_t x = 0; x < W; ++x, pixel += C) {
        const int64_t from_y = y + a.dy, from_x = (a.flip ? W - 1 - x : x) + a.dx;
        const bool inside = from_y >= 0 && from_y < H && from_x >= 0 && from_x < W;
        const auto* source = image + (from_y * W + from_x) * C;
        for (int64_t c = 0; c < C; ++c) pixel[c] = normalised(inside ? source[c] : 0, c);
      }
    }
  };
  if (set_->values.empty()) {
    write_pixels(set_->pixels.data(),
                 [&](int level, int64_t c) { return levels_[c * 256 + level]; });
  } else {
    write_pixels(set_->values.data(), [&](double value, int64_t c) {
      const auto channel = static_cast<size_t>(c);
      return static_cast<T>((value - set_->mean[channel]) / set_->deviation[channel]);
    });
  }
  if (cutout_ > 0) cut_out(*set_, cutout_, a, out);
}

template class ImageWriter<float>;
template class ImageWriter<double>;

}  // namespace oche::nas
