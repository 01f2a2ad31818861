// Estimators of the hypergradient.
#include "nas/hypergradient.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "engine/linear_solve.h"
#include "engine/mixed_cell.h"
#include "engine/op.h"
#include "engine/ops.h"
#include "nas/curvature.h"
#include "nas/differences.h"
#include "nas/unroll.h"

namespace oche::nas {
namespace {

// A rate of 0 stands for the inner step's.
double rate_of(const EstimatorNumbers& n, const InnerStep& s) {
  const double own = number(n, "rate");
  return own == 0 ? s.rate.item() : own;
}

// How the search itself estimates.
Hypergradient by(std::string_view name, const Bilevel& p, const InnerStep& s, int64_t passes) {
  const FullPrecision full;
  return {.gradients = make_arch_gradient(name)->compute(p, s).gradients, .passes = passes};
}

Hypergradient first_order(const Bilevel& p, const InnerStep& s, const EstimatorNumbers&) {
  return by("first-order", p, s, 1);
}

Hypergradient exact_unrolled(const Bilevel& p, const InnerStep& s, const EstimatorNumbers&) {
  return by("exact-unrolled", p, s, 5);
}

Hypergradient unrolled(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const int64_t steps = whole(n, "steps");
  const Unrolled u = unroll_reverse(p, s, steps, steps);
  return {.gradients = u.gradients, .passes = u.passes};
}

Hypergradient truncated(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const Unrolled u = unroll_reverse(p, s, whole(n, "steps"), whole(n, "last"));
  return {.gradients = u.gradients, .passes = u.passes};
}

Hypergradient forward_mode(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const Unrolled u = unroll_forward(p, s, whole(n, "steps"));
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
  Hypergradient h{.passes = 2 + 2 * (u.products + 1),
                  .residuals = u.residuals,
                  .fault = u.fault,
                  .inner_gradient = norm(flatten(curvature.gradient()))};
  for (size_t i = 0; i < mixed.size(); ++i) h.gradients.push_back(at.direct[i] - mixed[i]);
  return h;
}

Hypergradient identity(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const double scale = number(n, "scale");
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
    return neumann(hessian, v, rate_of(n, s), whole(n, "terms"));
  });
}

using Solver = Solution (*)(const SymmetricProduct&, const Vector&, const SolveOptions&);
template <Solver kSolve>
Hypergradient solved(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const auto or_zero = [&](std::string_view name) {
    return n.contains(name) ? number(n, name) : 0;
  };
  const SolveOptions options{.iterations = static_cast<int64_t>(or_zero("iterations")),
                             .tolerance = or_zero("tolerance"),
                             .damping = or_zero("damping"),
                             .seed = static_cast<uint64_t>(or_zero("seed"))};
  return implicit(p, s, [&](const SymmetricProduct& hessian, const Vector& v) {
    return kSolve(hessian, v, options);
  });
}

const std::vector<Estimator>& table() {
  static const EstimatorNumber kIterations{"iterations", 20, "at most", Takes::kCount},
      kTolerance{"tolerance", 1e-10, "of the residual over |v|", Takes::kNotNegative},
      kDamping{"damping", 0, "delta: H + delta I is inverted", Takes::kNotNegative},
      kRate{"rate", 0, "eta; 0: the inner step's", Takes::kNotNegative},
      kSteps{"steps", 10, "inner steps T", Takes::kCount},
      kSeed{"seed", 0, "of the random numbers", Takes::kWhole};
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
       {{"radius", 0.01, "of the probe, over |v|", Takes::kPositive},
        {"relative", 0, "1: the radius counts in lengths of w", Takes::kChoice},
        {"points", 2, "1 one-sided, 2 central, 4 central of fourth order", Takes::kPoints},
        {"doublings",
         0,
         "of R that are tried; taken is the radius whose doubling changes the estimate least",
         Takes::kWhole}},
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
       {kSteps, {"last", 3, "steps that are gone back through", Takes::kWhole}},
       truncated},
      {"forward-mode",
       "forward mode through T inner steps: a product for each entry of the alphas",
       "Franceschi et al., arXiv:1703.01785",
       false,
       {{"steps", 2, "inner steps T", Takes::kCount}},
       forward_mode},
      {"neumann",
       "H^-1 as a truncated series",
       "Lorraine et al., arXiv:1911.02590",
       false,
       {{"terms", 2, "K: the series runs from 0 to K", Takes::kWhole}, kRate},
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
       {{"scale", 1, "of the identity", Takes::kPositive}},
       identity},
      {"amended", "eta H in place of H^-1", "Bi et al., arXiv:1910.11831", false, {kRate}, amended},
      {"nystrom",
       "H^-1 from a few of its columns",
       "Hataya, Yamada, arXiv:2302.09726",
       false,
       {{"iterations", 20, "columns", Takes::kCount},
        {"damping", 0.01, "delta: H + delta I is inverted", Takes::kPositive},
        kSeed},
       solved<nystrom>},
      {"zero-order",
       "differences of the validation loss after T steps, along random directions",
       "Nesterov, Spokoiny, 2017",
       false,
       {{"samples", 16, "directions", Takes::kCount},
        {"radius", 1e-3, "of the displacement", Takes::kPositive},
        {"steps", 10, "inner steps T", Takes::kWhole},
        kSeed},
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
       {{"step", 1e-5, "of an alpha", Takes::kPositive},
        {"tolerance", 1e-12, "of the inner |gradient|", Takes::kPositive},
        {"iterations", 200, "of Newton's method, at most", Takes::kCount}},
       bilevel_difference}};
  return rows;
}

}  // namespace

Hypergradient Estimator::estimate(const Bilevel& problem,
                                  const InnerStep& step,
                                  const EstimatorNumbers& given) const {
  check(given);
  return run(problem, step, given);
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
