// The halves of a search step: in which order, whether the alphas move, whether one pass serves
// both, and what their loss has besides that of the task.
#include <cmath>

#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/gradcheck.h"
#include "engine/ops.h"
#include "nas/data/patterns.h"
#include "nas/regulariser.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

constexpr double kRate = 0.1;

SearchConfig config(const std::string& gradient = "first-order") {
  SearchConfig c;
  c.layers = 2;
  c.channels = 2;
  c.steps = c.multiplier = 2;
  c.batch = 4;
  c.grad_clip = 0;
  c.alpha_init = 0.5;
  c.gradient = gradient;
  c.dtype = DType::kFloat64;
  return c;
}

struct Batches {
  Batch train = random_batch(4, 8, 1, DType::kFloat64),
        validation = random_batch(4, 8, 2, DType::kFloat64);
};

std::vector<Tensor> copies(const std::vector<Tensor>& all) {
  std::vector<Tensor> c;
  for (const Tensor& t : all) c.push_back(t.detach().clone());
  return c;
}

std::vector<Tensor> gradients(SearchState& s, const Batch& batch, const std::vector<Tensor>& of) {
  const Tensor loss =
      cross_entropy(s.network.forward(batch.images, s.mixtures(), {}), batch.labels);
  return defined_or_zeros(grad(loss, of), of);
}

// The first update of SGD and of Adam, by hand.
Tensor sgd_moved(const Tensor& w, const Tensor& g, const SearchConfig& c) {
  const Tensor d = g + w * c.weight_decay;
  return w - d * (kRate * (c.nesterov ? 1 + c.momentum : 1));
}
Tensor adam_moved(const Tensor& a, const Tensor& g, const SearchConfig& c) {
  const Tensor d = g + a * c.alpha_weight_decay;
  return a - d / (abs(d) + 1e-8) * c.alpha_lr;
}

double worst(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, difference(a[i], b[i]));
  return most;
}

}  // namespace

TEST_CASE("each half of a step sees what the one before it left") {
  const Batches b;
  for (const char* order : {"alpha-first", "weights-first"}) {
    for (const bool nesterov : {false, true}) {
      CAPTURE(order, nesterov);
      SearchConfig c = config();
      c.order = order;
      c.nesterov = nesterov;
      SearchState s(c, 3, 10), by_hand(c, 3, 10);
      const std::vector<Tensor> w = by_hand.network.weights().tensors();
      const std::vector<Tensor> alphas = by_hand.arch.alphas().tensors();
      const auto move = [&](bool alpha) {
        const std::vector<Tensor>& of = alpha ? alphas : w;
        const std::vector<Tensor> g = gradients(by_hand, alpha ? b.validation : b.train, of);
        const NoGrad no_grad;
        for (size_t i = 0; i < of.size(); ++i)
          of[i].assign(alpha ? adam_moved(of[i], g[i], c) : sgd_moved(of[i], g[i], c));
      };
      const bool alpha_first = std::string(order) == "alpha-first";
      move(alpha_first);
      move(!alpha_first);
      s.step(b.train, b.validation, kRate, 0);
      CHECK(worst(s.network.weights().tensors(), w) < 1e-12);
      CHECK(worst(s.arch.alphas().tensors(), alphas) < 1e-12);
    }
  }
}

TEST_CASE("whichever half fails, the step changes nothing and says which") {
  const Batches b;
  Batch spoiled = random_batch(4, 8, 3, DType::kFloat64);
  slice(reshape(spoiled.images, {spoiled.images.numel()}), 0, 5, 6)
      .assign(Tensor::full({1}, NAN, DType::kFloat64));
  for (const char* order : {"alpha-first", "weights-first"}) {
    SearchConfig c = config();
    c.order = order;
    SearchState s(c, 3, 10);
    s.step(b.train, b.validation, kRate, 0);
    const auto before = snapshot(s);
    for (const bool in_train : {true, false}) {
      CAPTURE(order, in_train);
      const std::string message = message_of<NonFinite>([&] {
        s.step(in_train ? spoiled : b.train, in_train ? b.validation : spoiled, kRate, 1);
      });
      CHECK(contains(message, in_train ? "weight step, stem" : "alpha step, stem"));
      CHECK(snapshot(s) == before);
    }
  }
}

