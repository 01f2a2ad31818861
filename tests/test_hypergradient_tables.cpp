// Estimators of the hypergradient on problems solved on paper: every digit that is printed there.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "engine/lanczos.h"
#include "engine/ops.h"
#include "nas/curvature.h"
#include "nas/unroll.h"
#include "tests/support/catch.h"
#include "tests/support/toys.h"

namespace oche::nas {
namespace {

double cosine(const Vector& a, const Vector& b) {
  return dot(a, b) / (norm(a) * norm(b));
}

// With so many decimals: two texts are equal iff a number is within half a unit of the last digit
// of the one on paper. (Approx with a margin is not that: it also takes a relative 1e-5.)
std::string printed(const Vector& numbers, int decimals) {
  std::vector<std::string> texts;
  for (const double x : numbers) texts.push_back(fmt::format("{:.{}f}", x, decimals));
  return fmt::format("{}", fmt::join(texts, " "));
}
std::string printed(double x, int decimals) {
  return printed(Vector{x}, decimals);
}

// A row of the quadratic's table.
struct Row {
  std::string_view name;
  EstimatorNumbers numbers;
  std::string_view value;  // of one entry where paper has only the second
  std::string_view cosine, error;
};
void check(const ToyProblem& toy, const Row& row) {
  CAPTURE(row.name, row.numbers);
  const Vector g = estimate(toy, row.name, row.numbers);
  CHECK(printed(row.value.find(' ') == std::string_view::npos ? Vector{g[1]} : g, 6) == row.value);
  CHECK(printed(cosine(g, toy.hypergradient), 6) == row.cosine);
  CHECK(printed(distance(g, toy.hypergradient), 6) == row.error);
}

constexpr std::string_view kExact = "-1.000000 -1.000000 -1.000000";
constexpr std::string_view kOneStep = "-1.000000 -0.100000 -0.010000";

}  // namespace

TEST_CASE("quadratic problem: every estimator at the optimum has the value found on paper") {
  const ToyProblem toy = solved("quadratic");
  for (const Row& row : std::vector<Row>{
           // At w* the step ahead goes nowhere, so the one-step estimators are a series of one
           // term.
           {"exact-unrolled", {}, kOneStep, "0.637647", "0.772464"},
           {"finite-difference", {}, kOneStep, "0.637647", "0.772464"},
           {"neumann", {{"terms", 0}}, kOneStep, "0.637647", "0.772464"},
           {"identity", {}, "-10.000000 -1.000000 -0.100000", "0.637647", "5.222069"},
           {"amended", {}, "-10.000000 -0.100000 -0.001000", "0.583152", "5.253824"},
           {"neumann", {{"terms", 1}}, "-1.000000 -0.190000 -0.019900", "0.686128", "0.734097"},
           {"neumann", {{"terms", 2}}, "-1.000000 -0.271000 -0.029701", "0.724518", "0.700695"},
           {"neumann", {{"terms", 5}}, "-0.468559", "0.797246", "0.624183"},
           {"neumann", {{"terms", 10}}, "-0.686189", "0.849381", "0.547755"},
           {"neumann", {{"terms", 50}}, "-0.995362", "0.943237", "0.345818"},
           {"neumann", {{"terms", 100}}, "-0.999976", "0.981644", "0.209216"},
           {"neumann", {{"terms", 3000}}, kExact, "1.000000", "0.000000"},
           {"cg", {{"iterations", 1}}, "-2.702703 -0.270270 -0.027027", "0.637647", "1.208081"},
           {"cg", {{"iterations", 2}}, "-0.920524 -1.874231 -0.205245", "0.825514", "0.683674"},
           {"cg", {{"iterations", 3}}, kExact, "1.000000", "0.000000"},
           {"minres", {{"iterations", 3}}, kExact, "1.000000", "0.000000"},
           {"dense-implicit", {}, kExact, "1.000000", "0.000000"},
           {"bilevel-difference", {}, kExact, "1.000000", "0.000000"}})
    check(toy, row);
  // With all columns Nystrom's inverse is that of H + delta I.
  CHECK(distance(estimate(toy, "nystrom", {{"iterations", 3}, {"damping", 1e-6}}),
                 toy.hypergradient) < 1e-4);
}

TEST_CASE("quadratic problem: unrolled steps from elsewhere, and the exact inverse on the way") {
  ToyProblem toy = make_toy_problem("quadratic");
  for (std::string_view name : {"unrolled", "forward-mode"}) {
    check(toy, {name, {{"steps", 5}}, "-1.000000 -0.288604 -0.025706", "0.728840", "0.696499"});
    check(toy, {name, {{"steps", 100}}, "-1.000000 -0.999960 -0.517941", "0.965248", "0.278317"});
  }
  const InnerState start = inner_start(toy.bilevel, toy.step);
  const auto exact_after = [&](int64_t steps, const Row& row) {
    put(toy, inner_steps(toy.bilevel, toy.step, start, steps).weights);
    check(toy, row);
  };
  exact_after(0, {"dense-implicit", {}, "-0.500000 -0.500000 -0.500000", "1.000000", "0.500000"});
  exact_after(20, {"dense-implicit", {}, "-1.000000 -0.939212 -0.591047", "0.977935", "0.238704"});
  exact_after(100, {"dense-implicit", {}, "-1.000000 -0.999987 -0.816984", "0.995806", "0.105664"});
}

// L_train = 1/2 w^T H w + a (w_0 - w_1) with H = diag(10, 0.1), L_val = w_0 + w_1: A = (1, -1) and
// v = (1, 1).
TEST_CASE(
    "where the stiff and the flat direction disagree, H in place of its inverse has the sign "
    "wrong") {
  ToyProblem toy = make_toy_problem("quadratic");
  Parameter w{.value = Tensor::zeros({2}, DType::kFloat64).set_requires_grad(true)};
  Parameter a{.value = Tensor::zeros({1}, DType::kFloat64).set_requires_grad(true)};
  const Tensor h = Tensor::from(Vector{10, 0.1}, {2}), mixed = Tensor::from(Vector{1, -1}, {2});
  toy.bilevel = {
      .weights = Weights({{"w", &w}}),
      .alphas = Alphas({{"a", &a}}),
      .train_loss =
          [&] { return sum(h * w.value * w.value) * 0.5 + sum(mixed * w.value * a.value); },
      .validation_loss = [&] { return sum(w.value); }};
  const auto one = [&](std::string_view name, const EstimatorNumbers& numbers = {}) {
    return estimate(toy, name, numbers)[0];
  };
  for (std::string_view name : {"dense-implicit", "cg", "minres", "bilevel-difference"}) {
    CAPTURE(name);
    CHECK(printed(one(name), 6) == "9.900000");
  }
  for (const double rate : {0.1, 1.}) {  // -9.9 eta
    CHECK(std::abs(one("amended", {{"rate", rate}}) + 9.9 * rate) < 1e-14);
    toy.step.rate = Tensor::full({}, rate, DType::kFloat64);
    CHECK(std::abs(one("amended") + 9.9 * rate) < 1e-14);
    CHECK(one("exact-unrolled") == 0);
    CHECK(one("identity") == 0);
  }
}

TEST_CASE("ridge regression: every estimator has the value found on paper") {
  const ToyProblem toy = solved("ridge");
  const std::vector<Tensor> w = detached_leaves(toy.bilevel.weights.tensors());
  CHECK(printed(flatten(w), 10) == "0.3931742119 0.1123734806");
  const ValidationGradient at = validation_gradient(toy.bilevel, w);
  CHECK(printed(at.loss.item(), 10) == "0.0460311543");
  CHECK(printed(flatten(at.v), 10) == "-0.2510671124 -0.0424733856");
  const Curvature curvature(toy.bilevel, w, toy.step.weight_decay);
  Vector h = curvature.hessian({1, 0});
  const Vector second = curvature.hessian({0, 1});
  h.insert(h.end(), second.begin(), second.end());
  CHECK(printed(symmetric_eigenvectors(h, 2).values, 10) == "0.7724953931 1.0332634893");

  const auto one = [&](std::string_view name, const EstimatorNumbers& numbers = {}) {
    return estimate(toy, name, numbers)[0];
  };
  const auto neumann = [&](double terms) {
    return printed(one("neumann", {{"rate", 0.5}, {"terms", terms}}), 10);
  };
  for (std::string_view name : {"dense-implicit", "cg", "minres", "bilevel-difference"}) {
    CAPTURE(name);
    CHECK(printed(one(name), 10) == "0.0484850677");
  }
  CHECK(std::abs(one("bilevel-difference", {{"step", 1e-5}}) - one("dense-implicit")) < 1e-11);
  CHECK(printed(one("exact-unrolled"), 10) == "0.0038070370");
  CHECK(printed(one("neumann", {{"terms", 0}}), 10) == "0.0038070370");
  CHECK(printed(one("amended"), 10) == "0.0030045551");
  CHECK(neumann(0) == "0.0190351852");
  CHECK(neumann(1) == "0.0305589827");
  CHECK(neumann(2) == "0.0375548402");
  CHECK(neumann(5) == "0.0459895916");
  CHECK(neumann(20) == "0.0484834387");
  CHECK(neumann(100) == "0.0484850677");
}

}  // namespace oche::nas
