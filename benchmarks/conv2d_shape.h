// Convolutions and pools as rows describe them, with their sizes and operation counts.
#pragma once

#include <stdexcept>

#include "benchmarks/row.h"
#include "kernels/conv2d.h"
#include "kernels/pool2d.h"

namespace oche::bench {

// Rows name what they vary: without out_c a convolution is depthwise, without kernel it is 1x1.
inline kernels::Conv2dShape conv2d_shape(const Arguments& a) {
  const auto value = [&](std::string_view name, int64_t otherwise) {
    return a.has(name) ? a[name] : otherwise;
  };
  const int64_t C = a["c"], kernel = value("kernel", 1), dilation = value("dilation", 1);
  const kernels::Conv2dShape s{.N = a["n"],
                               .H = a["h"],
                               .W = a["w"],
                               .C = C,
                               .kernel_h = kernel,
                               .kernel_w = kernel,
                               .out_C = value("out_c", C),
                               .groups = a.has("out_c") ? value("groups", 1) : C,
                               .stride = a["stride"],
                               .padding = dilation * (kernel - 1) / 2,
                               .dilation = dilation};
  if (kernel > 64 || dilation > 64 || s.C % s.groups != 0 || s.out_C % s.groups != 0) {
    throw std::invalid_argument(
        "conv2d: expected kernel <= 64, dilation <= 64, and groups to divide c and out_c");
  }
  if (s.out_h() < 1 || s.out_w() < 1) {
    throw std::invalid_argument("conv2d: the kernel is larger than the padded image");
  }
  // These throw where a tensor would be too large.
  volume({s.N, s.H, s.W, s.C});
  volume({s.N, s.out_h(), s.out_w(), s.out_C});
  volume({s.kernel_h, s.kernel_w, s.C / s.groups, s.out_C});
  return s;
}

// Taps in the padding included.
inline double conv2d_flops(const kernels::Conv2dShape& s) {
  return 2.0 * static_cast<double>(output_size(s)) *
         static_cast<double>(s.kernel_h * s.kernel_w * (s.C / s.groups));
}

inline kernels::Pool2dShape pool2d_shape(const Arguments& a) {
  const int64_t kernel = a["kernel"];
  const kernels::Pool2dShape s{.N = a["n"],
                               .H = a["h"],
                               .W = a["w"],
                               .C = a["c"],
                               .kernel = kernel,
                               .stride = a["stride"],
                               .padding = kernel / 2};
  if (kernel > 16 || s.H + 2 * s.padding < kernel || s.W + 2 * s.padding < kernel) {
    throw std::invalid_argument("pool2d: expected kernel <= 16 that fits the padded image");
  }
  volume({s.N, s.H, s.W, s.C});  // throw where a tensor would be too large
  volume({s.N, s.out_h(), s.out_w(), s.C});
  return s;
}

inline double pool2d_flops(const kernels::Pool2dShape& s) {
  return static_cast<double>(output_size(s)) * static_cast<double>(s.kernel * s.kernel);
}

}  // namespace oche::bench
