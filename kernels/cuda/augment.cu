// Augmentation of images on a CUDA device. A thread has one number of what it writes.
#include "kernels/augment.h"
#include "kernels/cuda/teams.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

// What a pixel becomes, as in kernels/cpu/augment.cpp.
template <typename T>
struct Levels {
  const T* __restrict__ levels;
  __device__ T operator()(uint8_t byte, int64_t c) const { return levels[c * 256 + byte]; }
};
template <typename T>
struct Scales {
  const double* __restrict__ scales;
  __device__ T operator()(float value, int64_t c) const {
    return static_cast<T>((static_cast<double>(value) - scales[2 * c]) / scales[2 * c + 1]);
  }
};

// True iff `at` is in the `side` pixels around `centre`.
__device__ inline bool within(int64_t at, int64_t centre, int64_t side) {
  const int64_t from_start = at - (centre - side / 2);
  return from_start >= 0 && from_start < side;
}

template <typename T, typename Source, typename F>
__global__ void __launch_bounds__(kBlockSize) augment_kernel(AugmentShape s,
                                                             Divider channels,
                                                             Divider width,
                                                             Divider height,
                                                             const int64_t* __restrict__ index,
                                                             const Augmentation* __restrict__ what,
                                                             const Source* __restrict__ images,
                                                             F f,
                                                             T* __restrict__ out) {
  const int64_t total = s.n * s.height * s.width * s.channels;
  for (int64_t e = grid_index(); e < total; e += grid_threads()) {
    const int64_t pixel = channels.quotient(e), c = channels.rest(e, pixel);
    const int64_t row = width.quotient(pixel), x = width.rest(pixel, row);
    const int64_t i = height.quotient(row), y = height.rest(row, i);
    const Augmentation& a = what[i];
    if (within(y, a.cutout_y, s.cutout) && within(x, a.cutout_x, s.cutout)) {
      out[e] = T(0);
      continue;
    }
    const int64_t from_y = y + a.dy, from_x = (a.flip ? s.width - 1 - x : x) + a.dx;
    const bool inside = from_y >= 0 && from_y < s.height && from_x >= 0 && from_x < s.width;
    const int64_t first_row = (index ? index[i] : i) * s.height;
    const int64_t from = ((first_row + from_y) * s.width + from_x) * s.channels + c;
    out[e] = f(inside ? images[from] : Source(0), c);
  }
}

template <typename T, typename Source, typename F>
void augment_images(CudaContext& ctx,
                    const AugmentShape& s,
                    const int64_t* index,
                    const Augmentation* what,
                    const Source* images,
                    const F& f,
                    T* out) {
  CU_LAUNCH((augment_kernel<T, Source, F>),
            grid_size(ctx, s.n * s.image_size()),
            kBlockSize,
            0,
            ctx.stream(),
            s,
            Divider(s.channels),
            Divider(s.width),
            Divider(s.height),
            index,
            what,
            images,
            f,
            out);
}

}  // namespace

template <typename T>
void augment(CudaContext& ctx,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const uint8_t* images,
             const T* levels,
             T* out) {
  augment_images(ctx, shape, index, what, images, Levels<T>{levels}, out);
}

template <typename T>
void augment(CudaContext& ctx,
             const AugmentShape& shape,
             const int64_t* index,
             const Augmentation* what,
             const float* images,
             const double* scales,
             T* out) {
  augment_images(ctx, shape, index, what, images, Scales<T>{scales}, out);
}

#define OCHE_INSTANTIATE(T)                  \
  template void augment(CudaContext&,        \
                        const AugmentShape&, \
                        const int64_t*,      \
                        const Augmentation*, \
                        const uint8_t*,      \
                        const T*,            \
                        T*);                 \
  template void augment(CudaContext&,        \
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
