// The weights that solve an inner problem, for networks small enough.
#pragma once

#include <vector>

#include "nas/arch_gradient.h"

namespace oche::nas {

struct InnerSolveOptions {
  double tolerance = 1e-12;  // of |gradient|
  int64_t iterations = 200;
  int64_t at_least = 0;  // iterations, from wherever the start is
};
struct InnerOptimum {
  std::vector<Tensor> weights;
  double gradient_norm = 0;  // |d/dw (L_train + decay / 2 |w|^2)|
  int64_t passes = 0;
  bool converged = false;
};
// Minimises L_train + decay / 2 |w|^2 from the present weights by Newton's method, each direction
// by conjugate gradients and shortened until the objective falls (Nocedal and Wright, "Numerical
// Optimization", alg. 7.1). The alphas stay. Finds a stationary point, which of several depends on
// the start. Throws std::invalid_argument for more than kDenseLimit weights
// (engine/linear_solve.h).
InnerOptimum solve_inner(const Bilevel& problem,
                         double decay,
                         const InnerSolveOptions& options = {});

}  // namespace oche::nas
