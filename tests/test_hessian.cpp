// Hessians by alphas and weights: against differences of gradients, and by what is known of them.
#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/gradcheck.h"
#include "engine/lanczos.h"
#include "engine/ops.h"
#include "nas/hessian.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

SearchConfig tiny() {
  SearchConfig c;
  c.gradient = "first-order";
  c.layers = 3;
  c.channels = 4;
  c.steps = c.multiplier = 1;
  c.alpha_init = 0.5;
  c.dtype = DType::kFloat64;
  return c;
}

Batch batch(uint64_t seed) {
  return random_batch(4, 8, seed, DType::kFloat64);
}

// Row after row.
Vector dense(const Hessian& hessian, double decay = 0) {
  Vector rows;
  for (int64_t i = 0; i < hessian.size(); ++i) {
    Vector unit(hessian.size(), 0);
    unit[i] = 1;
    const Vector row = hessian.product(unit, decay);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

}  // namespace

TEST_CASE(
    "alpha hessian: symmetric, constant along the softmax' shift, the derivative of the gradient") {
  SearchState s(tiny(), 3, 10);
  s.step(batch(1), batch(2), 0.025, 0);
  const auto before = snapshot(s);
  const Hessian hessian = alpha_hessian(s, {batch(3)}, 1);
  const int64_t n = hessian.size();
  REQUIRE(n == 2 * 2 * 8);
  const Vector h = dense(hessian);
  double largest = 0;
  for (const double x : h) largest = std::max(largest, std::abs(x));
  REQUIRE(largest > 1e-6);
  for (int64_t i = 0; i < n; ++i) {
    double shift = 0;
    for (int64_t j = 0; j < n; ++j) {
      CHECK(std::abs(h[i * n + j] - h[j * n + i]) < 1e-12 * largest);
      shift += h[i * n + j];
      if (j % 8 == 7) {  // an edge
        CHECK(std::abs(shift) < 1e-12 * largest);
        shift = 0;
      }
    }
  }
  CHECK(snapshot(s) == before);

  Vector v(n);
  for (int64_t i = 0; i < n; ++i) v[i] = std::sin(static_cast<double>(i + 1));
  const Vector exact = hessian.product(v);
  const auto gradient = [&](double along) {
    const std::vector<Tensor> alphas = s.arch.alphas().tensors();
    std::vector<Tensor> saved, moved;
    int64_t at = 0;
    for (const Tensor& a : alphas) {
      saved.push_back(a.detach().clone());
      Vector values = saved.back().to_vector<double>();
      for (double& x : values) x += along * v[at++];
      a.assign(Tensor::from(values, a.shape()));
    }
    const Vector g = flatten(grad(s.search_loss(batch(3), 1), s.arch.alphas().tensors()));
    for (size_t i = 0; i < alphas.size(); ++i) alphas[i].assign(saved[i]);
    return g;
  };
  constexpr double kStep = 1e-5;
  const Vector plus = gradient(kStep), minus = gradient(-kStep);
  for (int64_t i = 0; i < n; ++i)
    CHECK(std::abs((plus[i] - minus[i]) / (2 * kStep) - exact[i]) < 1e-6 * std::max(1.0, largest));
}

TEST_CASE("alpha hessian: means over batches, the penalty, the eigenvalues at both ends") {
  SearchState s(tiny(), 3, 10);
  const Hessian first = alpha_hessian(s, {batch(1)}, 0), second = alpha_hessian(s, {batch(2)}, 0),
                both = alpha_hessian(s, {batch(1), batch(2)}, 0);
  const int64_t n = both.size();
  const Vector a = dense(first), b = dense(second), mean = dense(both),
               with_decay = dense(both, 0.5);
  for (int64_t i = 0; i < n * n; ++i) {
    CHECK(std::abs(mean[i] - (a[i] + b[i]) / 2) < 1e-12);
    CHECK(std::abs(with_decay[i] - mean[i] - (i % (n + 1) == 0 ? 0.5 : 0)) < 1e-14);
  }
  const Vector exact = symmetric_eigenvectors(with_decay, n).values;
  const LanczosResult r =
      lanczos([&](const Vector& v) { return both.product(v, 0.5); }, n, {.tolerance = 1e-9});
  CHECK(std::abs(r.largest() - exact.back()) < 1e-9);
  double nearest = std::abs(r.values.front() - exact.front());  // the other end, as far as it got
  for (const double value : exact) nearest = std::min(nearest, std::abs(r.values.front() - value));
  CHECK(nearest <= r.residuals.front() + 1e-12);
}

TEST_CASE("weight hessian: symmetric, the derivative of the gradient, and nothing moves") {
  SearchState s(tiny(), 3, 10);
  s.step(batch(1), batch(2), 0.025, 0);
  const auto before = snapshot(s);
  const Hessian h = weight_hessian(s, {batch(3), batch(4)}, 1);
  const auto direction = [&](double phase) {
    Vector v(h.size());
    for (int64_t i = 0; i < h.size(); ++i) v[i] = std::sin(static_cast<double>(i) + phase);
    for (double& x : v) x /= norm(v);
    return v;
  };
  const Vector u = direction(0), v = direction(1), hv = h.product(v);
  CHECK(dot(u, hv) == Approx(dot(v, h.product(u))).epsilon(1e-9));
  CHECK(snapshot(s) == before);

  // Against the gradient along v; the step is too short to meet a kink.
  const Weights weights = s.network.weights();
  const auto at = [&](double step, const auto& look) {
    Vector moved = flatten(weights.tensors());
    add(moved, step, v);
    const std::vector<Tensor> leaves = detached_leaves(unflatten(moved, weights.tensors()));
    const Substitution put(weights, leaves);
    return look(leaves);
  };
  const auto loss_of = [&](uint64_t seed) { return s.bilevel(batch(seed), {}, 1).train_loss(); };
  const auto gradient = [&](const std::vector<Tensor>& leaves) {
    return flatten(grad((loss_of(3) + loss_of(4)) * 0.5, leaves));
  };
  constexpr double kStep = 1e-7;
  Vector difference = at(kStep, gradient);
  add(difference, -1, at(-kStep, gradient));
  for (double& x : difference) x /= 2 * kStep;
  add(difference, -1, hv);
  CHECK(norm(difference) < 1e-5 * norm(hv));
  CHECK(at(0.1, [&](const auto&) { return h.loss(); }) ==
        Approx(at(0.1, [&](const auto&) { return (loss_of(3).item() + loss_of(4).item()) / 2; })));
  CHECK(snapshot(s) == before);
}

TEST_CASE("a slice of a loss: as steep and as curved as gradient and Hessian say, and back again") {
  const SmoothRelu smooth(5);  // a kink curves a slice, but is in no Hessian
  SearchConfig c = tiny();
  c.space = "darts-s2";
  SearchState s(c, 3, 10);
  s.step(batch(1), batch(2), 0.025, 0);
  const Weights weights = s.network.weights();
  const Alphas alphas = s.arch.alphas();
  const Hessian by_alpha = alpha_hessian(s, {batch(3), batch(4)}, 1),
                by_weights = weight_hessian(s, {batch(3), batch(4)}, 1);
  const auto follow = [&](const Hessian& h, const auto& set, double step) {
    Vector v(h.size());
    for (int64_t i = 0; i < h.size(); ++i) v[i] = std::sin(static_cast<double>(i + 1));
    const double length = norm(v);
    for (double& x : v) x /= length;
    const Vector before = flatten(set.tensors());
    const double plus = loss_along(h, set, v, step);
    CHECK(flatten(set.tensors()) == before);  // all bits
    const double here = loss_along(h, set, v, 0), minus = loss_along(h, set, v, -step);
    CHECK(here == Approx(h.loss()).epsilon(1e-14));
    CHECK(std::abs(plus - minus) > 1e-8);
    const double curvature = dot(v, h.product(v));
    CHECK(std::abs((plus - 2 * here + minus) / (step * step) - curvature) <
          1e-3 * std::abs(curvature));
  };
  follow(by_alpha, alphas, 1e-3);
  follow(by_weights, weights, 1e-3);
}

TEST_CASE("without kinks a difference of gradients approaches the exact product as R^2") {
  SearchConfig c = tiny();
  c.space = "darts-s2";  // no max pool, which has kinks of its own
  c.steps = c.multiplier = 4;
  c.gradient = "exact-unrolled";
  SearchState s(c, 3, 10);
  const auto error = [&](double radius) {
    const Bilevel problem = s.bilevel(batch(1), batch(2), 0);
    const InnerStep step = s.inner_step(0.025);
    const Vector exact =
        flatten(make_arch_gradient("exact-unrolled")->compute(problem, step).gradients);
    Vector d = flatten(make_arch_gradient("finite-difference", {.radius = radius})
                           ->compute(problem, step)
                           .gradients);
    add(d, -1, exact);
    return norm(d) / norm(exact);
  };
  const double kinked = error(0.004) / error(0.002);
  const SmoothRelu smooth(5);
  const double ratio = error(0.004) / error(0.002);
  CHECK(ratio == Approx(4).epsilon(0.1));
  CHECK(std::abs(kinked - 4) > 1);
}

TEST_CASE("smooth relu: values, derivatives of two orders, and only while it lives") {
  const Tensor x = Tensor::from(Vector{-40, -1.5, -0.3, 0.2, 0.9, 40}, {6});
  const Vector hard = relu(x).to_vector<double>();
  CHECK(activation(x).to_vector<double>() == hard);
  {
    const SmoothRelu smooth(3);
    const Vector y = activation(x).to_vector<double>(), at = x.to_vector<double>();
    for (size_t i = 0; i < y.size(); ++i) {
      CHECK(y[i] == Approx(std::log1p(std::exp(3 * at[i])) / 3).margin(1e-15));
      CHECK(y[i] - hard[i] <= std::log(2) / 3);
    }
    const Tensor near = slice(x, 0, 1, 5).clone().set_requires_grad(true);
    const auto f = [](std::span<const Tensor> in) { return std::vector{activation(in[0])}; };
    CHECK(gradcheck(f, std::vector{near}).worst_error < 1e-7);
    CHECK(gradgradcheck(f, std::vector{near}).worst_error < 1e-7);
  }
  CHECK(activation(x).to_vector<double>() == hard);
  CHECK_THROWS_AS(SmoothRelu(0), std::invalid_argument);
}

TEST_CASE("alpha hessian: what has none is refused") {
  SearchConfig c = tiny();
  c.relaxation = "gumbel-hard";
  SearchState s(c, 3, 10);
  CHECK(contains(message_of<std::invalid_argument>([&] { alpha_hessian(s, {batch(1)}, 0); }),
                 "nobody's derivative"));
  SearchState t(tiny(), 3, 10);
  CHECK_THROWS_AS(alpha_hessian(t, {}, 0), std::invalid_argument);
}
