// Naive double-precision convolution and matrix product, straight from the equations in the
// kernels' headers.
#pragma once

#include "kernels/conv2d.h"
#include "kernels/gemm.h"
#include "tests/support/reference.h"

namespace oche::ref {

// `gate` may be empty: no gate.
Values conv2d(const kernels::Conv2dShape& s, const Values& x, const Values& gate, const Values& w);
Values conv2d_input_grad(const kernels::Conv2dShape& s,
                         const Values& grad_y,
                         const Values& gate,
                         const Values& w);
Values conv2d_weight_grad(const kernels::Conv2dShape& s,
                          const Values& x,
                          const Values& gate,
                          const Values& grad_y);

Values gemm(const kernels::GemmShape& s, const Values& a, const Values& b);

}  // namespace oche::ref
