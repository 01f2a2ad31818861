// Relu without its kink.
#include <fmt/format.h>

#include <stdexcept>

#include "engine/ops.h"

namespace oche {
namespace {

thread_local double sharpness_here = 0;  // 0: relu

}  // namespace

SmoothRelu::SmoothRelu(double sharpness) : outer_(sharpness_here) {
  if (!(sharpness > 0))
    throw std::invalid_argument(
        fmt::format("smooth relu: sharpness {}; expected a positive number", sharpness));
  sharpness_here = sharpness;
}
SmoothRelu::~SmoothRelu() {
  sharpness_here = outer_;
}
bool SmoothRelu::active() {
  return sharpness_here > 0;
}

// relu(x) + log(1 + exp(-s |x|)) / s is the same, and does not overflow.
Tensor activation(const Tensor& x) {
  if (!SmoothRelu::active()) return relu(x);
  const double s = sharpness_here;
  return relu(x) + log(exp(abs(x) * -s) + 1.0) * (1 / s);
}

Tensor relu_conv2d(const Tensor& x, const Tensor& weight, Conv2dOptions options) {
  if (SmoothRelu::active()) return conv2d(activation(x), weight, options);
  return conv2d(x, weight, options, x);
}

}  // namespace oche
