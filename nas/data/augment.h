// From stored bytes to network input: random crop, flip, normalisation, cutout.
#pragma once

#include <cstdint>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::nas {

struct AugmentOptions {
  bool crop = true;    // out of the image with a black margin around it
  bool flip = true;    // horizontally, every other time
  int64_t cutout = 0;  // side of the square set to 0; 0: none (DeVries & Taylor 2017)
};

// What one image undergoes.
struct Augmentation {
  int64_t dy = 0, dx = 0;  // the crop is moved by this, at most the margin
  bool flip = false;
  int64_t cutout_y = 0, cutout_x = 0;  // centre of the square
};

// Of a crop, in pixels: an eighth of the side, which is 4 of 32 (He et al. 2016) and of 28.
constexpr int64_t crop_margin(int64_t side) {
  return (side + 4) / 8;
}

// A pure function of its arguments. `stream` separates the training half from the search half. What
// one option draws does not depend on the others.
Augmentation draw_augmentation(uint64_t seed,
                               uint64_t stream,
                               int64_t epoch,
                               int64_t index,
                               const Dataset& set,
                               const AugmentOptions& options);

// Writes images of a data set, which must outlive it, as NHWC floats: (pixel / 255 - mean) /
// deviation, or (value - mean) / deviation.
template <typename T>
class ImageWriter {
 public:
  ImageWriter(const Dataset& set, const AugmentOptions& options);

  // out: (height, width, channels).
  void write(int64_t index, const Augmentation& augmentation, T* out) const;

 private:
  const Dataset* set_;
  int64_t cutout_;
  std::vector<T> levels_;  // (channels, 256): what each byte becomes
};

}  // namespace oche::nas
