// Backward rules against finite differences, in double precision.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace oche {

// The function under test: it records its work as any code does. Outputs that autograd calls
// constant are left out by it.
using Differentiable = std::function<std::vector<Tensor>(std::span<const Tensor> inputs)>;

struct GradcheckOptions {
  uint64_t seed = 1;   // of the direction on which the outputs are projected
  double step = 1e-3;  // h; inputs must lie further than 2h from kinks and ties
};

// The entry at which the two derivatives differ most. The error is relative to the largest entry of
// the gradient of that input, or to kGradcheckFloor where that is larger.
struct GradcheckReport {
  double worst_error = 0;
  size_t input = 0;
  int64_t element = 0;  // row-major
  double analytic = 0, numeric = 0;
  int64_t checked = 0;  // entries compared
  uint64_t seed = 0;
};
std::string to_string(const GradcheckReport& report);  // one line

inline constexpr double kGradcheckFloor = 1e-3;

// Compares d <c, fn(inputs)> / d inputs, c random, with a difference quotient of fourth order, for
// every element of the inputs that require a gradient. Inputs are f64 and left alone.
GradcheckReport gradcheck(const Differentiable& fn,
                          std::span<const Tensor> inputs,
                          GradcheckOptions options = {});

// The same for the gradients themselves, as a function of the inputs and of the outputs'
// cotangents: the derivative of the backward rules. Applied to fn's gradients it reaches any order.
GradcheckReport gradgradcheck(const Differentiable& fn,
                              std::span<const Tensor> inputs,
                              GradcheckOptions options = {});

}  // namespace oche