TEST_CASE("alphas that rest stay, moments and counts too, and their loss is measured") {
  const Batches b;
  SearchState s(config(), 3, 10), never(config(), 3, 10);
  const std::vector<Tensor> before = copies(s.arch.alphas().tensors());
  s.rest_alphas(true);
  const SearchState::StepResult resting = s.step(b.train, b.validation, kRate, 0);
  const SearchState::StepResult moving = never.step(b.train, b.validation, kRate, 0);
  CHECK(worst(s.arch.alphas().tensors(), before) == 0);
  CHECK(s.adam.steps() == 0);
  CHECK(doubles(s.adam.first_moments()[0]) == std::vector<double>(s.arch.normal().numel(), 0));
  CHECK(resting.validation_loss == moving.validation_loss);
  s.rest_alphas(false);
  s.step(b.train, b.validation, kRate, 1);
  CHECK(s.adam.steps() == 1);
  CHECK(worst(s.arch.alphas().tensors(), before) > 0);
}

TEST_CASE("one level: one pass gives both gradients, at the weights and alphas before") {
  const Batches b;
  const SearchConfig c = config("one-level");
  SearchState s(c, 3, 10);
  std::vector<Tensor> inputs = s.network.weights().tensors();
  const size_t weights = inputs.size();
  for (const Tensor& a : s.arch.alphas().tensors()) inputs.push_back(a);
  const std::vector<Tensor> g = gradients(s, b.train, inputs);
  std::vector<Tensor> moved;
  for (size_t i = 0; i < inputs.size(); ++i) {
    moved.push_back(i < weights ? sgd_moved(inputs[i].detach(), g[i], c)
                                : adam_moved(inputs[i].detach(), g[i], c));
  }
  const std::vector<Tensor> alpha_gradient =
      make_arch_gradient("one-level")
          ->compute(s.bilevel(b.train, {}, 0), s.inner_step(kRate))
          .gradients;
  CHECK(worst(alpha_gradient, {g.begin() + weights, g.end()}) < 1e-12);

  const int64_t before = mac_count();
  const SearchState::StepResult r = s.step(b.train, {}, kRate, 0);
  const int64_t macs = mac_count() - before;
  CHECK(worst(inputs, moved) < 1e-12);
  CHECK(r.train_loss == r.validation_loss);
  SearchState two(config(), 3, 10);
  const int64_t start = mac_count();
  two.step(b.train, b.validation, kRate, 0);
  CHECK(static_cast<double>(macs) < 0.65 * static_cast<double>(mac_count() - start));
}

// Decay is not clipped, and small gradients are not made larger.
TEST_CASE("the gradient of the alphas is clipped by one norm over all of them") {
  const Batches b;
  for (const char* gradient : {"first-order", "one-level"}) {
    CAPTURE(gradient);
    SearchConfig c = config(gradient);
    const std::vector<Tensor> g = [&] {
      SearchState s(c, 3, 10);
      return gradients(s,
                       std::string(gradient) == "one-level" ? b.train : b.validation,
                       s.arch.alphas().tensors());
    }();
    const double norm = std::sqrt(dot(g[0], g[0]).item() + dot(g[1], g[1]).item());
    for (const double limit : {0.01 * norm, 100 * norm}) {
      CAPTURE(limit);
      c.alpha_grad_clip = limit;
      SearchState s(c, 3, 10);
      s.step(b.train, b.validation, kRate, 0);
      const double factor = std::min(1.0, limit / (norm + 1e-6));
      for (size_t i = 0; i < 2; ++i) {  // the first moment is (1 - beta1) of what Adam was given
        const Tensor before = SearchState(c, 3, 10).arch.alphas()[i].value.detach();
        const Tensor given = g[i] * factor + before * c.alpha_weight_decay;
        CHECK(difference(s.adam.first_moments()[i], given * (1 - c.alpha_beta1)) < 1e-14);
      }
    }
  }
  SearchConfig c = config();
  c.alpha_grad_clip = -1;
  CHECK(contains(message_of<std::invalid_argument>([&] { validate(c); }), "--alpha-grad-clip: -1"));
}

TEST_CASE("one level: all images train both") {
  SearchConfig c = config("one-level");
  c.dtype = DType::kFloat32;
  c.epochs = 1;
  const Dataset images = make_patterns({.seed = 1, .train = 24, .test = 1}).train;
  CHECK(Search(c, images).steps_per_epoch() == 6);
  c.gradient = "first-order";
  CHECK(Search(c, images).steps_per_epoch() == 3);
  SearchObserver nobody;
  c.gradient = "one-level";
  Search search(c, images);
  CHECK(search.run(nobody).finished);
  CHECK(search.progress().steps == 6);
}

