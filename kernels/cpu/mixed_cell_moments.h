// Moments of what the fused cell writes: sums around the first pixel of each image, in double,
// merged in the order of the images.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/mixed_cell_planes.h"

namespace oche::kernels {

// The sums of one image: for each of C channels where they are centred, the sum and the sum of
// squares.
struct ImageSums {
  static int64_t size(int64_t C) { return 3 * C; }
  double* data;
  int64_t C;

  double* centre() const { return data; }
  double* sum() const { return data + C; }
  double* squares() const { return data + 2 * C; }

  // Adds `pixels` pixels of C channels; the first ones of an image say where the sums are centred.
  template <typename T>
  void add(bool first, int64_t pixels, Pixels<const T> y) const {
    if (first) {
      std::copy_n(y.data, C, centre());
      std::fill_n(sum(), 2 * C, 0.0);
    }
    for_channels<T>(0, C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      T lanes[V::kLanes];
      std::copy_n(centre() + c, V::kLanes, lanes);
      const V shift = V::load(lanes);
      V total[2] = {}, squared[2] = {};
      const auto take = [&](int64_t i, int k) {
        const V d{V::load(y.data + i * y.pitch + c).v - shift.v};
        total[k] = total[k] + d;
        squared[k] = fma(d, d, squared[k]);
      };
      int64_t i = 0;
      for (; i + 2 <= pixels; i += 2) {
        take(i, 0);
        take(i + 1, 1);
      }
      if (i < pixels) take(i, 0);
      add_lanes(total[0] + total[1], sum() + c);
      add_lanes(squared[0] + squared[1], squares() + c);
    });
  }
};

// Results of one call that are too large for a cache are written past it: nobody reads them before
// all images are through.
constexpr int64_t kStreamedBytes = 32 << 20;

// Writes `pixels` pixels, (pixels, C), to their place, rounded where that is narrow; whole ones
// past the caches where whole vectors fit.
template <typename T>
void stream_pixels(int64_t pixels, int64_t C, const T* from, const StoredPixels<T>& to) {
  if (to.narrow) {
    if constexpr (std::is_same_v<T, float>) {
      for_channels<T>(0, C, [&](auto tag, int64_t c) {
        using V = typename decltype(tag)::type;
        for (int64_t i = 0; i < pixels; ++i)
          store_kept(V::load(from + i * C + c), to.narrow + i * to.pitch + c);
      });
    }
    return;
  }
  for_vector_ranges<T>(0, C, [&](auto tag, int64_t begin, int64_t end) {
    using V = typename decltype(tag)::type;
    const auto is_whole = [](auto bytes) { return bytes % sizeof(V) == 0; };
    const bool fits = is_whole(reinterpret_cast<uintptr_t>(to.data + begin)) &&
                      is_whole(static_cast<uintptr_t>(to.pitch) * sizeof(T));
    for (int64_t i = 0; i < pixels; ++i) {
      for (int64_t c = begin; c < end; c += V::kLanes) {
        const V v = V::load(from + i * C + c);
        if (fits) {
          v.stream(to.data + i * to.pitch + c);
        } else {
          v.store(to.data + i * to.pitch + c);
        }
      }
    }
  });
}

// The moments over N images of `pixels` pixels each, from their sums, which lie one after the
// other.
template <typename T>
void merge_moments(int64_t N, int64_t pixels, int64_t C, double* sums, Moments<T> moments) {
  const auto count = static_cast<double>(pixels);
  for (int64_t c = 0; c < C; ++c) {
    double mean = 0, spread = 0;  // of the images so far: spread sums squared deviations
    for (int64_t n = 0; n < N; ++n) {
      const ImageSums image{sums + n * ImageSums::size(C), C};
      const double offset = image.sum()[c] / count;
      const double delta = image.centre()[c] + offset - mean;
      spread += image.squares()[c] - offset * image.sum()[c] +
                delta * delta * count * static_cast<double>(n) / static_cast<double>(n + 1);
      mean += delta / static_cast<double>(n + 1);
    }
    moments.mean[c] = static_cast<T>(mean);
    moments.var[c] = static_cast<T>(std::max(spread, 0.0) / (count * static_cast<double>(N)));
  }
}

}  // namespace oche::kernels
