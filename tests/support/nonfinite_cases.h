// Small integers with a NaN or an infinity among them, at the borders of an image, for kernels that
// must not carry it to where the equation has no term with it: taps in the padding contribute
// nothing, not zero times what they meet.
#pragma once

#include <limits>
#include <utility>
#include <vector>

#include "kernels/conv2d.h"
#include "kernels/pool2d.h"
#include "tests/support/reference_conv.h"
#include "tests/support/values.h"

namespace oche {

// An image (N, H, W, C), or anything else as one of a single pixel.
struct ImageExtents {
  int64_t N, H, W, C;
};

// visit(v with one number replaced): a corner, an edge, the inside, the last element; NaN and both
// infinities in turn.
template <typename Visit>
void for_planted(const ref::Values& v, const ImageExtents& e, const Visit& visit) {
  if (v.empty()) return;
  const double infinity = std::numeric_limits<double>::infinity();
  const double bad[] = {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity};
  const auto at = [&](int64_t n, int64_t h, int64_t w, int64_t c) {
    return ((n * e.H + h) * e.W + w) * e.C + c;
  };
  const int64_t places[] = {at(0, 0, 0, 0),
                            at(0, e.H / 2, e.W - 1, e.C / 2),
                            at(e.N - 1, e.H / 2, e.W / 2, e.C - 1),
                            at(e.N - 1, e.H - 1, std::min<int64_t>(1, e.W - 1), 0),
                            at(e.N - 1, e.H - 1, e.W - 1, e.C - 1)};
  for (int i = 0; i < 5; ++i) {
    for (double value : {bad[i % 3], bad[(i + 1) % 3]}) {
      ref::Values planted = v;
      planted[places[i]] = value;
      visit(planted);
    }
  }
}

struct ConvSample {
  ref::Values x, gate, w, grad_y;  // no gate where that is empty
  bool gate_is_x = false;
};
struct ConvGradients {
  ref::Values y, grad_x, grad_w;
};
inline ConvGradients equation(const kernels::Conv2dShape& s, const ConvSample& a) {
  return {ref::conv2d(s, a.x, a.gate, a.w),
          ref::conv2d_input_grad(s, a.grad_y, a.gate, a.w),
          ref::conv2d_weight_grad(s, a.x, a.gate, a.grad_y)};
}

// Every kernel size, stride, dilation and padding on images whose rows are no whole vectors,
// depthwise and not.
inline std::vector<kernels::Conv2dShape> nonfinite_convolutions() {
  std::vector<kernels::Conv2dShape> all;
  for (auto [kernel_h, kernel_w] : {std::pair<int64_t, int64_t>{1, 1}, {3, 3}, {5, 5}, {2, 4}}) {
    for (int64_t stride : {1, 2, 3}) {
      for (int64_t dilation : {1, 2}) {
        for (int64_t padding : {int64_t{0}, dilation * (kernel_h - 1) / 2, dilation * kernel_h}) {
          kernels::Conv2dShape s{2, 9, 10, 8, kernel_h, kernel_w, 8, 8, stride, padding, dilation};
          if (padding == 0 && kernel_h == 5) s.N = 1;
          all.push_back(s);
          s.C = s.out_C = s.groups = 5;  // no whole vectors
          if (all.size() % 2 == 0) all.push_back(s);
          s.N = 1;
          s.C = 3;
          s.out_C = 4;
          s.groups = 1;
          if (dilation == 1 || all.size() % 3 == 0) all.push_back(s);
        }
      }
    }
  }
  all.push_back({2, 5, 9, 8, 3, 3, 4, 2, 1, 1});      // groups of several channels
  all.push_back({1, 6, 33, 4, 3, 3, 4, 4, 1, 1});     // strips inside the image, and at its borders
  all.push_back({1, 3, 30, 2, 20, 20, 2, 2, 1, 19});  // more taps than pixels
  return all;
}

// visit(sample) for samples with one number of x, grad_y or w that is not finite; gates in turn.
template <typename Visit>
void for_nonfinite_samples(const kernels::Conv2dShape& s, const Visit& visit) {
  const ConvSample sound{.x = small_integers(input_size(s), 1),
                         .gate = {},
                         .w = small_integers(weight_size(s), 3),
                         .grad_y = small_integers(output_size(s), 4)};
  int number = 0;
  const auto visit_gated = [&](ConvSample a) {
    const int kind = number++ % 3;
    if (kind > 0) a.gate = kind == 1 ? a.x : small_integers(input_size(s), 2);
    a.gate_is_x = kind == 1;
    visit(a);
  };
  const auto plant = [&](ref::Values ConvSample::*array, const ImageExtents& e) {
    for_planted(sound.*array, e, [&](const ref::Values& values) {
      ConvSample a = sound;
      a.*array = values;
      visit_gated(a);
    });
  };
  plant(&ConvSample::x, {s.N, s.H, s.W, s.C});
  plant(&ConvSample::grad_y, {s.N, s.out_h(), s.out_w(), s.out_C});
  plant(&ConvSample::w, {1, s.kernel_h, s.kernel_w, weight_size(s) / s.kernel_h / s.kernel_w});
}

// Windows that overlap, that leave pixels out, that reach into the padding.
inline std::vector<kernels::Pool2dShape> nonfinite_pools() {
  std::vector<kernels::Pool2dShape> all;
  for (int64_t kernel : {2, 3, 5}) {
    for (int64_t stride : {1, 2, 3}) {
      for (int64_t padding : {int64_t{0}, kernel / 2, kernel - 1}) {
        all.push_back({2, 7, 10, 8, kernel, stride, padding});
        all.push_back({1, 6, 9, 3, kernel, stride, padding});
      }
    }
  }
  return all;
}

}  // namespace oche
