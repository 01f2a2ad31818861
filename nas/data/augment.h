// From stored bytes to network input: random crop, flip, normalisation, cutout.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/augment.h"
#include "nas/data/dataset.h"

namespace oche::nas {

struct AugmentOptions {
  bool crop = true;    // out of the image with a black margin around it
  bool flip = true;    // horizontally, every other time
  int64_t cutout = 0;  // side of the square set to 0; 0: none (DeVries & Taylor 2017)
};

// What one image undergoes: the crop is moved by at most the margin, the square is centred in the
// image.
using kernels::Augmentation;

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

// How the pixels of a data set are normalised, as kernels::augment() takes it.
template <typename T>
struct Normalisation {
  explicit Normalisation(const Dataset& set);

  std::vector<T> levels;       // (channels, 256), for bytes: what each becomes
  std::vector<double> scales;  // (channels, 2), for floats: mean and deviation
};

// Throws std::invalid_argument unless the set has the image.
void check_index(const Dataset& set, int64_t index);

// Images of a data set as a network reads them: (pixel / 255 - mean) / deviation, or (value - mean)
// / deviation, in T.
template <typename T>
class ImageWriter {
 public:
  // `set` must outlive it. Throws std::invalid_argument for a cutout below 0.
  ImageWriter(const Dataset& set, const AugmentOptions& options);

  // The images `indices` of the set, of which each undergoes its own augmentation. out: (count,
  // height, width, channels). Throws std::invalid_argument for an index that the set does not have.
  void write(std::span<const int64_t> indices,
             std::span<const Augmentation> augmentations,
             T* out) const;

 private:
  const Dataset* set_;
  int64_t cutout_;
  Normalisation<T> normalisation_;
};

}  // namespace oche::nas
