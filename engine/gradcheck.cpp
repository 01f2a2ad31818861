// Backward rules against finite differences.
#include "engine/gradcheck.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/random.h"

namespace oche {
namespace {

using Values = std::vector<double>;

// Numbers of magnitude 0.5 to 1.5: no element goes unnoticed.
Tensor random_direction(const Shape& shape, uint64_t seed, int64_t stream) {
  RandomWords words(random_key(seed, module_id("gradcheck"), Purpose::kPerturb), 0, stream);
  Values values(numel(shape));
  for (double& v : values) {
    const uint32_t word = words.next();
    const double magnitude = 0.5 + (word >> 1) * 0x1p-31;
    v = word & 1 ? magnitude : -magnitude;
  }
  return Tensor::from(values, shape);
}

// Copies that fn may record, and that can be moved.
std::vector<Tensor> leaves_like(std::span<const Tensor> inputs) {
  std::vector<Tensor> leaves;
  for (const Tensor& t : inputs) {
    if (t.dtype() != DType::kFloat64) {
      throw std::invalid_argument(fmt::format(
          "gradcheck: input {} is {}; expected f64", leaves.size(), to_string(t.dtype())));
    }
    leaves.push_back(t.clone().set_requires_grad(t.requires_grad()));
  }
  return leaves;
}

std::vector<Values> evaluate(const Differentiable& fn, std::span<const Tensor> inputs) {
  std::vector<Values> values;
  for (const Tensor& y : fn(inputs)) values.push_back(y.to_vector<double>());
  return values;
}

// <c, plus - minus>: subtracted entry by entry, before the sum can cancel.
double projected_difference(const std::vector<Values>& c,
                            const std::vector<Values>& plus,
                            const std::vector<Values>& minus) {
  double sum = 0;
  for (size_t k = 0; k < c.size(); ++k) {
    for (size_t i = 0; i < c[k].size(); ++i) sum += c[k][i] * (plus[k][i] - minus[k][i]);
  }
  return sum;
}

// d <c, fn> / d x[i] = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h + O(h^4)  (Abramowitz &
// Stegun 25.3.6)
double numeric_derivative(const Differentiable& fn,
                          std::span<const Tensor> inputs,
                          const std::vector<Values>& c,
                          const Tensor& x,
                          int64_t i,
                          double h) {
  const Tensor element = slice(reshape(x.detach(), {x.numel()}), 0, i, i + 1);
  const double centre = element.item();
  const auto move_to = [&](double value) {
    element.assign(Tensor::full({1}, value, x.dtype(), x.device()));
  };
  const auto at = [&](double offset) {
    move_to(centre + offset);
    return evaluate(fn, inputs);
  };
  const double near = projected_difference(c, at(h), at(-h));
  const double far = projected_difference(c, at(2 * h), at(-2 * h));
  move_to(centre);
  return (8 * near - far) / (12 * h);
}

// d <c, fn(leaves)> / d leaves, by the rules under test; zeros where nothing depends.
std::vector<Tensor> analytic_gradients(std::span<const Tensor> outputs,
                                       std::span<const Tensor> cotangents,
                                       std::span<const Tensor> leaves,
                                       GradOptions options = {}) {
  std::vector<Tensor> ys, cs, wanted;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!outputs[k].requires_grad()) continue;
    ys.push_back(outputs[k]);
    cs.push_back(cotangents[k]);
  }
  for (const Tensor& t : leaves) {
    if (t.requires_grad()) wanted.push_back(t);
  }
  std::vector<Tensor> gradients(wanted.size());
  if (!ys.empty()) gradients = grad(ys, wanted, cs, options);
  return defined_or_zeros(std::move(gradients), wanted);
}

std::vector<Tensor> random_directions(std::span<const Tensor> like, uint64_t seed) {
  std::vector<Tensor> directions;
  for (const Tensor& t : like) {
    directions.push_back(
        random_direction(t.shape(), seed, static_cast<int64_t>(directions.size())));
  }
  return directions;
}

}  // namespace

std::string to_string(const GradcheckReport& r) {
  return fmt::format(
      "worst of {} entries: input {}, element {}: analytic {:.17g}, numeric {:.17g}, relative "
      "error {:.2g} (seed {})",
      r.checked,
      r.input,
      r.element,
      r.analytic,
      r.numeric,
      r.worst_error,
      r.seed);
}

GradcheckReport gradcheck(const Differentiable& fn,
                          std::span<const Tensor> inputs,
                          GradcheckOptions options) {
  const GradModeGuard record(true);
  const std::vector<Tensor> leaves = leaves_like(inputs);
  const std::vector<Tensor> outputs = fn(leaves);
  const std::vector<Tensor> directions = random_directions(outputs, options.seed);
  std::vector<Values> c;
  for (const Tensor& t : directions) c.push_back(t.to_vector<double>());

  const std::vector<Tensor> gradients = analytic_gradients(outputs, directions, leaves);
  GradcheckReport report{.seed = options.seed};
  auto gradient = gradients.begin();
  for (size_t k = 0; k < leaves.size(); ++k) {
    if (!leaves[k].requires_grad()) continue;
    const Values analytic = (gradient++)->to_vector<double>();
    Values numeric(analytic.size());
    double scale = kGradcheckFloor;
    for (size_t i = 0; i < numeric.size(); ++i) {
      numeric[i] =
          numeric_derivative(fn, leaves, c, leaves[k], static_cast<int64_t>(i), options.step);
      scale = std::max({scale, std::abs(analytic[i]), std::abs(numeric[i])});
    }
    for (size_t i = 0; i < numeric.size(); ++i) {
      ++report.checked;
      const double error = std::abs(analytic[i] - numeric[i]) / scale;
      if (error <= report.worst_error) continue;  // false for NaN
      report.worst_error = error;
      report.input = k;
      report.element = static_cast<int64_t>(i);
      report.analytic = analytic[i];
      report.numeric = numeric[i];
      if (std::isnan(error)) return report;
    }
  }
  return report;
}

GradcheckReport gradgradcheck(const Differentiable& fn,
                              std::span<const Tensor> inputs,
                              GradcheckOptions options) {
  const GradModeGuard record(true);
  const size_t n = inputs.size();
  std::vector<Tensor> all(inputs.begin(), inputs.end());
  for (const Tensor& c : random_directions(fn(leaves_like(inputs)), options.seed + 1)) {
    all.push_back(c.set_requires_grad(true));
  }
  const Differentiable gradients = [&fn, n](std::span<const Tensor> xc) {
    const auto x = xc.first(n);
    return analytic_gradients(fn(x), xc.subspan(n), x, {.create_graph = true});
  };
  return gradcheck(gradients, all, options);
}

}  // namespace oche
