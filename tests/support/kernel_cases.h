// How the tests of both back ends' kernels name their cases, and what they all go through.
#pragma once

#include <fmt/format.h>

#include <string>

#include "kernels/conv2d.h"
#include "kernels/elementwise.h"
#include "kernels/pool2d.h"

namespace oche {

inline std::string text(const kernels::Conv2dShape& s) {
  return fmt::format(
      "({}, {}, {}, {}) * ({}, {}, {}), groups {}, stride {}, padding {}, dilation {}",
      s.N,
      s.H,
      s.W,
      s.C,
      s.kernel_h,
      s.kernel_w,
      s.out_C,
      s.groups,
      s.stride,
      s.padding,
      s.dilation);
}
inline std::string text(const kernels::Pool2dShape& s) {
  return fmt::format("({}, {}, {}, {}), kernel {}, stride {}, padding {}",
                     s.N,
                     s.H,
                     s.W,
                     s.C,
                     s.kernel,
                     s.stride,
                     s.padding);
}

inline constexpr kernels::Unary kUnaries[] = {kernels::Unary::kNegate,
                                              kernels::Unary::kExp,
                                              kernels::Unary::kLog,
                                              kernels::Unary::kSqrt,
                                              kernels::Unary::kSigmoid,
                                              kernels::Unary::kTanh,
                                              kernels::Unary::kReciprocal,
                                              kernels::Unary::kAbs,
                                              kernels::Unary::kSign};
inline constexpr kernels::Binary kBinaries[] = {kernels::Binary::kAdd,
                                                kernels::Binary::kSubtract,
                                                kernels::Binary::kMultiply,
                                                kernels::Binary::kDivide,
                                                kernels::Binary::kGate};

}  // namespace oche
