// Relaxations: their formulas against PyTorch, what they draw, and searches that use them.
#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/gradcheck.h"
#include "engine/ops.h"
#include "engine/tensor_file.h"
#include "nas/checkpoint.h"
#include "nas/relaxation.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/source.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using test::random_batch;

namespace {

SearchConfig config(const std::string& relaxation) {
  SearchConfig c;
  c.layers = 3;
  c.channels = 4;
  c.steps = c.multiplier = 2;
  c.batch = 4;
  c.gradient = "first-order";
  c.relaxation = relaxation;
  c.temperature = 2;
  c.alpha_init = 0.5;
  c.dtype = DType::kFloat64;
  return c;
}

Tensor random_alpha(uint32_t seed, int64_t edges = 14, int64_t candidates = 8) {
  const ref::Values v = random_values(edges * candidates, -2, 2, seed);
  return Tensor::from(v, {edges, candidates}).set_requires_grad(true);
}

MixtureInput input(double temperature, int64_t step, Phase phase = Phase::kTrain) {
  const RandomKey key = random_key(1, module_id("alphas_normal"), Purpose::kGumbel);
  return {Tensor::full({}, temperature, DType::kFloat64), {key, step, phase}};
}

}  // namespace

TEST_CASE("relaxations: weights and gradients are those of PyTorch") {
  const SafetensorsFile file = SafetensorsFile::open(test_data("relaxations.safetensors"));
  const auto read = [&](const std::string& name) {
    return read_tensor(file, name, DType::kFloat64);
  };
  const Tensor noise = read("noise"), temperature = read("temperature");
  const auto weights = [&](std::string_view name, const Tensor& alpha) {
    if (name == "gumbel-soft") return gumbel_softmax(alpha, noise, temperature);
    if (name == "gumbel-hard") {
      const Tensor soft = gumbel_softmax(alpha, noise, temperature);
      return straight_through(row_maxima(soft).one_hot, soft);
    }
    return make_relaxation(name)->mix(alpha, input(1, 0)).weights;
  };
  for (const std::string_view name : relaxation_names()) {
    CAPTURE(name);
    const std::string prefix(name);
    const Tensor alpha = read("alpha").set_requires_grad(true);
    const Tensor w = weights(name, alpha);
    CHECK(difference(w, read(prefix + "/weights")) <= 1e-14);
    const std::vector<Tensor> g = grad(sum(w * read("cotangent")), std::vector{alpha});
    CHECK(difference(g[0], read(prefix + "/dalpha")) <= 1e-13);
  }
}

TEST_CASE("relaxations: first and second derivatives") {
  for (const std::string_view name : {"softmax", "sigmoid", "gumbel-soft"}) {
    CAPTURE(name);
    const auto relaxation = make_relaxation(name);
    const auto f = [&](std::span<const Tensor> x) {
      return std::vector<Tensor>{relaxation->mix(x[0], input(0.7, 3)).weights};
    };
    const std::vector<Tensor> inputs{random_alpha(1, 3, 4)};
    CHECK(gradcheck(f, inputs).worst_error < 1e-8);
    CHECK(gradgradcheck(f, inputs).worst_error < 1e-8);
  }
}

TEST_CASE("relaxations: a draw belongs to its step and phase, and to a table") {
  const Tensor alpha = random_alpha(2);
  for (const std::string_view name : {"gumbel-soft", "gumbel-hard"}) {
    CAPTURE(name);
    const auto relaxation = make_relaxation(name);
    const auto draw = [&](int64_t step, Phase phase) {
      return doubles(relaxation->mix(alpha, input(1, step, phase)).weights);
    };
    CHECK(draw(7, Phase::kTrain) == draw(7, Phase::kTrain));
    CHECK(draw(7, Phase::kTrain) != draw(8, Phase::kTrain));
    CHECK(draw(7, Phase::kTrain) != draw(7, Phase::kValidation));
    SearchState state(config(std::string(name)), 3, 10);
    state.arch.normal().assign(Tensor::zeros(state.arch.normal().shape(), DType::kFloat64));
    state.arch.reduce().assign(state.arch.normal());
    const CellMixtures m = state.mixtures({.step = 3});
    CHECK(doubles(m.normal.weights) != doubles(m.reduce.weights));
  }
}

