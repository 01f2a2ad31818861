// Second and third derivatives: on paper, and against finite differences of a network's gradient.
#include <cmath>

#include "engine/autograd.h"
#include "engine/gradcheck.h"
#include "engine/ops.h"
#include "tests/support/catch.h"
#include "tests/support/smooth_net.h"

using namespace oche;

namespace {

using Doubles = std::vector<double>;
using Tensors = std::vector<Tensor>;

Tensor leaf(const Doubles& values, const Shape& shape) {
  return Tensor::from(values, shape).set_requires_grad(true);
}

// The largest difference between `actual` and the central difference of gradient() along v,
// relative to the largest entry.
template <typename Gradient>
double against_differences(const Tensors& actual,
                           const Tensors& moved,
                           const Tensors& v,
                           Gradient gradient) {
  const double h = 1e-4;
  const auto at = [&](double step) {
    Tensors saved;
    for (size_t i = 0; i < moved.size(); ++i) {
      saved.push_back(moved[i].clone());
      moved[i].assign(moved[i] + v[i] * step);
    }
    const Tensors g = gradient();
    for (size_t i = 0; i < moved.size(); ++i) moved[i].assign(saved[i]);
    return g;
  };
  const NoGrad no_grad;
  const Tensors near[] = {at(h), at(-h)}, far[] = {at(2 * h), at(-2 * h)};
  double worst = 0, scale = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const Tensor expected = ((near[0][i] - near[1][i]) * 8.0 - (far[0][i] - far[1][i])) / (12 * h);
    for (double d : (actual[i] - expected).to_vector<double>())
      worst = std::max(worst, std::abs(d));
    for (double e : expected.to_vector<double>()) scale = std::max(scale, std::abs(e));
  }
  return worst / scale;
}

}  // namespace

TEST_CASE("second derivatives on paper: f(a, w) = w^T A w / 2 + a b^T w") {
  // H = A with respect to w, the mixed derivative d/da <df/dw, v> is <b, v>, and d/dw (df/da) = b.
  const Tensor A = Tensor::from(Doubles{4, 1, 1, 3}, {2, 2}),
               b = Tensor::from(Doubles{5, -2}, {2, 1});
  const Tensor w = leaf({1, -1}, {2, 1}), a = leaf({0.5}, {});
  const auto f = [&] { return sum(w * matmul(A, w)) * 0.5 + a * dot(b, w); };
  const Tensors v{Tensor::from(Doubles{2, 3}, {2, 1})};
  CHECK(hessian_vector_product(f(), Tensors{w}, v)[0].to_vector<double>() == Doubles{11, 11});
  CHECK(mixed_product(f(), Tensors{w}, v, Tensors{a})[0].item() == 4);
  CHECK(mixed_product(f(), Tensors{a}, Tensors{Tensor::ones({}, DType::kFloat64)}, Tensors{w})[0]
            .to_vector<double>() == Doubles{5, -2});
  // Linear in a: no second derivative, and zeros rather than nothing.
  const Tensor second =
      mixed_product(f(), Tensors{a}, Tensors{Tensor::ones({}, DType::kFloat64)}, Tensors{a})[0];
  CHECK(second.item() == 0);
  CHECK_THROWS_AS(mixed_product(f(), Tensors{w, a}, v, Tensors{a}), std::invalid_argument);
}

TEST_CASE("Hessian-vector and mixed products of a network agree with differences of its gradient") {
  const SmoothNet net;
  const Tensors& p = net.parameters;
  const auto gradient_of = [&](std::span<const Tensor> inputs) {
    const GradModeGuard record(true);
    return grad(net.loss(p), inputs);
  };
  Tensors v;
  for (size_t i = 0; i < p.size(); ++i) v.push_back(wave(p[i].shape(), 5 + static_cast<double>(i)));
  const Tensors hv = hessian_vector_product(net.loss(p), p, v);
  CHECK(against_differences(hv, p, v, [&] { return gradient_of(p); }) <= 1e-8);

  const auto first = std::span(p).first(2), second = std::span(p).subspan(2);
  const Tensors mixed = mixed_product(net.loss(p), first, std::span(v).first(2), second);
  const Tensors moved(first.begin(), first.end());
  CHECK(against_differences(mixed, moved, v, [&] { return gradient_of(second); }) <= 1e-8);
}

TEST_CASE("create_graph: third order of a convolution with batch normalisation") {
  SmoothNet net;
  // <v, H v> as a function of the parameters; its gradient is a third derivative.
  const Differentiable curvature = [&](std::span<const Tensor> p) {
    const Tensors g = grad(net.loss(p), p, {.create_graph = true});
    const Tensors v{
        wave(p[0].shape(), 5), wave(p[1].shape(), 6), wave(p[2].shape(), 7), wave(p[3].shape(), 8)};
    const Tensors hv = grad(g, p, v, {.create_graph = true});
    Tensor total = dot(hv[0], v[0]);
    for (size_t i = 1; i < v.size(); ++i) total = total + dot(hv[i], v[i]);
    return Tensors{total};
  };
  const GradcheckReport r = gradcheck(curvature, net.parameters);
  CAPTURE(to_string(r));
  CHECK(r.worst_error <= 1e-7);
}

TEST_CASE("everything is freed, at any order") {
  const int64_t before = memory_stats().live;
  {
    const SmoothNet net;
    const int64_t parameters = memory_stats().live;
    Tensors g = grad(net.loss(net.parameters), net.parameters, {.create_graph = true});
    Tensors gg = grad(g, net.parameters, g, {.create_graph = true});
    CHECK(memory_stats().live > parameters);
    g.clear();
    gg.clear();
    CHECK(memory_stats().live == parameters);
    backward(net.loss(net.parameters));
    CHECK(memory_stats().live == parameters + 8 * (54 + 3 + 3 + 9));  // the gradients themselves
  }
  CHECK(memory_stats().live == before);
}
