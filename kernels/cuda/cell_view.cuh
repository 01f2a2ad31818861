// Images as a fused cell stores them, and how they are normalised where they are read.
#pragma once

#include "kernels/cuda/channels.cuh"
#include "kernels/cuda/tables.cuh"
#include "kernels/mixed_cell.h"

namespace oche::kernels::cuda {

// visit(data as what it points to: pixels of T or, where `narrow`, of bfloat16). Loops are best
// inside of it, so that no load of theirs waits for a branch.
template <typename T, typename Data, typename Visit>
__device__ void visit_stored(Data* data, bool narrow, const Visit& visit) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    if (narrow) return visit(static_cast<typename StoredPixels<T>::Narrow*>(data));
  }
  visit(static_cast<T*>(data));
}

// The vector of T at p of which `count` channels exist, and back.
template <bool kVector, typename T>
__device__ Vec<T> load_stored(const T* p, int64_t count) {
  return load_channels<kVector, Vec<T>::kWidth>(p, count);
}
template <bool kVector>
__device__ Vec<float> load_stored(const BFloat16* p, int64_t count) {
  constexpr int kWide = Vec<float>::kWidth;
  const auto stored = load_channels<kVector, kWide>(p, count);
  Vec<float> v;
#pragma unroll
  for (int j = 0; j < kWide; ++j) v[j] = to_float(stored[j]);
  return v;
}
template <bool kVector, typename T>
__device__ void store_stored(const Vec<T>& v, T* p, int64_t count) {
  store_channels<kVector>(v, p, count);
}
template <bool kVector>
__device__ void store_stored(const Vec<float>& v, BFloat16* p, int64_t count) {
  constexpr int kWide = Vec<float>::kWidth;
  Vec<BFloat16, kWide> stored;
#pragma unroll
  for (int j = 0; j < kWide; ++j) stored[j] = to_bfloat16(v[j]);
  store_channels<kVector>(stored, p, count);
}

// True iff whole vectors can be moved from and to every pixel there.
template <typename T>
bool aligned_pixels(const void* data, bool narrow, int pitch) {
  constexpr int kWide = kWidth<T>;
  return pitch % kWide == 0 && (narrow ? aligned<kWide>(static_cast<const BFloat16*>(data))
                                       : aligned<kWide>(static_cast<const T*>(data)));
}

// An image as it is normalised where it is read; mean nullptr: as it is.
template <typename T>
struct CellView {
  const void* data = nullptr;
  const T *mean = nullptr, *var = nullptr;
  int pitch = 0;
  bool narrow = false;  // of bfloat16

  CellView() = default;
  CellView(StoredPixels<const T> x, Moments<const T> m)
      : data(x.narrow ? static_cast<const void*>(x.narrow) : x.data),
        mean(m.mean),
        var(m.var),
        pitch(static_cast<int>(x.pitch)),
        narrow(x.narrow != nullptr) {}

  bool whole_vectors() const { return aligned_pixels<T>(data, narrow, pitch); }

  template <typename Visit>
  __device__ void visit(const Visit& visit) const {
    visit_stored<const T>(data, narrow, visit);
  }
  // The vector at a place of which `count` channels exist, before it is normalised.
  template <bool kVector>
  __device__ Vec<T> load(int64_t at, int64_t count) const {
    Vec<T> v;
    visit([&](const auto* from) { v = load_stored<kVector>(from + at, count); });
    return v;
  }
};

template <typename T>
__device__ T inverse_deviation(T var, double eps) {
  return 1 / std::sqrt(var + static_cast<T>(eps));
}

// The normalisation of the `count` channels from `channel` on.
template <typename T>
struct Normalisation {
  Vec<T> mean, rstd;

  __device__ Normalisation(const CellView<T>& x, int channel, int count, double eps) {
#pragma unroll
    for (int j = 0; j < Vec<T>::kWidth; ++j) {
      const bool some = x.mean && j < count;
      mean[j] = some ? x.mean[channel + j] : T(0);
      rstd[j] = some ? inverse_deviation(x.var[channel + j], eps) : T(1);
    }
  }
  __device__ Vec<T> operator()(Vec<T> x) const {
#pragma unroll
    for (int j = 0; j < Vec<T>::kWidth; ++j) x[j] = (x[j] - mean[j]) * rstd[j];
    return x;
  }
};

}  // namespace oche::kernels::cuda
