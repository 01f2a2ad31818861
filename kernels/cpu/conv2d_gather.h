// A convolution, or its adjoint, seen as a gather: which source positions a target position reads,
// and through which taps of the kernel. The adjoint at stride s is s * s gathers, one for each
// residue of the target position.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "kernels/conv2d.h"

namespace oche::kernels {

// One axis. For i < positions:
//   target[start + i * step] = sum_{t < taps} kernel[tap + t * tap_step] * source[at(i, t)],
// over the at(i, t) that lie in [0, extent). Taps are in ascending order of what they read.
struct GatherAxis {
  int64_t extent;                      // of the source
  int64_t positions, start, step;      // in the target
  int64_t taps, tap, tap_step;         // in the kernel
  int64_t scale, offset, offset_step;  // in the source

  int64_t at(int64_t i, int64_t t) const { return i * scale + offset + t * offset_step; }
  bool inside(int64_t i) const { return 0 <= i && i < extent; }
  // The span of source positions that the taps of one position read.
  int64_t reach() const { return std::max<int64_t>(0, taps - 1) * offset_step + 1; }
  // True iff position i reads source position i and nothing else, for every i.
  bool is_identity() const { return taps == 1 && scale == 1 && offset == 0 && positions == extent; }
};

struct Gather {
  GatherAxis rows, columns;
  int64_t N, source_C, target_h, target_w, target_C;

  struct Position {
    int64_t n, i, j;
  };
  // The m-th position in scan order.
  Position position(int64_t m) const {
    const int64_t row = m / columns.positions;
    return {row / rows.positions, row % rows.positions, m % columns.positions};
  }
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

// The gradient at h = residue + i * stride: output p reads h through tap r iff p * stride = h +
// padding - r * dilation. Such taps are a period apart, if there are any.
inline GatherAxis adjoint_axis(
    const Conv2dShape& s, int64_t in, int64_t out, int64_t kernel, int64_t residue) {
  const int64_t common = std::gcd(s.stride, s.dilation), period = s.stride / common;
  const auto times_stride = [&](int64_t tap) { return residue + s.padding - tap * s.dilation; };
  int64_t last = kernel - 1;
  while (last >= 0 && times_stride(last) % s.stride != 0) --last;
  return {.extent = out,
          .positions = (in - residue + s.stride - 1) / s.stride,
          .start = residue,
          .step = s.stride,
          .taps = last < 0 ? 0 : last / period + 1,
          .tap = last,
          .tap_step = -period,
          .scale = 1,
          .offset = last < 0 ? 0 : times_stride(last) / s.stride,
          .offset_step = s.dilation / common};
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