// P(argmax of alpha + G = k) = softmax(alpha)_k at every temperature (Gumbel, 1954).
TEST_CASE("relaxations: candidates are drawn as often as their softmax says") {
  const Tensor alpha = random_alpha(3, 1, 4);
  const std::vector<double> p = doubles(softmax(alpha.detach(), 1));
  const auto relaxation = make_relaxation("gumbel-hard");
  const double temperature = GENERATE(10., 1., 0.1);
  constexpr int64_t kDraws = 20000;
  std::vector<int64_t> drawn(4, 0);
  for (int64_t step = 0; step < kDraws; ++step) {
    const Mixture m = relaxation->mix(alpha, input(temperature, step));
    ++drawn[std::ranges::find(m.run, true) - m.run.begin()];
  }
  for (size_t k = 0; k < p.size(); ++k) {
    CAPTURE(k, p[k]);
    const double deviation = std::sqrt(p[k] * (1 - p[k]) / kDraws);
    CHECK(std::abs(static_cast<double>(drawn[k]) / kDraws - p[k]) < 4 * deviation);
  }
}

TEST_CASE("relaxations: soft weights harden as the temperature falls") {
  const Tensor alpha = random_alpha(4);
  const auto largest = [&](double temperature) {
    const Tensor w = make_relaxation("gumbel-soft")->mix(alpha, input(temperature, 1)).weights;
    return mean(max(w, 1).values).item();
  };
  CHECK(largest(100) < 0.15);
  CHECK(largest(0.01) > 0.95);
  CHECK(largest(1) < largest(0.5));
}

TEST_CASE("hard Gumbel: only what was drawn runs, forward and backward") {
  SearchState state(config("gumbel-hard"), 3, 10);
  const Mixture m = state.mixtures({.step = 4, .phase = Phase::kTrain}).normal;
  const std::vector<double> w = doubles(m.weights);
  const int64_t candidates = m.weights.size(1);
  for (int64_t edge = 0; edge < m.weights.size(0); ++edge) {
    CHECK(std::count(m.run.begin() + edge * candidates,
                     m.run.begin() + (edge + 1) * candidates,
                     true) == 1);
  }
  for (size_t i = 0; i < w.size(); ++i) CHECK(w[i] == (m.run[i] ? 1.0 : 0.0));

  const nas::Batch batch = random_batch(4, 16, 1, DType::kFloat64);
  const auto macs = [&](const CellMixtures& mixtures) {
    const DryRun dry_run;
    const int64_t before = mac_count();
    state.network.forward(batch.images, mixtures, {});
    return mac_count() - before;
  };
  const auto all = [&](const Tensor& alpha) { return softmax_mixture(alpha); };
  CHECK(3 * macs(state.mixtures({.step = 4})) <
        macs({all(state.arch.normal()), all(state.arch.reduce())}));

  // Weights of candidates that were not drawn have no gradient, alphas of every edge have one.
  const Tensor loss = cross_entropy(
      state.network.forward(batch.images, state.mixtures({.step = 4}), {}), batch.labels);
  std::vector<Tensor> inputs = state.network.weights().tensors();
  inputs.push_back(state.arch.normal());
  const std::vector<Tensor> g = grad(loss, inputs);
  size_t without = 0;
  for (size_t i = 0; i + 1 < g.size(); ++i) without += g[i].defined() ? 0 : 1;
  CHECK(without > g.size() / 2);
  CHECK(dot(g.back(), g.back()).item() > 0);
}

