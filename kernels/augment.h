// Batches of images out of those of a data set: cropped, mirrored, normalised, with a square cut
// out. Both back ends give the same bits.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

// What one image undergoes.
struct Augmentation {
  int64_t dy = 0, dx = 0;              // the crop is moved by this, in pixels
  bool flip = false;                   // the crop is mirrored, left to right
  int64_t cutout_y = 0, cutout_x = 0;  // centre of the square
  bool operator==(const Augmentation&) const = default;
};

struct AugmentShape {
  int64_t n, height, width, channels;
  int64_t cutout = 0;  // side of the square; 0: none

  int64_t image_size() const { return height * width * channels; }
};

// out: (n, height, width, channels). Image i is made of images[index[i]], or of images[i] where
// `index` is null; images: (any number, height, width, channels). With what = what[i],
//   out[i, y, x, c] = 0                                         in the square
//                   = f(images[.., y + dy, (flip ? width - 1 - x : x) + dx, c], c)  elsewhere,
// where pixels outside the image are 0 before f. The square has the rows cutout_y - cutout / 2 and
// the following, as many as its side has, and such columns; what lies outside does not matter.

// f(byte, c) = levels[c, byte]; levels: (channels, 256).
template <typename T>
void augment(CpuContext&,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const uint8_t* images,
             const T* levels,
             T* out);
template <typename T>
void augment(CudaContext&,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const uint8_t* images,
             const T* levels,
             T* out);
// f(value, c) = (value - scales[c, 0]) / scales[c, 1] in double, rounded once; scales: (channels,
// 2), mean and deviation.
template <typename T>
void augment(CpuContext&,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const float* images,
             const double* scales,
             T* out);
template <typename T>
void augment(CudaContext&,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const float* images,
             const double* scales,
             T* out);

}  // namespace oche::kernels
