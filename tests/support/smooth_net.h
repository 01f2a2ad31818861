// A small network without kinks, for tests of higher derivatives.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "engine/ops.h"

namespace oche {

// Deterministic values of moderate size.
inline Tensor wave(const Shape& shape, double phase) {
  std::vector<double> values(numel(shape));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(1.7 * static_cast<double>(i) + phase);
  return Tensor::from(values, shape);
}

// A smooth network: convolution, batch normalisation, tanh, convolution, sigmoid, cross entropy.
struct SmoothNet {
  Tensor x = wave({2, 4, 4, 2}, 0);
  Tensor labels = Tensor::from(std::vector<int64_t>{2, 0}, {2});
  std::vector<Tensor> parameters = {
      wave({3, 3, 2, 3}, 1), wave({3}, 2), wave({3}, 3), wave({1, 1, 3, 3}, 4)};

  SmoothNet() {
    for (const Tensor& p : parameters) p.set_requires_grad(true);
  }
  Tensor loss(std::span<const Tensor> p) const {
    const Tensor h = tanh(batch_norm(conv2d(x, p[0], {.padding = 1}), p[1], p[2]).y);
    return cross_entropy(global_avg_pool(sigmoid(conv2d(h, p[3]))) * 5.0, labels);
  }
};

}  // namespace oche