TEST_CASE("hard Gumbel: weights that did not run decay and keep their momentum") {
  SearchConfig c = config("gumbel-hard");
  c.grad_clip = 0;
  SearchState state(c, 3, 10);
  const Weights weights = state.network.weights();
  for (const Tensor& m : state.sgd.momentum_buffers())
    m.assign(Tensor::full(m.shape(), 0.5, m.dtype()));
  std::vector<Tensor> before;
  for (const Tensor& w : weights.tensors()) before.push_back(w.clone());
  const nas::Batch train = random_batch(4, 16, 1, DType::kFloat64),
                   validation = random_batch(4, 16, 2, DType::kFloat64);
  // What the weight pass of this step draws, with the alphas after Adam's step.
  state.step(train, validation, 0.1, 0);
  const CellMixtures drawn = state.mixtures({.step = 0, .phase = Phase::kTrain});
  size_t idle = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const std::string& name = weights.name(i);
    const int cell = name.starts_with("cells.0.") ? 0 : -1;  // a normal one
    if (cell < 0 || !name.starts_with("cells.0._ops.")) continue;
    const std::string rest = name.substr(std::string("cells.0._ops.").size());
    const int64_t edge = std::stoll(rest), k = std::stoll(rest.substr(rest.find("_ops.") + 5));
    if (drawn.normal.run[edge * 8 + k]) continue;
    ++idle;
    const Tensor moved = before[i] - 0.1 * (before[i] * c.weight_decay + 0.5 * c.momentum);
    CHECK(difference(weights[i].value.detach(), moved) < 1e-12);
  }
  CHECK(idle > 0);
}

TEST_CASE("searches with each relaxation go on from a step to the same bits") {
  for (const std::string_view name : relaxation_names()) {
    CAPTURE(name);
    const auto run = [&](bool fuse) {
      SearchConfig c = config(std::string(name));
      c.fuse = fuse;
      SearchState state(c, 3, 10);
      std::vector<double> losses;
      for (int64_t i = 0; i < 3; ++i) {
        state.set_temperature(2.0 - 0.5 * static_cast<double>(i));
        const auto r = state.step(random_batch(4, 16, 2 * i, DType::kFloat64),
                                  random_batch(4, 16, 2 * i + 1, DType::kFloat64),
                                  0.025,
                                  i);
        losses.insert(losses.end(), {r.train_loss, r.validation_loss, r.gradient_norm});
      }
      return losses;
    };
    const std::vector<double> fused = run(true), small = run(false);
    CHECK(run(true) == fused);
    for (size_t i = 0; i < fused.size(); ++i)
      CHECK(std::abs(fused[i] - small[i]) <= 1e-9 * std::abs(small[i]));
  }
}

TEST_CASE("a gradient along the weights is refused for straight-through ones") {
  for (const char* gradient : {"finite-difference", "exact-unrolled"}) {
    SearchConfig c = config("gumbel-hard");
    c.gradient = gradient;
    CHECK_THROWS_AS(validate(c), std::invalid_argument);
    c.relaxation = "gumbel-soft";
    CHECK_NOTHROW(validate(c));
  }
  // One level needs none.
  SearchConfig c = config("gumbel-hard");
  c.gradient = "one-level";
  SearchState state(c, 3, 10);
  const std::vector<double> before = doubles(state.arch.normal());
  const Batch batch = random_batch(4, 8, 1, c.dtype);
  CHECK(std::isfinite(state.step(batch, batch, 0.025, 0).train_loss));
  CHECK(doubles(state.arch.normal()) != before);
  CHECK_THROWS_WITH(make_relaxation("soft"),
                    "relaxation 'soft' is not known; expected one of softmax, sigmoid, "
                    "gumbel-soft, gumbel-hard");
}

TEST_CASE("decisions compare weights as the relaxation makes them") {
  // Node 0 of one: edge 0 has the larger softmax weight, edge 1 the larger gate.
  ref::Values v(2 * 8, -4);
  v[0 * 8 + 4] = 0;
  std::fill_n(v.begin() + 8, 8, 1);
  v[1 * 8 + 5] = 1.5;
  const Tensor alpha = Tensor::from(v, {2, 8});
  const auto first = [&](std::string_view name) {
    const Space space = make_space("darts-cnn", 1);
    return derive(*make_decision("top2"), *make_relaxation(name), {alpha, alpha}, space, 1)
        .normal.edges[0]
        .op;
  };
  CHECK(first("softmax") == "sep_conv_3x3");
  CHECK(first("sigmoid") == "sep_conv_5x5");
}
