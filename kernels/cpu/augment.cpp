// Augmentation of images on the CPU.
#include "kernels/augment.h"

#include <algorithm>

namespace oche::kernels {
namespace {

// What a pixel becomes.
template <typename T>
struct Levels {
  const T* levels;
  T operator()(uint8_t byte, int64_t c) const { return levels[c * 256 + byte]; }
};
template <typename T>
struct Scales {
  const double* scales;
  T operator()(float value, int64_t c) const {
    return static_cast<T>((static_cast<double>(value) - scales[2 * c]) / scales[2 * c + 1]);
  }
};

template <typename T, typename Source, typename F>
void write_image(const AugmentShape& s, const Augmentation& a, const Source* image, F f, T* pixel) {
  const int64_t C = s.channels;
  for (int64_t y = 0; y < s.height; ++y) {
    const int64_t from_y = y + a.dy;
    const bool row_inside = from_y >= 0 && from_y < s.height;
    for (int64_t x = 0; x < s.width; ++x, pixel += C) {
      const int64_t from_x = (a.flip ? s.width - 1 - x : x) + a.dx;
      const bool inside = row_inside && from_x >= 0 && from_x < s.width;
      const Source* source = image + (from_y * s.width + from_x) * C;
      for (int64_t c = 0; c < C; ++c) pixel[c] = f(inside ? source[c] : Source(0), c);
    }
  }
}

// Sets the part of the square that lies inside the image to 0, which is the mean.
template <typename T>
void cut_out(const AugmentShape& s, const Augmentation& a, T* out) {
  const int64_t top = a.cutout_y - s.cutout / 2, left = a.cutout_x - s.cutout / 2;
  const int64_t first = std::max<int64_t>(0, left), last = std::min(s.width, left + s.cutout);
  if (first >= last) return;
  for (int64_t y = std::max<int64_t>(0, top); y < std::min(s.height, top + s.cutout); ++y) {
    T* row = out + y * s.width * s.channels;
    std::fill(row + first * s.channels, row + last * s.channels, T(0));
  }
}

template <typename T, typename Source, typename F>
void augment_images(CpuContext& ctx,
                    const AugmentShape& s,
                    const int64_t* index,
                    const Augmentation* what,
                    const Source* images,
                    F f,
                    T* out) {
  const int64_t size = s.image_size();
  ctx.parallel(s.n, [&](int64_t i) {
    write_image(s, what[i], images + (index ? index[i] : i) * size, f, out + i * size);
    if (s.cutout > 0) cut_out(s, what[i], out + i * size);
  });
}

}  // namespace

template <typename T>
void augment(CpuContext& ctx,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const uint8_t* images,
             const T* levels,
             T* out) {
  augment_images(ctx, shape, index, what, images, Levels<T>{levels}, out);
}

template <typename T>
void augment(CpuContext& ctx,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const float* images,
             const double* scales,
             T* out) {
  augment_images(ctx, shape, index, what, images, Scales<T>{scales}, out);
}

#define OCHE_INSTANTIATE(T)                  \
  template void augment(CpuContext&,         \
                        const AugmentShape&, \
                        const int64_t*,      \
                        const Augmentation*, \
                        const uint8_t*,      \
                        const T*,            \
                        T*);                 \
  template void augment(CpuContext&,         \
                        const AugmentShape&, \
                        const int64_t*,      \
                        const Augmentation*, \
                        const float*,        \
                        const double*,       \
                        T*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
