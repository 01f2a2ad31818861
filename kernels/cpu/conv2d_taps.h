// The innermost step of a depthwise convolution: one row of taps applied to kOutputs neighbouring
// outputs.
#pragma once

#include "kernels/cpu/simd.h"

namespace oche::kernels {

inline constexpr int kOutputs = 8;  // neighbouring outputs that are computed together

// What a row of taps reads in a row of source vectors: output j reads vector tap[s] + j through tap
// s. `spacing` is what lies between neighbouring taps; 0 if that varies.
struct ColumnTaps {
  static constexpr int64_t kMax = 16;
  int64_t count = 0, spacing = 0;
  int64_t tap[kMax] = {};
};

// A row of taps known at compile time, the usual case: all in registers, and each vector of the
// window is loaded once.
template <int kTaps, int kSpacing>
struct FixedTaps {
  // acc[k] += sum_s w[s] * x[k + s * kSpacing], k < kOutputs.
  template <typename V, typename T>
  static void correlate(
      const ColumnTaps&, const V* x, const T* w, int64_t w_step, V (&acc)[kOutputs]) {
    V wv[kTaps];
#pragma GCC unroll 16
    for (int s = 0; s < kTaps; ++s) wv[s] = V::load(w + s * w_step);
#pragma GCC unroll 16
    for (int u = 0; u < kOutputs + (kTaps - 1) * kSpacing; ++u) {
      const V xv{x[u].v};
#pragma GCC unroll 16
      for (int s = 0; s < kTaps; ++s) {
        const int k = u - s * kSpacing;
        if (0 <= k && k < kOutputs) acc[k] = fma(xv, wv[s], acc[k]);
      }
    }
  }

  // sums[s] += sum_k x[k + s * kSpacing] * dy[k].
  template <typename V>
  static void weight_grad(const ColumnTaps&, const V* x, const V (&dy)[kOutputs], V* sums) {
    V acc[kTaps] = {};
#pragma GCC unroll 16
    for (int u = 0; u < kOutputs + (kTaps - 1) * kSpacing; ++u) {
      const V xv{x[u].v};
#pragma GCC unroll 16
      for (int s = 0; s < kTaps; ++s) {
        const int k = u - s * kSpacing;
        if (0 <= k && k < kOutputs) acc[s] = fma(xv, dy[k], acc[s]);
      }
    }
#pragma GCC unroll 16
    for (int s = 0; s < kTaps; ++s) sums[s] = sums[s] + acc[s];
  }
};

// The same for taps of any number and spacing.
struct AnyTaps {
  template <typename V, typename T>
  static void correlate(
      const ColumnTaps& taps, const V* x, const T* w, int64_t w_step, V (&acc)[kOutputs]) {
    for (int64_t s = 0; s < taps.count; ++s) {
      const V* xs = x + taps.tap[s];
      const V wv = V::load(w + s * w_step);
#pragma GCC unroll 16
      for (int k = 0; k < kOutputs; ++k) acc[k] = fma(xs[k], wv, acc[k]);
    }
  }

  template <typename V>
  static void weight_grad(const ColumnTaps& taps, const V* x, const V (&dy)[kOutputs], V* sums) {
    for (int64_t s = 0; s < taps.count; ++s) {
      const V* xs = x + taps.tap[s];
      V even{}, odd{};
#pragma GCC unroll 16
      for (int k = 0; k < kOutputs; k += 2) {
        even = fma(xs[k], dy[k], even);
        odd = fma(xs[k + 1], dy[k + 1], odd);
      }
      sums[s] = sums[s] + (even + odd);
    }
  }
};

// body(type) with the type above that suits the taps.
template <typename Body>
void with_taps(const ColumnTaps& taps, const Body& body) {
  const auto are = [&](int64_t count, int64_t spacing) {
    return taps.count == count && taps.spacing == spacing;
  };
  if (are(3, 1)) return body(FixedTaps<3, 1>{});
  if (are(3, 2)) return body(FixedTaps<3, 2>{});
  if (are(5, 1)) return body(FixedTaps<5, 1>{});
  if (are(5, 2)) return body(FixedTaps<5, 2>{});
  body(AnyTaps{});
}

}  // namespace oche::kernels