// Fair DARTS: at 1/2 the term and its gradient vanish, at 0 and 1 it is lowest.
TEST_CASE("the zero-one term by its closed form") {
  const auto zero_one = make_regulariser("zero-one", 10);
  const auto value = [&](double gate) {
    const Tensor p = Tensor::full({14, 7}, gate, DType::kFloat64);
    return zero_one->apply(Tensor::full({}, 3, DType::kFloat64), {p, p}).item();
  };
  CHECK(value(0.5) == 3);
  CHECK(value(0) == Approx(3 - 2.5));
  CHECK(value(1) == Approx(3 - 2.5));
  // 10 * -(2 / 196) (s - 1/2) s (1 - s) at alpha = 2.
  const Tensor alpha = Tensor::full({14, 7}, 2, DType::kFloat64).set_requires_grad(true);
  const Tensor other = Tensor::zeros({14, 7}, DType::kFloat64);
  const Tensor loss =
      zero_one->apply(Tensor::zeros({}, DType::kFloat64), {sigmoid(alpha), sigmoid(other)});
  const std::vector<Tensor> g = grad(loss, std::vector{alpha});
  CHECK(g[0].to_vector<double>()[0] == Approx(-0.0040797).epsilon(1e-4));
  for (const std::string_view name : {"zero-one", "zero-one-abs"}) {
    const auto term = make_regulariser(name, 10);
    const auto f = [&](std::span<const Tensor> x) {
      return std::vector<Tensor>{term->apply(sum(x[0] * x[1]), {sigmoid(x[0]), sigmoid(x[1])})};
    };
    const std::vector<Tensor> inputs{
        Tensor::from(std::vector<double>{0.3, -0.7, 1.2, -2}, {2, 2}).set_requires_grad(true),
        Tensor::from(std::vector<double>{-0.4, 0.9, 2.1, -1}, {2, 2}).set_requires_grad(true)};
    CHECK(gradcheck(f, inputs).worst_error < 1e-7);
    CHECK(gradgradcheck(f, inputs).worst_error < 1e-7);
  }
}

TEST_CASE("with a large weight all gates go where they lean") {
  const Batches b;
  SearchConfig c = config();
  c.space = "darts-cnn-no-none";
  c.relaxation = "sigmoid";
  c.regulariser = "zero-one";
  c.regulariser_weight = 1e6;
  c.alpha_lr = 0.1;
  c.alpha_weight_decay = 0;
  c.alpha_init = 1e-3;
  SearchState s(c, 3, 10);
  const std::vector<double> start = doubles(s.arch.normal());
  SearchState::StepResult r{};
  for (int64_t i = 0; i < 80; ++i) r = s.step(b.train, b.validation, 1e-6, i);
  const std::vector<double> p = doubles(sigmoid(s.arch.normal().detach()));
  for (size_t i = 0; i < p.size(); ++i) {
    CAPTURE(i, start[i], p[i]);
    CHECK(std::abs(p[i] - 0.5) > 0.4);
    CHECK((p[i] > 0.5) == (start[i] > 0));
  }
  CHECK(r.validation_loss > 0);  // that of the task
}

TEST_CASE("what the parts of a method cannot be together is refused") {
  const auto refused = [](const auto& change) {
    SearchConfig c = config();
    change(c);
    return message_of<std::invalid_argument>([&] { validate(c); });
  };
  CHECK(
      contains(refused([](SearchConfig& c) { c.order = "both"; }), "alpha-first or weights-first"));
  CHECK(contains(refused([](SearchConfig& c) { c.alpha_from = c.epochs; }), "would never move"));
  CHECK(contains(refused([](SearchConfig& c) {
                   c.gradient = "one-level";
                   c.order = "weights-first";
                 }),
                 "one pass gives both gradients"));
  CHECK(contains(refused([](SearchConfig& c) {
                   c.regulariser = "zero-one";
                   c.regulariser_weight = 10;
                 }),
                 "gates that do not depend on each other"));
  CHECK(contains(refused([](SearchConfig& c) {
                   c.regulariser = "zero-one";
                   c.relaxation = "sigmoid";
                 }),
                 "a positive number with a regulariser"));
  CHECK(contains(refused([](SearchConfig& c) {
                   c.regulariser = "zero-one";
                   c.regulariser_weight = 10;
                   c.relaxation = "sigmoid";
                 }),
                 "what stands for it is no gate"));
}
