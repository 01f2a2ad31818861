// Architecture gradients on problems solved on paper: the toy problem of DARTS fig. 2 with bugs
// planted around the estimators, and a quadratic in several dimensions.
#include <cmath>
#include <functional>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "nas/arch_gradient.h"
#include "tests/support/catch.h"

namespace oche::nas {
namespace {

Parameter leaf(const std::vector<double>& values) {
  return {.value =
              Tensor::from(values, {static_cast<int64_t>(values.size())}).set_requires_grad(true)};
}

// L_train = w^2 - 2 a w + a^2, L_val = a w - 2 a + 1, from a = 2, w = -2.
struct Toy {
  Parameter w = leaf({-2}), a = leaf({2});

  Bilevel problem() {
    return {.weights = Weights({{"w", &w}}),
            .alphas = Alphas({{"a", &a}}),
            .train_loss =
                [this] {
                  return sum(w.value * w.value - 2.0 * (a.value * w.value) + a.value * a.value);
                },
            .validation_loss = [this] { return sum(a.value * w.value - 2.0 * a.value + 1.0); }};
  }
};

Tensor number(double x) {
  return Tensor::full({}, x, DType::kFloat64);
}

using Estimator = std::function<double(Toy&, double xi)>;

Estimator estimator(std::string_view name) {
  return [name](Toy& toy, double xi) {
    return make_arch_gradient(name)
        ->compute(toy.problem(), {.rate = number(xi)})
        .gradients[0]
        .item();
  };
}

// Where alternating gradient steps end.
double limit(const Estimator& gradient, double xi) {
  constexpr double kAlphaRate = 0.1, kWeightRate = 0.2;
  Toy toy;
  for (int i = 0; i < 1500; ++i) {
    const double g = gradient(toy, xi);
    toy.a.value.assign(toy.a.value.detach() - Tensor::full({1}, kAlphaRate * g, DType::kFloat64));
    const double w = toy.w.value.item(), a = toy.a.value.item();
    toy.w.value.assign(Tensor::full({1}, w - kWeightRate * 2 * (w - a), DType::kFloat64));
  }
  return toy.a.value.item();
}

// The two things known about a right second-order estimator: its first value and where it leads.
struct Verdict {
  bool first_value, end;
  bool operator==(const Verdict&) const = default;
};
Verdict judge(const Estimator& gradient, double xi) {
  Toy toy;
  const double expected = (-2 + 8 * xi) - 2 + 2 * xi * 2;
  return {std::abs(gradient(toy, xi) - expected) < 1e-8,
          std::abs(limit(gradient, xi) - 2 / (1 + 2 * xi)) < 1e-8};
}

// Twenty rates, from timid to far beyond any learning rate.
std::vector<double> rates() {
  std::vector<double> xi;
  for (int i = 1; i <= 20; ++i) xi.push_back(0.02 * i);
  return xi;
}

// dL_val/da and dL_val/dw at a given w, and dL_train/da there: the pieces that the planted bugs put
// together wrongly.
double direct(double w) {
  return w - 2;
}
double train_alpha_gradient(double w, double a) {
  return 2 * (a - w);
}

}  // namespace

TEST_CASE("toy bilevel problem: both second-order estimators are right for twenty rates") {
  for (double xi : rates()) {
    CAPTURE(xi);
    CHECK(judge(estimator("finite-difference"), xi) == Verdict{true, true});
    CHECK(judge(estimator("exact-unrolled"), xi) == Verdict{true, true});
    CHECK(std::abs(limit(estimator("first-order"), xi) - 2) < 1e-8);
  }
}

TEST_CASE("toy bilevel problem: every planted bug is caught") {
  for (double xi : rates()) {
    CAPTURE(xi);
    const auto virtual_w = [xi](const Toy& t) {
      return t.w.value.item() - xi * 2 * (t.w.value.item() - t.a.value.item());
    };

    const Estimator first_order = estimator("first-order");
    CHECK(judge(first_order, xi) == Verdict{false, false});

    // The plus and minus gradients share one buffer, so that their difference vanishes.
    const Estimator aliased = [&](Toy& t, double) { return direct(virtual_w(t)); };
    CHECK(judge(aliased, xi) == Verdict{false, false});
    CHECK(std::abs(limit(aliased, xi) - 2) < 1e-8);

    // Divided by R where the difference spans 2R.
    const Estimator doubled = [&](Toy& t, double rate) {
      const double w = t.w.value.item(), a = t.a.value.item(), v = a, R = 0.01 / std::abs(v);
      const double difference =
          train_alpha_gradient(w + R * v, a) - train_alpha_gradient(w - R * v, a);
      return direct(virtual_w(t)) - rate * difference / R;
    };
    CHECK(judge(doubled, xi) == Verdict{false, false});
    CHECK(std::abs(limit(doubled, xi) - 2 / (1 + 4 * xi)) < 1e-8);

    // The validation gradient is taken at w instead of w': the end is right, only the way there is
    // not.
    const Estimator no_virtual_step = [&](Toy& t, double rate) {
      return direct(t.w.value.item()) - rate * -2 * t.a.value.item();
    };
    CHECK(judge(no_virtual_step, xi) == Verdict{false, true});

    // The implicit term with the wrong sign.
    const Estimator flipped = [&](Toy& t, double rate) {
      return direct(virtual_w(t)) + rate * -2 * t.a.value.item();
    };
    CHECK(judge(flipped, xi).end == false);
  }
}

// L_train = 1/2 |w - A alpha|^2, L_val = 1/2 |w - b|^2: w' = w - xi (w - A alpha), gradient xi A^T
// (w' - b).
TEST_CASE(
    "quadratic bilevel problem: the estimators equal the closed form, with momentum and weight "
    "decay") {
  Parameter w = leaf({1, -2, 0.5}), alpha = leaf({0.3, -0.7});
  const Tensor A = Tensor::from(std::vector<double>{1, 2, -1, 0.5, 3, -2}, {3, 2});
  const Tensor b = Tensor::from(std::vector<double>{0.2, 0.1, -1}, {3});
  const auto half_square = [](const Tensor& d) { return dot(d, d) * 0.5; };
  const Bilevel problem{
      .weights = Weights({{"w", &w}}),
      .alphas = Alphas({{"alpha", &alpha}}),
      .train_loss =
          [&] {
            return half_square(w.value - reshape(matmul(A, reshape(alpha.value, {2, 1})), {3}));
          },
      .validation_loss = [&] { return half_square(w.value - b); }};
  const Tensor buffer = Tensor::from(std::vector<double>{0.1, 0.2, -0.4}, {3});
  const bool nesterov = GENERATE(false, true);
  const InnerStep step{.rate = number(0.3),
                       .momentum = 0.9,
                       .weight_decay = 0.05,
                       .buffers = {buffer},
                       .nesterov = nesterov};

  const NoGrad no_grad;
  const Tensor Aalpha = reshape(matmul(A, reshape(alpha.value, {2, 1})), {3});
  const Tensor d = w.value - Aalpha + w.value * 0.05, moved = buffer * 0.9 + d;
  const Tensor ahead = w.value - (nesterov ? d + moved * 0.9 : moved) * 0.3;
  const double slope = nesterov ? 0.3 * 1.9 : 0.3;
  const std::vector<double> expected =
      (reshape(matmul(A, reshape(ahead - b, {3, 1}), {.transpose_a = true}), {2}) * slope)
          .to_vector<double>();
  const std::vector<double> before = w.value.to_vector<double>();
  for (std::string_view name : {"finite-difference", "exact-unrolled"}) {
    const GradModeGuard recording(true);
    CAPTURE(name);
    for (double radius : {1e-3, 1e-2, 1.0}) {  // a central difference of a quadratic is exact
      const std::vector<double> got = make_arch_gradient(name, {.radius = radius})
                                          ->compute(problem, step)
                                          .gradients[0]
                                          .to_vector<double>();
      for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-9));
    }
    CHECK(w.value.to_vector<double>() == before);
    CHECK(!w.value.grad());
  }
}

TEST_CASE("a rate of zero makes the second order equal to the first, bit for bit") {
  Toy toy;
  const double first = estimator("first-order")(toy, 0);
  CHECK(estimator("finite-difference")(toy, 0) == first);
  CHECK(estimator("exact-unrolled")(toy, 0) == first);
}

TEST_CASE("a vanishing direction leaves the direct gradient and no infinity") {
  Parameter w = leaf({1.5}), a = leaf({0.5});
  const Bilevel problem{
      .weights = Weights({{"w", &w}}),
      .alphas = Alphas({{"a", &a}}),
      .train_loss = [&] { return sum(w.value * a.value); },
      .validation_loss = [&] { return sum(a.value * a.value) + sum(w.value) * 0.0; }};
  CHECK(make_arch_gradient("finite-difference")
            ->compute(problem, {.rate = number(0.1)})
            .gradients[0]
            .item() == 1.0);
}

}  // namespace oche::nas
