// Convolution straight from its equation, a product after the other, for operands that are not
// finite. The ways to compute it fast give taps in the padding a zero for a factor; here they have
// no term at all, so that a NaN or an infinity stays where the equation has it.
#pragma once

#include "kernels/conv2d.h"

namespace oche::kernels {

// True iff a zero of the padding can meet an operand, in the convolution or in a gradient.
inline bool meets_padding(const Conv2dShape& s) {
  return s.padding > 0 || s.kernel_h > 1 || s.kernel_w > 1;
}

// As conv2d_forward() and conv2d_input_grad().
template <typename T>
void plain_forward(CpuContext&, const Conv2dShape&, const T* x, const T* gate, const T* w, T* y);
template <typename T>
void plain_input_grad(
    CpuContext&, const Conv2dShape&, const T* grad_y, const T* gate, const T* w, T* grad_x);

// Computes the elements of a weight gradient anew that are NaN.
template <typename T>
void mend_weight_grad(
    CpuContext&, const Conv2dShape&, const T* x, const T* gate, const T* grad_y, T* grad_w);

}  // namespace oche::kernels
