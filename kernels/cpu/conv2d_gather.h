// A convolution, or its adjoint, seen as a gather: which source positions a target position reads, and through which
// taps of the kernel. The adjoint at stride s is s * s gathers, one for each residue of the target position.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "kernels/conv2d.h"

namespace oche::kernels {

// One axis. For i < positions:
//   target[start + i * step] = sum_{t < taps} kernel[tap + t * tap_step] * source[at(i, t)],
// over the at(i, t) that lie in [0, extent).
struct GatherAxis {
  int64_t extent;                      // of the source
  int64_t positions, start, step;      // in the target
  int64_t taps, tap, tap_step;         // in the kernel
  int64_t scale, offset, offset_step;  // in the source

  int64_t at(int64_t i, int64_t t) const { return i * scale + offset + t * offset_step; }
  // What the taps of one position span: lowest_offset() <= at(i, t) - i * scale < lowest_offset() + reach().
  int64_t lowest_offset() const { return offset + std::min<int64_t>(0, reach_back()); }
  int64_t reach() const { return std::abs(reach_back()) + 1; }
  // True iff position i reads source position i and nothing else, for every i.
  bool is_identity() const {
    return taps == 1 && scale == 1 && offset == 0 && positions == extent;
  }

 private:
  int64_t reach_back() const { return std::max<int64_t>(0, taps - 1) * offset_step; }
};

struct Gather {
  GatherAxis rows, columns;
  int64_t N, source_C, target_h, target_w, target_C;

  int64_t target_pixel(int64_t n, int64_t i, int64_t j) const {
    return (n * target_h + rows.start + i * rows.step) * target_w + columns.start +
           j * columns.step;
  }
};

inline GatherAxis forward_axis(const Conv2dShape& s, int64_t in, int64_t out, int64_t kernel) {
  return {.extent = in,
          .positions = out,
          .start = 0,
          .step = 1,
          .taps = kernel,
          .tap = 0,
          .tap_step = 1,
          .scale = s.stride,
          .offset = -s.padding,
          .offset_step = s.dilation};
}

// The gradient at h = residue + i * stride: output p reads h through tap r iff p * stride = h + padding - r * dilation.
inline GatherAxis adjoint_axis(const Conv2dShape& s, int64_t in, int64_t out, int64_t kernel,
                               int64_t residue) {
  const int64_t common = std::gcd(s.stride, s.dilation), period = s.stride / common;
  const auto misses = [&](int64_t r) {
    return (residue + s.padding - r * s.dilation) % s.stride != 0;
  };
  int64_t first = 0;
  while (first < kernel && first < period && misses(first)) ++first;
  const bool met = first < kernel && first < period;
  return {.extent = out,
          .positions = (in - residue + s.stride - 1) / s.stride,
          .start = residue,
          .step = s.stride,
          .taps = met ? (kernel - first - 1) / period + 1 : 0,
          .tap = first,
          .tap_step = period,
          .scale = 1,
          .offset = met ? (residue + s.padding - first * s.dilation) / s.stride : 0,
          .offset_step = -s.dilation / common};
}

inline Gather forward_gather(const Conv2dShape& s) {
  return {forward_axis(s, s.H, s.out_h(), s.kernel_h),
          forward_axis(s, s.W, s.out_w(), s.kernel_w),
          s.N,
          s.C,
          s.out_h(),
          s.out_w(),
          s.out_C};
}

// body(gather) for every residue of the target position that occurs.
template <typename Body>
void for_adjoint_gathers(const Conv2dShape& s, const Body& body) {
  for (int64_t a = 0; a < std::min(s.stride, s.H); ++a) {
    for (int64_t b = 0; b < std::min(s.stride, s.W); ++b) {
      body(Gather{adjoint_axis(s, s.H, s.out_h(), s.kernel_h, a),
                  adjoint_axis(s, s.W, s.out_w(), s.kernel_w, b),
                  s.N,
                  s.out_C,
                  s.H,
                  s.W,
                  s.C});
    }
  }
}

}  // namespace oche::kernels
