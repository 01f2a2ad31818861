// CUDA's device language for the host compiler: what a .cu file sees in place of <cuda_runtime.h>.
// A thread of a kernel is a fiber of scheduler.cpp; what it may do in its turn is in calls.cpp.
// What is missing here is missing on purpose or not yet needed; atomics on floating-point numbers
// are the former, since their result depends on the order of threads.
#pragma once

#include <cuda_runtime_api.h>
#include <math.h>  // NOLINT: its overloads in the global namespace are CUDA's
#include <vector_functions.h>

#include <atomic>
#include <bit>
#include <cstring>
#include <type_traits>

#include "tests/cuda_host/calls.h"
#include "tests/cuda_host/scheduler.h"

#define __launch_bounds__(...)

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// A function of the device with its caller's place as last parameters.
#define OCHE_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

// Barriers.
inline void __syncthreads(OCHE_SITE) {
  oche::cuda_host::barrier(false, {"__syncthreads", file, line});
}
inline int __syncthreads_count(int predicate, OCHE_SITE) {
  return oche::cuda_host::barrier(predicate, {"__syncthreads_count", file, line});
}
inline int __syncthreads_or(int predicate, OCHE_SITE) {
  return oche::cuda_host::barrier(predicate, {"__syncthreads_or", file, line}) > 0;
}
inline int __syncthreads_and(int predicate, OCHE_SITE) {
  return oche::cuda_host::barrier(!predicate, {"__syncthreads_and", file, line}) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, OCHE_SITE) {
  oche::cuda_host::meet(mask, 0, true, {"__syncwarp", file, line});
}
inline void __threadfence() {
  oche::cuda_host::fence();
}

namespace oche::cuda_host {

// The value of `value` on lane `from`; the caller's own where `from` is outside its group of
// `width` lanes. Orders no memory, as on a device.
template <typename T>
T shuffle(unsigned mask, T value, int from, int width, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const uint64_t* values = meet(mask, bits, false, site);
  const int first = lane() / width * width;
  if (from < first || from >= first + width) return value;
  std::memcpy(&value, &values[from], sizeof value);
  return value;
}

// f over the values of the lanes of the mask, from the lowest.
template <typename T, typename F>
T warp_fold(unsigned mask, T value, Site site, F f) {
  const uint64_t* values = meet(mask, static_cast<uint64_t>(value), false, site);
  int i = std::countr_zero(mask);
  T folded = static_cast<T>(values[i]);
  for (++i; i < 32; ++i) {
    if (mask >> i & 1) folded = f(folded, static_cast<T>(values[i]));
  }
  return folded;
}

inline unsigned ballot(unsigned mask, bool predicate, Site site) {
  const unsigned bit = predicate ? 1u << lane() : 0;
  return warp_fold(mask, bit, site, [](unsigned a, unsigned b) { return a | b; });
}

}  // namespace oche::cuda_host

// Warps.
template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32, OCHE_SITE) {
  const int first = oche::cuda_host::lane() / width * width;
  return oche::cuda_host::shuffle(
      mask, value, first + (from & (width - 1)), width, {"__shfl_sync", file, line});
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, OCHE_SITE) {
  const int from = oche::cuda_host::lane() + static_cast<int>(delta);
  return oche::cuda_host::shuffle(mask, value, from, width, {"__shfl_down_sync", file, line});
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, OCHE_SITE) {
  const int from = oche::cuda_host::lane() - static_cast<int>(delta);
  return oche::cuda_host::shuffle(mask, value, from, width, {"__shfl_up_sync", file, line});
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, OCHE_SITE) {
  const int from = oche::cuda_host::lane() ^ bits;
  return oche::cuda_host::shuffle(mask, value, from, width, {"__shfl_xor_sync", file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, OCHE_SITE) {
  return oche::cuda_host::ballot(mask, predicate, {"__ballot_sync", file, line});
}
inline int __any_sync(unsigned mask, int predicate, OCHE_SITE) {
  return oche::cuda_host::ballot(mask, predicate, {"__any_sync", file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, OCHE_SITE) {
  return oche::cuda_host::ballot(mask, !predicate, {"__all_sync", file, line}) == 0;
}
// Of int and unsigned.
template <typename T>
T __reduce_add_sync(unsigned mask, T value, OCHE_SITE) {
  return oche::cuda_host::warp_fold(mask, value, {"__reduce_add_sync", file, line}, [](T a, T b) {
    return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  });
}
template <typename T>
T __reduce_max_sync(unsigned mask, T value, OCHE_SITE) {
  return oche::cuda_host::warp_fold(
      mask, value, {"__reduce_max_sync", file, line}, [](T a, T b) { return a < b ? b : a; });
}
template <typename T>
T __reduce_min_sync(unsigned mask, T value, OCHE_SITE) {
  return oche::cuda_host::warp_fold(
      mask, value, {"__reduce_min_sync", file, line}, [](T a, T b) { return b < a ? b : a; });
}

#undef OCHE_SITE

// Atomics on integers. Relaxed: they order no other memory.
namespace oche::cuda_host {
template <typename T>
std::atomic_ref<T> atomic(T* p) {
  static_assert(std::is_integral_v<T>, "the result would depend on the order of threads");
  return std::atomic_ref<T>(*p);
}
// *p = f(*p), at once; returns what *p was.
template <typename T, typename F>
T atomic_update(T* p, const F& f) {
  const auto place = atomic(p);
  T old = place.load(std::memory_order_relaxed);
  while (!place.compare_exchange_weak(old, f(old), std::memory_order_relaxed)) {
  }
  return old;
}
}  // namespace oche::cuda_host

template <typename T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
  return oche::cuda_host::atomic(p).fetch_add(value, std::memory_order_relaxed);
}
template <typename T>
T atomicOr(T* p, std::type_identity_t<T> value) {
  return oche::cuda_host::atomic(p).fetch_or(value, std::memory_order_relaxed);
}
template <typename T>
T atomicAnd(T* p, std::type_identity_t<T> value) {
  return oche::cuda_host::atomic(p).fetch_and(value, std::memory_order_relaxed);
}
template <typename T>
T atomicExch(T* p, std::type_identity_t<T> value) {
  return oche::cuda_host::atomic(p).exchange(value, std::memory_order_relaxed);
}
template <typename T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  oche::cuda_host::atomic(p).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}
template <typename T>
T atomicMax(T* p, std::type_identity_t<T> value) {
  return oche::cuda_host::atomic_update(p, [=](T old) { return old < value ? value : old; });
}
template <typename T>
T atomicMin(T* p, std::type_identity_t<T> value) {
  return oche::cuda_host::atomic_update(p, [=](T old) { return value < old ? value : old; });
}

// Intrinsics.
template <typename T>
T __ldg(const T* p) {
  return *p;
}
inline float rsqrtf(float x) {
  return 1 / std::sqrt(x);
}
inline double rsqrt(double x) {
  return 1 / std::sqrt(x);
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
