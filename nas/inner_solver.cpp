// Newton's method for the inner problem.
#include "nas/inner_solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/linear_solve.h"
#include "engine/mixed_cell.h"
#include "engine/op.h"
#include "nas/curvature.h"

namespace oche::nas {

InnerOptimum solve_inner(const Bilevel& p, double decay, const InnerSolveOptions& o) {
  if (p.weights.numel() > kDenseLimit)
    throw std::invalid_argument(fmt::format(
        "inner problem: {} weights; expected at most {}", p.weights.numel(), kDenseLimit));
  const NoGrad no_grad;
  const FullPrecision full;
  const std::vector<Tensor> like = detached(p.weights.tensors());
  Vector w = flatten(like);
  InnerOptimum result;
  const auto objective = [&](const Vector& at) {
    const Substitution put(p.weights, unflatten(at, like));
    const Frozen frozen(p.alphas);
    ++result.passes;
    return p.train_loss().item() + decay / 2 * dot(at, at);
  };
  double value = objective(w);
  for (int64_t k = 0;; ++k) {
    const Curvature curvature(p, unflatten(w, like), decay);
    const Vector g = flatten(curvature.gradient());
    ++result.passes;
    result.gradient_norm = norm(g);
    result.converged = result.gradient_norm <= o.tolerance;
    if ((result.converged && k >= o.at_least) || k == o.iterations) break;
    Vector downhill(g.size(), 0);
    add(downhill, -1, g);
    Solution s =
        conjugate_gradients([&](const Vector& v) { return curvature.hessian(v); },
                            downhill,
                            {.iterations = std::ssize(g),
                             .tolerance = std::clamp(result.gradient_norm * 1e-3, 1e-13, 0.1)});
    result.passes += 2 * s.products;
    const bool is_newton = s.products > 0 && norm(s.x) > 0;
    const Vector& direction = is_newton ? s.x : downhill;
    const double slope = dot(g, direction);
    // Close to the end the objective no longer shows a fall: there a full step is taken.
    const double visible = 1e-12 * std::max(1.0, std::abs(value));
    double length = 1, next = value;
    Vector moved;
    bool fell = false;
    for (; length > 1e-10 && !fell; length /= 2) {
      moved = w;
      add(moved, length, direction);
      next = objective(moved);
      fell = next <= value + 1e-4 * length * slope || (-slope < visible && next <= value + visible);
    }
    if (!fell) break;
    w = std::move(moved);
    value = next;
  }
  result.weights = unflatten(w, like);
  return result;
}

}  // namespace oche::nas
