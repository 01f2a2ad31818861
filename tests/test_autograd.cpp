// Reverse-mode differentiation: which gradients come out, to which order, and what the graph holds
// meanwhile.
#include <cmath>

#include "engine/autograd.h"
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
Tensor leaf(double value) {
  return leaf(Doubles{value}, {});
}

Tensor grad1(const Tensor& y, const Tensor& x, GradOptions options = {}) {
  return grad(y, Tensors{x}, options)[0];
}

int64_t live() {
  return memory_stats().live;
}

}  // namespace

TEST_CASE("grad: leaves, intermediate results, repeated and unused inputs") {
  const Tensor x = leaf({1, 2}, {2}), unused = leaf(3);
  const Tensor h = x * x;
  const Tensor y = sum(h * x);  // x^3
  const Tensors g = grad(y, Tensors{x, h, x, unused, y});
  CHECK(g[0].to_vector<double>() == Doubles{3, 12});
  CHECK(g[1].to_vector<double>() == Doubles{1, 2});
  CHECK(g[2].to_vector<double>() == g[0].to_vector<double>());
  CHECK_FALSE(g[3].defined());
  CHECK(g[4].item() == 1);
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("grad: an input that is itself the output") {
  const Tensor x = leaf(2);
  CHECK(grad1(x, x).item() == 1);
}

TEST_CASE("grad: several outputs, with gradients of their own or left out") {
  const Tensor x = leaf({1, 2}, {2});
  const Tensors ys{x * x, x * 3.0};
  const Tensors gs{Tensor::from(Doubles{1, 10}, {2}), Tensor()};
  CHECK(grad(ys, Tensors{x}, gs)[0].to_vector<double>() == Doubles{2, 40});
}

TEST_CASE("gradients of many consumers add up, and come contiguous") {
  const Tensor x = leaf({1, 2, 3}, {3});
  Tensor y = sum(x);
  for (int i = 0; i < 9; ++i) y = y + sum(x * x);
  CHECK(grad1(y, x).to_vector<double>() == Doubles{19, 37, 55});

  const Tensor broadcast = grad1(sum(x), x);
  CHECK(broadcast.is_contiguous());
  CHECK(broadcast.to_vector<double>() == Doubles{1, 1, 1});
}

TEST_CASE("a sum of gradients does not write into a gradient that someone else holds") {
  const Tensor x = leaf({1, 2}, {2});
  const Tensor a = x * 2.0;
  const Tensor y = sum(a) + sum(a * a) + sum(x * x) + sum(a);
  const Tensors g = grad(y, Tensors{a, x, a});
  CHECK(g[0].to_vector<double>() == Doubles{6, 10});
  CHECK(g[1].to_vector<double>() == Doubles{14, 24});
  CHECK(g[2].to_vector<double>() == Doubles{6, 10});
}

TEST_CASE("grad refuses what has no gradient") {
  const Tensor x = leaf({1, 2}, {2}), constant = Tensor::ones({2}, DType::kFloat64);
  const Tensor y = x * x;
  CHECK_THROWS_AS(grad1(sum(constant), x), std::invalid_argument);
  CHECK_THROWS_AS(grad1(sum(y), constant), std::invalid_argument);
  CHECK_THROWS_AS(grad1(y, x), std::invalid_argument);  // not one element
  CHECK_THROWS_AS(grad1(Tensor(), x), std::invalid_argument);
  CHECK_THROWS_AS(grad(Tensors{y}, Tensors{x}, Tensors{Tensor::ones({3}, DType::kFloat64)}),
                  std::invalid_argument);
  CHECK_THROWS_AS(grad(Tensors{y}, Tensors{x}, Tensors{Tensor::ones({2}, DType::kFloat32)}),
                  std::invalid_argument);
  CHECK_THROWS_AS(grad(Tensors{y, y}, Tensors{x}, Tensors{y}), std::invalid_argument);
  CHECK(grad(sum(y), Tensors{}).empty());
}

TEST_CASE("create_graph: derivatives of x^5 up to the fifth") {
  const Tensor x = leaf(2);
  const Tensor x2 = x * x;
  Tensor y = x2 * x2 * x;
  for (const double expected : {80.0, 160.0, 240.0, 240.0, 120.0}) {
    y = grad1(y, x, {.create_graph = true});
    CHECK(y.item() == expected);
  }
}

TEST_CASE("a released graph refuses a second pass, naming the op") {
  const Tensor x = leaf(2);
  const Tensor y = exp(x * x);
  grad1(y, x, {.retain_graph = true});
  CHECK(grad1(y, x).item() == Approx(4 * std::exp(4)));
  CHECK_THROWS_WITH(
      grad1(y, x),
      "exp: its saved tensors were released by an earlier backward; ask for retain_graph there");
}

TEST_CASE("only the nodes that a pass runs are released") {
  const Tensor w = leaf(3);
  const Tensor h = w * w;
  const Tensor y = exp(h);
  const Tensor gh = grad1(y, h);  // stops at h
  CHECK(grad(Tensors{h}, Tensors{w}, Tensors{gh})[0].item() == Approx(6 * std::exp(9)));
}

TEST_CASE("a saved tensor that was overwritten is noticed") {
  const Tensor x = leaf({1, 2}, {2}), w = leaf({3, 4}, {2});
  const Tensor y = sum(x * w);
  const Tensor untouched = sum(x + w);  // saves nothing
  w.assign(w.detach() * 2.0);
  CHECK_THROWS_WITH(grad1(y, x),
                    "multiply: input 1 was overwritten after it was saved for backward");
  CHECK(grad1(untouched, x).to_vector<double>() == Doubles{1, 1});
}

TEST_CASE("a chain of 200,000 nodes is built, differentiated and torn down", "[large]") {
  const int64_t before = live();
  {
    const Tensor x = leaf(1);
    Tensor y = x;
    for (int i = 0; i < 200000; ++i) y = y * 1.0;
    CHECK(grad1(y, x).item() == 1);
  }
  {
    Tensor y = leaf(1);
    for (int i = 0; i < 200000; ++i) y = exp(y) * 0.1;  // never differentiated
  }
  CHECK(live() == before);
}

TEST_CASE("NoGrad and detach cut the graph") {
  const Tensor x = leaf(3);
  {
    const NoGrad no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE((x * x).requires_grad());
    {
      const GradModeGuard on(true);
      CHECK((x * x).requires_grad());
    }
  }
  CHECK(grad_enabled());
  CHECK(grad1(x * x.detach(), x).item() == 3);
  CHECK_FALSE(grad1(x * x, x).requires_grad());
  CHECK(grad1(x * x, x, {.create_graph = true}).requires_grad());
}

TEST_CASE("backward adds to grad() of every leaf") {
  const Tensor x = leaf({1, 2}, {2}), w = leaf(3);
  const Tensor constant = Tensor::ones({2}, DType::kFloat64);
  backward(sum(x * w * constant));
  CHECK(x.grad().to_vector<double>() == Doubles{3, 3});
  CHECK(w.grad().item() == 3);
  const Tensor held = x.grad();
  backward(sum(x));
  CHECK(x.grad().to_vector<double>() == Doubles{4, 4});
  CHECK(x.grad().is_contiguous());
  CHECK(held.to_vector<double>() == Doubles{3, 3});
  CHECK_FALSE(constant.grad().defined());
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
  CHECK_THROWS_AS(backward(sum(x), {.create_graph = true}), std::invalid_argument);
  CHECK_THROWS_AS(backward(x * w), std::invalid_argument);
}

TEST_CASE("only the paths to the wanted inputs are run") {
  const Tensor x = wave({1, 4, 4, 2}, 0).set_requires_grad(true),
               w1 = wave({1, 1, 2, 3}, 1).set_requires_grad(true);
  const Tensor w2 = wave({1, 1, 3, 5}, 2).set_requires_grad(true);
  const int64_t first = 16 * 2 * 3,
                second = 16 * 3 * 5;  // multiply-adds of either convolution, and of each gradient
  const auto cost_of = [&](const Tensors& wanted) {
    const Tensor y = sum(conv2d(conv2d(x, w1), w2));
    const int64_t before = mac_count();
    grad(y, wanted);
    return mac_count() - before;
  };
  CHECK(cost_of({w2}) == second);
  CHECK(cost_of({w1}) == second + first);
  CHECK(cost_of({x}) == second + first);
  CHECK(cost_of({w1, w2}) == 2 * second + first);
  CHECK(cost_of({x, w1, w2}) == 2 * second + 2 * first);
}

TEST_CASE("outputs without a gradient: indices, statistics, and a term that is not used") {
  const Tensor x = wave({3, 4}, 0).set_requires_grad(true);
  const MaxResult m = max(x, 1);
  CHECK(m.values.requires_grad());
  CHECK_FALSE(m.indices.requires_grad());
  const BatchNormResult b = batch_norm(x);
  CHECK(b.y.requires_grad());
  CHECK_FALSE((b.mean.requires_grad() || b.var.requires_grad()));
  CHECK_FALSE(sign(x).requires_grad());

  // The gradient of a mixed sum has one output for each term; here one of them meets no cotangent.
  const Tensor w = leaf({0.5, 0.25}, {2}), y = wave({3, 4}, 1).set_requires_grad(true);
  const Tensors g =
      grad(sum(exp(mixed_sum(w, {0, 1}, {x, y}))), Tensors{x, y}, {.create_graph = true});
  const Tensor gg = grad1(sum(g[0]), w);
  const Tensor e = exp(x * 0.5 + y * 0.25);
  const double expected_0 = sum(e * (1.0 + x * 0.5)).item(), expected_1 = sum(e * y * 0.5).item();
  CHECK(gg.to_vector<double>()[0] == Approx(expected_0));
  CHECK(gg.to_vector<double>()[1] == Approx(expected_1));
}

TEST_CASE("backward releases what it no longer needs as it goes") {
  const int64_t n = 1 << 16, bytes = 8 * n, depth = 20;
  const Tensor x = Tensor::ones({n}, DType::kFloat64).set_requires_grad(true);
  const int64_t before = live();
  Tensor y = x;
  for (int i = 0; i < depth; ++i) y = tanh(y);
  y = sum(y);
  CHECK(live() >= before + depth * bytes);
  CHECK(live() < before + (depth + 1) * bytes);
  reset_peak_memory();
  grad1(y, x);
  CHECK(memory_stats().peak <
        before + (depth + 5) * bytes);  // a gradient and the temporaries of one rule
  CHECK(live() < before + bytes);       // y is still held, its graph saves nothing
}

TEST_CASE("what an op saves: relu-conv its input, max pooling one byte an element") {
  const Tensor x = Tensor::ones({2, 8, 8, 4}, DType::kFloat32).set_requires_grad(true);
  const Tensor w = Tensor::ones({3, 3, 4, 4}, DType::kFloat32).set_requires_grad(true);
  const int64_t n = x.numel();
  // The bytes that the graph holds of the op's input and outputs once their handles are gone.
  const auto saved_by = [&](auto op) {
    const int64_t before = live();
    const Tensor y = affine(op(affine(x, 2, 0)), 2, 0);
    return live() - before - y.numel() * size_of(y.dtype());
  };
  CHECK(saved_by([&](const Tensor& h) { return h + h; }) == 0);
  CHECK(saved_by([&](const Tensor& h) { return avg_pool2d(h); }) == 0);
  CHECK(saved_by([&](const Tensor& h) { return max_pool2d(h); }) == n);
  CHECK(saved_by([&](const Tensor& h) { return softmax(h, 3); }) == 4 * n);
  CHECK(saved_by([&](const Tensor& h) { return relu_conv2d(h, w, {.padding = 1}); }) == 4 * n);
  CHECK(saved_by([&](const Tensor& h) { return mixed_sum(w, {0}, {h}); }) == 4 * n);
  const int64_t statistics = 2 * 4 * 4;  // mean and variance of 4 channels
  CHECK(saved_by([&](const Tensor& h) { return batch_norm(h).y; }) == 4 * n + statistics);
}
