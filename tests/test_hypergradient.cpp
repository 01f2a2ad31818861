// Estimators of the hypergradient: what must hold between them on any problem.
#include <cmath>
#include <tuple>

#include "engine/autograd.h"
#include "engine/flat.h"
#include "engine/ops.h"
#include "nas/curvature.h"
#include "nas/hypergradient.h"
#include "nas/toy_problems.h"
#include "nas/unroll.h"
#include "tests/support/catch.h"
#include "tests/support/step.h"
#include "tests/support/toys.h"

namespace oche::nas {

TEST_CASE("the unrolled gradients are the derivative of the loss after the steps") {
  ToyProblem toy = make_toy_problem("toy");
  const bool nesterov = GENERATE(false, true);
  toy.step.momentum = 0.9;
  toy.step.nesterov = nesterov;
  for (const Tensor& w : toy.bilevel.weights.tensors())
    toy.step.buffers.push_back(w.detach() * 0.1);
  const int64_t steps = GENERATE(1, 4);
  const bool one_batch = GENERATE(true, false);
  CAPTURE(nesterov, steps, one_batch);
  if (!one_batch)
    toy.bilevel.train_loss_of = [loss = toy.bilevel.train_loss](int64_t t) {
      return loss() * (1 + 0.5 * static_cast<double>(t));
    };
  const Vector alphas = flatten(toy.bilevel.alphas.tensors());
  const auto loss_at = [&](const Vector& values) {
    const Substitution put(toy.bilevel.alphas, unflatten(values, toy.bilevel.alphas.tensors()));
    const InnerState end =
        inner_steps(toy.bilevel, toy.step, inner_start(toy.bilevel, toy.step), steps);
    const Substitution at(toy.bilevel.weights, end.weights);
    return toy.bilevel.validation_loss().item();
  };
  Vector numeric;
  const double h = 1e-3;
  for (size_t i = 0; i < alphas.size(); ++i) {
    const auto at = [&](double step) {
      Vector moved = alphas;
      moved[i] += step;
      return loss_at(moved);
    };
    numeric.push_back((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h));
  }
  const Vector reverse = estimate(toy, "unrolled", {{"steps", static_cast<double>(steps)}});
  CHECK(distance(reverse, numeric) < 1e-8);
  CHECK(distance(estimate(toy, "forward-mode", {{"steps", static_cast<double>(steps)}}), reverse) <
        1e-10);
  if (steps == 1) CHECK(distance(estimate(toy, "exact-unrolled"), reverse) < 1e-12);
  if (steps > 1) {  // as many as there are, or fewer
    CHECK(
        distance(estimate(toy, "truncated", {{"steps", static_cast<double>(steps)}, {"last", 99}}),
                 reverse) == 0);
    CHECK(distance(estimate(toy, "truncated", {{"steps", static_cast<double>(steps)}, {"last", 1}}),
                   reverse) > 1e-6);
  }
}

TEST_CASE("a truncated gradient goes back through the last steps alone, each on its own loss") {
  ToyProblem toy = make_toy_problem("toy");
  int64_t before = 0;
  toy.bilevel.train_loss_of = [&, loss = toy.bilevel.train_loss](int64_t t) {
    return loss() * (1 + 0.5 * static_cast<double>(before + t));
  };
  const Vector got = estimate(toy, "truncated", {{"steps", 5}, {"last", 2}});
  put(toy, inner_steps(toy.bilevel, toy.step, inner_start(toy.bilevel, toy.step), 3).weights);
  CHECK(distance(estimate(toy, "unrolled", {{"steps", 2}}), got) > 1e-4);
  before = 3;
  CHECK(distance(estimate(toy, "unrolled", {{"steps", 2}}), got) < 1e-12);
}

TEST_CASE("buffers follow the weights: steps on are the end of more steps") {
  ToyProblem toy = make_toy_problem("toy");
  toy.step.momentum = 0.9;
  toy.step.nesterov = GENERATE(false, true);
  for (const Tensor& w : toy.bilevel.weights.tensors())
    toy.step.buffers.push_back(w.detach() * 0.1);
  const Vector got = estimate(toy, "truncated", {{"steps", 5}, {"last", 2}});
  const Vector one = estimate(toy, "truncated", {{"steps", 4}, {"last", 1}});
  const InnerState on = inner_steps(toy.bilevel, toy.step, inner_start(toy.bilevel, toy.step), 3);
  put(toy, on.weights);
  CHECK(distance(estimate(toy, "unrolled", {{"steps", 2}}), got) > 1e-4);
  toy.step.buffers = on.buffers;
  CHECK(distance(estimate(toy, "unrolled", {{"steps", 2}}), got) < 1e-12);
  CHECK(distance(estimate(toy, "exact-unrolled"), one) < 1e-12);
}

TEST_CASE("a chosen radius is the one whose doubling moves the estimate least, above rounding") {
  const ToyProblem toy = make_toy_problem("toy");
  const auto at = [&](double radius, double doublings, std::string* fault = nullptr) {
    return estimate(
        toy, "finite-difference", {{"radius", radius}, {"doublings", doublings}}, fault);
  };
  CHECK(distance(at(0.01, 4), at(0.01, 0)) == 0);  // where truncation is all, the shortest
  // Those below rounding agree with one another: all of them are 0, or nearly.
  std::string fault;
  const Vector lost = at(1e-30, 20, &fault);
  CHECK(fault.find("below rounding: a probe of length 1e-30 ") == 0);
  CHECK(distance(lost, at(1e-30, 0, &fault)) == 0);
  const Vector chosen = at(1e-30, 90, &fault);
  CHECK(fault.empty());
  CHECK(distance(chosen, estimate(toy, "exact-unrolled")) < 1e-6);
}

TEST_CASE("finite differences approach the exact product until rounding") {
  ToyProblem toy = make_toy_problem("toy");
  const Vector exact = estimate(toy, "exact-unrolled");
  const auto error = [&](double radius, double points) {
    return distance(estimate(toy, "finite-difference", {{"radius", radius}, {"points", points}}),
                    exact);
  };
  CHECK(error(0.2, 2) / error(0.1, 2) == Approx(4).epsilon(0.05));    // O(R^2)
  CHECK(error(0.02, 1) / error(0.01, 1) == Approx(2).epsilon(0.05));  // O(R)
  CHECK(error(0.1, 4) / error(0.05, 4) == Approx(16).epsilon(0.1));   // O(R^4)
  CHECK(error(1e-12, 2) > error(1e-4, 2));                            // rounding
  // A radius chosen by the estimates themselves comes near the best of those it tried.
  const Vector chosen = estimate(toy, "finite-difference", {{"radius", 1e-9}, {"doublings", 30}});
  double best = 1;
  for (int i = 0; i <= 30; ++i) best = std::min(best, error(std::ldexp(1e-9, i), 2));
  CHECK(distance(chosen, exact) < 10 * best);
  CHECK(10 * best < 0.01 * error(1e-9, 2));
  // A radius in lengths of the weights is the same radius, counted otherwise.
  const double size = norm(flatten(toy.bilevel.weights.tensors()));
  CHECK(distance(estimate(toy, "finite-difference", {{"radius", 0.01}, {"relative", 1}}),
                 estimate(toy, "finite-difference", {{"radius", 0.01 * size}})) < 1e-10);
}

TEST_CASE("T plain steps from a constant optimum are a series of T terms") {
  const ToyProblem toy = solved("quadratic");
  for (const double steps : {1., 4., 9.}) {
    CHECK(distance(estimate(toy, "unrolled", {{"steps", steps}}),
                   estimate(toy, "neumann", {{"terms", steps - 1}})) < 1e-12);
  }
}

TEST_CASE("K iterations of the adjoint's fixed point are a series that runs to K - 1") {
  const ToyProblem toy = make_toy_problem("toy");
  const Bilevel& p = toy.bilevel;
  const double rate = 0.3;
  const std::vector<Tensor> w = detached_leaves(p.weights.tensors());
  const ValidationGradient at = validation_gradient(p, w);
  const Curvature curvature(p, w, toy.step.weight_decay);
  const Vector v = flatten(at.v);
  Vector u(v.size(), 0);
  for (int k = 1; k <= 5; ++k) {  // u <- (I - rate H) u + rate v
    const Vector h = curvature.hessian(u);
    add(u, -rate, h);
    add(u, rate, v);
    Vector g = flatten(at.direct);
    add(g, -1, flatten(curvature.mixed(unflatten(u, w))));
    CHECK(distance(estimate(toy, "neumann", {{"rate", rate}, {"terms", k - 1}}), g) < 1e-12);
  }
}

TEST_CASE("zero order: the mean over directions approaches the unrolled gradient") {
  const ToyProblem toy = make_toy_problem("quadratic");
  const Vector exact = estimate(toy, "unrolled", {{"steps", 5}});
  const auto error = [&](double samples) {
    return distance(estimate(toy, "zero-order", {{"samples", samples}, {"steps", 5}}), exact);
  };
  CHECK(error(4096) < 0.1);
  CHECK(error(4096) < error(16));
}

TEST_CASE("a difference that rounding swallows is a fault, and one before that is right") {
  const ToyProblem toy = make_toy_problem(GENERATE("quadratic", "ridge"));
  CAPTURE(toy.name);
  for (const auto& [name, number, steps] :
       {std::tuple{"bilevel-difference", "step", 0.}, {"zero-order", "radius", 4.}}) {
    CAPTURE(name);
    const auto at = [&](double length, std::string* fault) {
      EstimatorNumbers numbers{{number, length}};
      if (steps > 0) numbers["steps"] = steps;
      return estimate(toy, name, numbers, fault);
    };
    std::string fault;
    const Vector exact = at(1e-5, &fault);
    CHECK(fault.empty());
    at(1e-20, &fault);
    CHECK(fault.find("below rounding: ") == 0);
    // All of them down from there: either a fault or at most a few tenths wrong.
    int faults = 0;
    for (double length = 1e-6; length > 1e-19; length /= 3) {
      CAPTURE(length);
      const Vector got = at(length, &fault);
      if (fault.empty()) CHECK(distance(got, exact) < 0.3);
      faults += !fault.empty();
      if (length > 1e-11) CHECK(fault.empty());
      if (length < 1e-16) CHECK(fault.find("below rounding: ") == 0);
    }
    CHECK(faults > 0);
  }
}

TEST_CASE("what makes a row wrong is said with its number") {
  std::string fault;
  const ToyProblem toy = solved("quadratic");
  estimate(toy, "neumann", {{"rate", 0.3}, {"terms", 50}}, &fault);
  CHECK(fault.find("diverges: |(I - rate H)^50 v|") == 0);
  estimate(make_toy_problem("quadratic"), "finite-difference", {{"radius", 1e-20}}, &fault);
  CHECK(fault.find("below rounding: a probe of length 1e-20") == 0);
  estimate(make_toy_problem("quadratic"), "bilevel-difference", {{"step", 1e-20}}, &fault);
  CHECK(fault == "below rounding: losses of up to 1.5 that differ by 0");
  estimate(make_toy_problem("ridge"), "zero-order", {{"radius", 1e-20}}, &fault);
  CHECK(fault == "below rounding: a probe of length 1e-20 beside alphas of length 1");
  CHECK_THROWS_WITH(find_estimator("magic"), Catch::Contains("dense-implicit"));
  for (const auto& [name, number, value, expected] :
       {std::tuple{"neumann", "terms", -1., "neumann.terms: -1; expected a whole number from 0"},
        {"unrolled", "steps", 0.5, "unrolled.steps: 0.5; expected a whole number from 1"},
        {"zero-order", "seed", 1.5, "zero-order.seed: 1.5; expected a whole number from 0"},
        {"nystrom", "damping", 0., "nystrom.damping: 0; expected a positive number"},
        {"cg", "damping", -1., "cg.damping: -1; expected a number from 0"},
        {"cg", "tolerance", std::nan(""), "cg.tolerance: nan; expected a number from 0"},
        {"identity", "scale", HUGE_VAL, "identity.scale: inf; expected a positive number"},
        {"finite-difference", "points", 3., "finite-difference.points: 3; expected 1, 2 or 4"}})
    CHECK_THROWS_WITH(estimate(toy, name, {{number, value}}), expected);
  const Estimator& cg = find_estimator("cg");
  CHECK_THROWS_WITH(cg.check({{"iterations", 1}, {"tolerance", 0}}), "cg.damping is missing");
  CHECK_THROWS_WITH(cg.check({{"terms", 1}}), "cg has no number 'terms'");

  ToyProblem saddle = make_toy_problem("quadratic");
  saddle.step.weight_decay = -5;  // H = diag(5, -4, -4.9)
  estimate(saddle, "cg", {}, &fault);
  CHECK(fault.find("indefinite: p^T H p / p^T p = -") == 0);
  estimate(saddle, "minres", {}, &fault);
  CHECK(fault.empty());
  saddle.step.weight_decay = -1;  // a direction without curvature
  estimate(saddle, "dense-implicit", {}, &fault);
  CHECK(fault.find("singular") == 0);
  const ToyProblem hard = make_toy_problem("toy");
  estimate(hard, "bilevel-difference", {{"iterations", 1}}, &fault);
  CHECK(fault.find("not converged: the inner problem was left at |gradient| = ") == 0);
  const ToyProblem lost = make_toy_problem("quadratic");
  lost.bilevel.alphas[0].value =
      Tensor::from(std::vector<double>{0, std::nan(""), 0}, {3}).set_requires_grad(true);
  estimate(lost, "bilevel-difference", {}, &fault);
  CHECK(fault == "not converged: the inner problem was left at |gradient| = nan");
}

}  // namespace oche::nas
