// Estimators of the hypergradient.
#include "nas/hypergradient.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "engine/linear_solve.h"
#include "engine/mixed_cell.h"
#include "engine/op.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "nas/curvature.h"
#include "nas/inner_solver.h"
#include "nas/relaxation.h"
#include "nas/unroll.h"

namespace oche::nas {
namespace {

int64_t whole(const EstimatorNumbers& n, std::string_view name, int64_t least) {
  const double value = n.find(name)->second;
  if (!(value >= static_cast<double>(least) && value < 1e9 && value == std::floor(value)))
    throw std::invalid_argument(
        fmt::format("{}: {}; expected a whole number from {}", name, value, least));
  return static_cast<int64_t>(value);
}

double positive(const EstimatorNumbers& n, std::string_view name) {
  const double value = n.find(name)->second;
  if (!(value > 0 && std::isfinite(value)))
    throw std::invalid_argument(fmt::format("{}: {}; expected a positive number", name, value));
  return value;
}

// A rate of 0 stands for the inner step's.
double rate_of(const EstimatorNumbers& n, const InnerStep& s) {
  return n.find("rate")->second == 0 ? s.rate.item() : positive(n, "rate");
}

// How the search itself estimates.
Hypergradient by(std::string_view name,
                 const ArchGradientOptions& options,
                 const Bilevel& p,
                 const InnerStep& s,
                 int64_t passes) {
  const FullPrecision full;
  return {.gradients = make_arch_gradient(name, options)->compute(p, s).gradients,
          .passes = passes};
}

Hypergradient first_order(const Bilevel& p, const InnerStep& s, const EstimatorNumbers&) {
  return by("first-order", {}, p, s, 1);
}

Hypergradient exact_unrolled(const Bilevel& p, const InnerStep& s, const EstimatorNumbers&) {
  return by("exact-unrolled", {}, p, s, 5);
}

Hypergradient finite_difference(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  ArchGradientOptions options{.radius = positive(n, "radius"),
                              .relative = whole(n, "relative", 0) != 0,
                              .points = whole(n, "points", 1)};
  const auto at_radius = [&] {
    return by("finite-difference", options, p, s, 2 + std::max<int64_t>(2, options.points));
  };
  // Below this the probe is lost in the rounding of the weights.
  const double size = norm(flatten(p.weights.tensors()));
  const double unit = p.weights[0].value.dtype() == DType::kFloat64 ? 0x1p-53 : 0x1p-24;
  const double length = options.relative ? options.radius * size : options.radius;
  Hypergradient best = at_radius();
  if (length < unit * size)
    best.fault = fmt::format(
        "below rounding: a probe of length {:.3g} beside weights of length {:.3g}", length, size);
  // Twice as long each time. Rounding falls and truncation grows with the radius, and what kinks
  // throw in falls with the number of them: where the estimate moves least, none of them is large.
  Vector last = flatten(best.gradients);
  int64_t passes = best.passes;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < whole(n, "doublings", 0); ++i) {
    options.radius *= 2;
    Hypergradient next = at_radius();
    passes += next.passes;
    Vector here = flatten(next.gradients);
    add(last, -1, here);
    if (const double move = norm(last); move < least) {
      least = move;
      best = std::move(next);
    }
    last = std::move(here);
  }
  best.passes = passes;
  return best;
}

Hypergradient unrolled(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const int64_t steps = whole(n, "steps", 1);
  const Unrolled u = unroll_reverse(p, s, steps, steps);
  return {.gradients = u.gradients, .passes = u.passes};
}

Hypergradient truncated(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const Unrolled u = unroll_reverse(p, s, whole(n, "steps", 1), whole(n, "last", 0));
  return {.gradients = u.gradients, .passes = u.passes};
}

Hypergradient forward_mode(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const Unrolled u = unroll_forward(p, s, whole(n, "steps", 1));
  return {.gradients = u.gradients, .passes = u.passes};
}

// direct - A u, with u made of v by `solve`.
template <typename Solve>
Hypergradient implicit(const Bilevel& p, const InnerStep& s, const Solve& solve) {
  const FullPrecision full;
  const std::vector<Tensor> w = detached_leaves(p.weights.tensors());
  const ValidationGradient at = validation_gradient(p, w);
  const Curvature curvature(p, w, s.weight_decay);
  const Solution u = solve([&](const Vector& x) { return curvature.hessian(x); }, flatten(at.v));
  const std::vector<Tensor> mixed = curvature.mixed(unflatten(u.x, w));
  const NoGrad no_grad;
  Hypergradient h{.passes = 2 + 2 * (u.products + 1), .residuals = u.residuals, .fault = u.fault};
  for (size_t i = 0; i < mixed.size(); ++i) h.gradients.push_back(at.direct[i] - mixed[i]);
  return h;
}

Hypergradient identity(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const double scale = positive(n, "scale");
  return implicit(p, s, [scale](const SymmetricProduct&, Vector v) {
    for (double& x : v) x *= scale;
    return Solution{.x = std::move(v)};
  });
}

Hypergradient amended(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const double rate = rate_of(n, s);
  return implicit(p, s, [rate](const SymmetricProduct& hessian, const Vector& v) {
    Solution u{.x = hessian(v), .products = 1};
    for (double& x : u.x) x *= rate;
    return u;
  });
}

Hypergradient neumann_series(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  return implicit(p, s, [&](const SymmetricProduct& hessian, const Vector& v) {
    return neumann(hessian, v, rate_of(n, s), whole(n, "terms", 0));
  });
}

using Solver = Solution (*)(const SymmetricProduct&, const Vector&, const SolveOptions&);
template <Solver kSolve>
Hypergradient solved(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const auto number = [&](std::string_view name, double otherwise) {
    const auto found = n.find(name);
    return found == n.end() ? otherwise : found->second;
  };
  const SolveOptions options{.iterations = n.contains("iterations") ? whole(n, "iterations", 1) : 0,
                             .tolerance = number("tolerance", 0),
                             .damping = number("damping", 0),
                             .seed = static_cast<uint64_t>(number("seed", 0))};
  return implicit(p, s, [&](const SymmetricProduct& hessian, const Vector& v) {
    return kSolve(hessian, v, options);
  });
}

// The alphas moved by `step` along `direction`, for a scope.
Substitution<struct AlphaKind> moved_alphas(const Bilevel& p,
                                            double step,
                                            const Vector& direction) {
  Vector values = flatten(p.alphas.tensors());
  add(values, step, direction);
  return {p.alphas, detached_leaves(unflatten(values, p.alphas.tensors()))};
}

double validation_at(const Bilevel& p, const std::vector<Tensor>& weights) {
  const NoGrad no_grad;
  const FullPrecision full;
  const Substitution at(p.weights, weights);
  return p.validation_loss().item();
}

// What the estimators by differences share: the alphas as one vector, and its tensors.
Hypergradient from_vector(const Bilevel& p, const Vector& values) {
  return {.gradients = unflatten(values, p.alphas.tensors())};
}

Hypergradient zero_order(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const int64_t samples = whole(n, "samples", 1), steps = whole(n, "steps", 0);
  const double radius = positive(n, "radius");
  Vector total(p.alphas.numel(), 0);
  const auto f = [&](double step, const Vector& z) {
    const auto at = moved_alphas(p, step, z);
    return validation_at(p, inner_steps(p, s, inner_start(p, s), steps).weights);
  };
  for (int64_t i = 0; i < samples; ++i) {
    const RandomKey key = random_key(
        static_cast<uint64_t>(whole(n, "seed", 0)), module_id("zero-order"), Purpose::kPerturb);
    const Vector z = flatten({random_normal({p.alphas.numel()}, DType::kFloat64, {key, i})});
    add(total, (f(radius, z) - f(-radius, z)) / (2 * radius * static_cast<double>(samples)), z);
  }
  Hypergradient h = from_vector(p, total);
  h.passes = 2 * samples * (steps + 1);
  return h;
}

Hypergradient bilevel_difference(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const double step = positive(n, "step");
  const InnerSolveOptions options{.tolerance = positive(n, "tolerance"),
                                  .iterations = whole(n, "iterations", 1)};
  if (p.weights.numel() > kDenseLimit)
    throw std::invalid_argument(fmt::format(
        "bilevel-difference: {} weights; expected at most {}", p.weights.numel(), kDenseLimit));
  Vector total(p.alphas.numel(), 0), unit = total;
  int64_t passes = 0;
  double worst = 0;
  const InnerOptimum start = solve_inner(p, s.weight_decay, options);
  const Substitution from(p.weights, start.weights);
  const auto value = [&](double by) {
    const auto at = moved_alphas(p, by, unit);
    const InnerOptimum optimum = solve_inner(p, s.weight_decay, options);
    passes += optimum.passes + 1;
    worst = std::max(worst, optimum.gradient_norm);
    return validation_at(p, optimum.weights);
  };
  for (size_t i = 0; i < total.size(); ++i) {
    unit[i] = 1;
    total[i] = (value(step) - value(-step)) / (2 * step);
    unit[i] = 0;
  }
  Hypergradient h = from_vector(p, total);
  h.passes = passes + start.passes;
  if (!(worst <= options.tolerance))
    h.fault =
        fmt::format("not converged: the inner problem was left at |gradient| = {:.3g}", worst);
  return h;
}

const std::vector<Estimator>& table() {
  static const EstimatorNumber kIterations{"iterations", 20, "at most"},
      kTolerance{"tolerance", 1e-10, "of the residual over |v|"},
      kDamping{"damping", 0, "delta: H + delta I is inverted"},
      kRate{"rate", 0, "eta; 0: the inner step's"}, kSteps{"steps", 10, "inner steps T"},
      kSeed{"seed", 0, "of the random numbers"};
  static const std::vector<Estimator> rows = {
      {"first-order",
       "dL_val/dalpha at w",
       "DARTS, arXiv:1806.09055, sec. 2.3",
       false,
       {},
       first_order},
      {"finite-difference",
       "one step ahead, the mixed product as a difference of gradients",
       "DARTS, eq. 8",
       false,
       {{"radius", 0.01, "of the probe, over |v|"},
        {"relative", 0, "1: the radius counts in lengths of w"},
        {"points", 2, "1 one-sided, 2 central, 4 central of fourth order"},
        {"doublings", 0, "radii beyond it; taken is the one that changes the estimate least"}},
       finite_difference},
      {"exact-unrolled",
       "one step ahead, with the exact mixed product",
       "DARTS, eq. 7",
       false,
       {},
       exact_unrolled},
      {"unrolled",
       "reverse mode through T inner steps",
       "Franceschi et al., arXiv:1703.01785",
       false,
       {kSteps},
       unrolled},
      {"truncated",
       "reverse mode through the last of T inner steps",
       "Shaban et al., arXiv:1810.10667",
       false,
       {kSteps, {"last", 3, "steps that are gone back through"}},
       truncated},
      {"forward-mode",
       "forward mode through T inner steps: a product for each entry of the alphas",
       "Franceschi et al., arXiv:1703.01785",
       false,
       {{"steps", 2, "inner steps T"}},
       forward_mode},
      {"neumann",
       "H^-1 as a truncated series",
       "Lorraine et al., arXiv:1911.02590",
       false,
       {{"terms", 2, "K: the series runs from 0 to K"}, kRate},
       neumann_series},
      {"cg",
       "H^-1 v by conjugate gradients",
       "Pedregosa, arXiv:1602.02355",
       false,
       {kIterations, kTolerance, kDamping},
       solved<conjugate_gradients>},
      {"minres",
       "H^-1 v by the minimal residual, for indefinite H",
       "Paige and Saunders, 1975",
       false,
       {kIterations, kTolerance, kDamping},
       solved<minres>},
      {"identity",
       "a multiple of I in place of H^-1",
       "Luketina et al., arXiv:1511.06727",
       false,
       {{"scale", 1, "of the identity"}},
       identity},
      {"amended", "eta H in place of H^-1", "Bi et al., arXiv:1910.11831", false, {kRate}, amended},
      {"nystrom",
       "H^-1 from a few of its columns",
       "Hataya, Yamada, arXiv:2302.09726",
       false,
       {{"iterations", 20, "columns"}, {"damping", 0.01, "delta: H + delta I is inverted"}, kSeed},
       solved<nystrom>},
      {"zero-order",
       "differences of the validation loss after T steps, along random directions",
       "Nesterov, Spokoiny, 2017",
       false,
       {{"samples", 16, "directions"}, {"radius", 1e-3, "of the displacement"}, kSteps, kSeed},
       zero_order},
      {"dense-implicit",
       "H built and inverted",
       "implicit function theorem",
       true,
       {kDamping},
       solved<dense_solve>},
      {"bilevel-difference",
       "a central difference of L_val(w*(alpha), alpha), the inner problem solved on both sides",
       "definition",
       true,
       {{"step", 1e-5, "of an alpha"},
        {"tolerance", 1e-12, "of the inner |gradient|"},
        {"iterations", 200, "of Newton's method, at most"}},
       bilevel_difference}};
  return rows;
}

}  // namespace

EstimatorNumbers Estimator::defaults() const {
  EstimatorNumbers all;
  for (const EstimatorNumber& n : numbers) all.emplace(n.name, n.value);
  return all;
}

std::span<const Estimator> estimators() {
  return table();
}

const Estimator& find_estimator(std::string_view name) {
  std::string names;
  for (const Estimator& e : table()) {
    if (e.name == name) return e;
    names += (names.empty() ? "" : ", ") + std::string(e.name);
  }
  throw std::invalid_argument(
      fmt::format("estimator '{}' is not known; expected one of {}", name, names));
}

}  // namespace oche::nas
