// Perturbed weights of candidates: what they are made of, and searches whose weight half runs them.
#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/runtime.h"
#include "nas/checkpoint.h"
#include "nas/perturbation.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/step.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

constexpr double kRate = 0.1, kRadius = 0.2;

using Row = std::vector<double>;

RandomAddress address(int64_t step, std::string_view table = "alphas_normal", uint64_t seed = 0) {
  return {random_key(seed, module_id(table), Purpose::kPerturb), step, Phase::kTrain};
}

Tensor radius(double r = kRadius) {
  return Tensor::full({}, r, DType::kFloat64);
}

Tensor simplex_table(uint32_t seed, int64_t edges = 3, int64_t candidates = 4) {
  return softmax(Tensor::from(random_values(edges * candidates, -1, 1, seed), {edges, candidates}),
                 1);
}

// The formula once more, in plain numbers.
Row clipped(const Row& x, int64_t columns) {
  Row y = x;
  for (auto row = y.begin(); row != y.end(); row += columns) {
    const auto largest = std::max_element(row, row + columns);
    for (auto v = row; v != row + columns; ++v) *v = std::clamp(*v, 0.0, 1.0);
    double all = std::accumulate(row, row + columns, 0.0);
    if (all == 0) all = *largest = 1;
    for (auto v = row; v != row + columns; ++v) *v /= all;
  }
  return y;
}

double worst(const Row& a, const Row& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return a.size() == b.size() ? most : INFINITY;
}

void check_simplex(const Tensor& table) {
  const Row w = doubles(table), sums = doubles(sum(table, 1));
  for (const double v : w) CHECK((v >= 0 && v <= 1));
  for (const double s : sums) CHECK(std::abs(s - 1) <= 1e-15);
}

SearchConfig config(const std::string& perturb) {
  SearchConfig c;
  c.layers = 3;
  c.channels = 2;
  c.steps = c.multiplier = 2;
  c.batch = 4;
  c.grad_clip = 0;
  c.alpha_init = 0.5;
  c.gradient = "first-order";
  c.perturb = perturb;
  c.perturb_radius = kRadius;
  c.dtype = DType::kFloat64;
  return c;
}

Batch batch(uint64_t seed) {
  return random_batch(4, 8, seed, DType::kFloat64);
}

CellMixtures mixtures_of(CellMixtures m, const std::vector<Tensor>& weights) {
  m.normal.weights = weights[0];
  m.reduce.weights = weights[1];
  return m;
}

Tensor loss_of(SearchState& s, const Batch& b, const CellMixtures& m, const Pass& pass) {
  return cross_entropy(s.network.forward(b.images, m, pass), b.labels);
}

// What the weight half of step `index` runs, made outside of the search's state.
CellMixtures perturbed(SearchState& s, std::string_view name, const Batch& b, int64_t index) {
  const NoGrad no_grad;
  const CellMixtures clean = s.mixtures({.step = index, .phase = Phase::kTrain});
  const auto loss = [&](const std::vector<Tensor>& weights) {
    const GradModeGuard recorded(true);
    return loss_of(s, b, mixtures_of(clean, weights), {.statistics = Statistics::kRunning});
  };
  return mixtures_of(clean,
                     make_perturbation(name)->apply(
                         {clean.normal.weights.detach(), clean.reduce.weights.detach()},
                         loss,
                         {radius(), {address(index), address(index, "alphas_reduce")}}));
}

}  // namespace

TEST_CASE("clipping to the simplex, by hand and against plain numbers") {
  const Row x = {0.5, 0.3,  0.2, 0,     //
                 1.5, -0.5, 1,   0.5,   //
                 0.2, 0.2,  0,   0,     //
                 -2,  -0.1, -1,  -0.1,  // nothing is left: 1 at the first largest
                 0,   0,    0,   0};
  const Row by_hand = {0.5, 0.3, 0.2, 0, 0.4, 0, 0.4, 0.2, 0.5, 0.5, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0};
  const Tensor y = clip_to_simplex(Tensor::from(x, {5, 4}));
  CHECK(worst(doubles(y), by_hand) < 1e-15);
  const Row random = random_values(40 * 3, -1, 1.5, 5);
  const Tensor z = clip_to_simplex(Tensor::from(random, {40, 3}));
  CHECK(worst(doubles(z), clipped(random, 3)) < 1e-15);
  check_simplex(z);
  const Tensor in_float = clip_to_simplex(cast(Tensor::from(random, {40, 3}), DType::kFloat32));
  CHECK(worst(doubles(in_float), clipped(random, 3)) < 1e-6);
}

TEST_CASE("random neighbours lie around the weights, evenly, at their own place") {
  const Tensor p = simplex_table(1);
  constexpr int kDraws = 4000;
  Row sum_of(p.numel(), 0), squares(p.numel(), 0);
  const Row at = doubles(p);
  for (int64_t step = 0; step < kDraws; ++step) {
    const Row x = doubles(random_neighbour(p, radius(), address(step)));
    for (size_t i = 0; i < x.size(); ++i) {
      REQUIRE(std::abs(x[i] - at[i]) <= kRadius);
      sum_of[i] += x[i] - at[i];
      squares[i] += (x[i] - at[i]) * (x[i] - at[i]);
    }
  }
  const double variance = kRadius * kRadius / 3;
  for (size_t i = 0; i < at.size(); ++i) {
    CHECK(std::abs(sum_of[i] / kDraws) < 4.5 * std::sqrt(variance / kDraws));
    CHECK(squares[i] / kDraws == Approx(variance).epsilon(0.08));
  }
  const auto draw = [&](const RandomAddress& a) {
    return doubles(random_neighbour(p, radius(), a));
  };
  CHECK(draw(address(3)) == draw(address(3)));
  CHECK(draw(address(3)) != draw(address(4)));
  CHECK(draw(address(3)) != draw(address(3, "alphas_reduce")));
  CHECK(draw(address(3)) != draw(address(3, "alphas_normal", 1)));
}

// L(a, b) = sum_i k_i (a_i - m_i)^2 + sum(a) sum(b c): its gradient changes signs on the way.
TEST_CASE("the attack's steps are those of plain numbers") {
  const std::vector<Tensor> p = {simplex_table(2), simplex_table(3, 2, 5)};
  const Row k = random_values(12, -2, 2, 4), m = random_values(12, 0, 0.5, 5),
            c = random_values(10, -1, 1, 6);
  const auto value = [&](const std::vector<Row>& w) {
    double all = 0, b = 0, squares = 0;
    for (size_t i = 0; i < w[0].size(); ++i) {
      all += w[0][i];
      squares += k[i] * (w[0][i] - m[i]) * (w[0][i] - m[i]);
    }
    for (size_t i = 0; i < w[1].size(); ++i) b += w[1][i] * c[i];
    return squares + all * b;
  };
  int evaluations = 0;
  const auto loss = [&](const std::vector<Tensor>& w) {
    ++evaluations;
    const Tensor d = w[0] - Tensor::from(m, {3, 4});
    return sum(d * d * Tensor::from(k, {3, 4})) + sum(w[0]) * sum(w[1] * Tensor::from(c, {2, 5}));
  };
  for (const double r : {0.05, 0.3}) {
    CAPTURE(r);
    const PerturbationInput input{radius(r), {address(7), address(7, "alphas_reduce")}};
    const std::vector<Row> clean = {doubles(p[0]), doubles(p[1])};
    std::vector<Row> a;
    for (size_t t : {0, 1}) a.push_back(doubles(random_neighbour(p[t], radius(r), input.noise[t])));
    for (int step = 0; step < 7; ++step) {
      const double sum_a = std::accumulate(a[0].begin(), a[0].end(), 0.0);
      const double b = std::inner_product(a[1].begin(), a[1].end(), c.begin(), 0.0);
      const std::vector<Row> before = a;
      const auto move = [&](size_t t, size_t i, double gradient) {
        const double to = before[t][i] + 2 * r / 7 * (gradient > 0 ? 1 : -1);
        a[t][i] = std::clamp(to, clean[t][i] - r, clean[t][i] + r);
      };
      for (size_t i = 0; i < 12; ++i) move(0, i, 2 * k[i] * (before[0][i] - m[i]) + b);
      for (size_t i = 0; i < 10; ++i) move(1, i, sum_a * c[i]);
      a = {clipped(a[0], 4), clipped(a[1], 5)};
    }
    REQUIRE(value(a) > value(clean));
    evaluations = 0;
    const std::vector<Tensor> found = make_perturbation("adversarial")->apply(p, loss, input);
    CHECK(evaluations == 7 + 2);
    for (size_t t : {0, 1}) {
      CHECK(worst(doubles(found[t]), a[t]) < 1e-14);
      CHECK(!found[t].requires_grad());
      check_simplex(found[t]);
    }
  }
}

TEST_CASE("weights that no attack makes worse stay, to the bit; a NaN is not hidden") {
  const Tensor p = simplex_table(8);
  const PerturbationInput input{radius(), {address(1)}};
  const auto peak_at_p = [&](const std::vector<Tensor>& w) {
    return -sum((w[0] - p) * (w[0] - p));
  };
  const auto adversarial = make_perturbation("adversarial");
  CHECK(doubles(adversarial->apply({p}, peak_at_p, input)[0]) == doubles(p));
  const auto nan = [&](const std::vector<Tensor>& w) { return sum(sqrt(w[0] - 2)); };
  for (const double w : doubles(adversarial->apply({p}, nan, input)[0])) CHECK(std::isnan(w));
  CHECK_THROWS_WITH(make_perturbation("adversary"),
                    "perturbation 'adversary' is not known; expected one of none, random, "
                    "adversarial");
}

TEST_CASE("an attack on a network makes the train loss no smaller") {
  SearchState s(config("none"), 3, 10);
  for (int64_t i = 0; i < 2; ++i) s.step(batch(2 * i), batch(2 * i + 1), kRate, i);
  const Pass evaluation{.statistics = Statistics::kRunning};
  const auto before = snapshot(s);
  for (int64_t i = 2; i < 8; ++i) {
    const Batch b = batch(10 + i);
    const double clean = loss_of(s, b, s.mixtures(), evaluation).item();
    CHECK(loss_of(s, b, perturbed(s, "adversarial", b, i), evaluation).item() > clean);
  }
  CHECK(snapshot(s) == before);
}

// The mixtures of a step are those that perturbed() makes, the loss and the moves follow from them.
TEST_CASE("the weight half trains on perturbed weights, the alphas' half on clean ones") {
  for (const char* name : {"random", "adversarial"}) {
    CAPTURE(name);
    SearchState s(config(name), 3, 10), clean(config("none"), 3, 10);
    for (SearchState* state : {&s, &clean}) {
      state->set_radius(0);
      state->step(batch(1), batch(2), kRate, 0);
      state->set_radius(kRadius);
    }
    for (size_t i = 0; i < s.network.weights().size(); ++i)  // 0 is clean up to rounding
      s.network.weights()[i].value.assign(clean.network.weights()[i].value);
    for (size_t i = 0; i < 2; ++i) s.arch.alphas()[i].value.assign(clean.arch.alphas()[i].value);
    const Batch train = batch(3), validation = batch(4);
    clean.step(train, validation, kRate, 1);
    SearchState by_hand(config("none"), 3, 10);
    for (size_t i = 0; i < by_hand.network.weights().size(); ++i)
      by_hand.network.weights()[i].value.assign(s.network.weights()[i].value);
    for (size_t i = 0; i < by_hand.network.named_buffers().size(); ++i)
      by_hand.network.named_buffers()[i].tensor.assign(s.network.named_buffers()[i].tensor);
    for (size_t i = 0; i < 2; ++i)
      by_hand.arch.alphas()[i].value.assign(
          clean.arch.alphas()[i].value);  // after this step's half
    std::vector<Tensor> momentum;
    for (const Tensor& m : s.sgd.momentum_buffers()) momentum.push_back(m.clone());

    const SearchState::StepResult r = s.step(train, validation, kRate, 1);
    for (size_t i = 0; i < 2; ++i)
      CHECK(difference(s.arch.alphas()[i].value, clean.arch.alphas()[i].value) < 1e-12);
    const CellMixtures m = perturbed(by_hand, name, train, 1);
    std::vector<BufferUpdate> statistics;
    const Tensor loss =
        loss_of(by_hand, train, m, {.updates = &statistics, .step = 1, .phase = Phase::kTrain});
    CHECK(std::abs(loss.item() - r.train_loss) < 1e-12);
    const std::vector<Tensor> w = by_hand.network.weights().tensors();
    const std::vector<Tensor> g = defined_or_zeros(grad(loss, w), w);
    const SearchConfig c = config(name);
    for (size_t i = 0; i < w.size(); ++i) {
      const Tensor d = g[i] + w[i].detach() * c.weight_decay + momentum[i] * c.momentum;
      CHECK(difference(s.network.weights()[i].value.detach(), w[i].detach() - d * kRate) < 1e-10);
    }
    apply(statistics);  // of the one pass, and of no other
    for (size_t i = 0; i < by_hand.network.named_buffers().size(); ++i)
      CHECK(difference(cast(by_hand.network.named_buffers()[i].tensor, DType::kFloat64),
                       cast(s.network.named_buffers()[i].tensor, DType::kFloat64)) < 1e-12);
  }
}

TEST_CASE("with a radius of 0 a search is the one without perturbation, up to rounding") {
  const auto losses = [](const char* name, double r) {
    SearchConfig c = config(name);
    c.perturb_radius = r;
    SearchState s(c, 3, 10);
    Row all;
    for (int64_t i = 0; i < 3; ++i) {
      const auto step = s.step(batch(2 * i), batch(2 * i + 1), 0.025, i);
      all.insert(all.end(), {step.train_loss, step.validation_loss, step.gradient_norm});
    }
    return all;
  };
  const Row clean = losses("none", kRadius);
  for (const char* name : {"random", "adversarial"}) {
    CAPTURE(name);
    CHECK(worst(losses(name, 0), clean) < 1e-9);
    CHECK(worst(losses(name, kRadius), clean) > 1e-4);
  }
}

TEST_CASE("a perturbed search has the same bits after a resume and for any number of threads") {
  for (const char* name : {"random", "adversarial"}) {
    CAPTURE(name);
    SearchConfig c = tiny_config();
    c.perturb = name;
    c.space = "darts-cnn-no-none";
    const int threads = num_threads();
    set_num_threads(2);
    TinyRun run(c);
    set_num_threads(1);
    Search again(c, images());
    load_checkpoint(again, open_checkpoint(run.file("ckpt/epoch-0001.safetensors")));
    SearchObserver nobody;
    again.run(nobody);
    set_num_threads(threads);
    CHECK(snapshot(again.state()) == snapshot(run.search.state()));
    Search gentle(
        [&] {
          c.perturb_radius_end = c.perturb_radius;  // the radius moves with the epoch
          return c;
        }(),
        images());
    load_checkpoint(gentle, open_checkpoint(run.file("ckpt/epoch-0001.safetensors")));
    gentle.run(nobody);
    CHECK(snapshot(gentle.state()) != snapshot(again.state()));
  }
}

TEST_CASE("a dry run foretells the memory of perturbed steps") {
  for (const char* name : {"none", "random", "adversarial"}) {
    CAPTURE(name);
    SearchConfig c = config(name);
    c.train_size = 40;
    c.epochs = 1;
    const Dataset& set = images();
    const SearchCost cost = estimate_cost(
        c, {.images = set.size(), .height = 32, .width = 32, .channels = 3, .classes = 10});
    const int64_t before = memory_stats().live;
    SearchState s(c, 3, 10);
    reset_peak_memory();
    const Batch train = random_batch(4, 32, 1, c.dtype),
                validation = random_batch(4, 32, 2, c.dtype);
    for (int64_t i = 0; i < 2; ++i) s.step(train, validation, c.lr, i);
    CHECK(cost.tensor_bytes == memory_stats().peak - before);
  }
}

TEST_CASE("a perturbation that fails names the place and changes nothing") {
  SearchState s(config("adversarial"), 3, 10);
  s.step(batch(1), batch(2), kRate, 0);
  for (const NamedBuffer& b : s.network.named_buffers())  // only an evaluation looks at it
    if (b.name == "stem.1.running_var")
      b.tensor.assign(Tensor::full(b.tensor.shape(), -1, b.tensor.dtype()));
  const auto before = snapshot(s);
  const std::string message = message_of<NonFinite>([&] { s.step(batch(1), batch(2), kRate, 1); });
  CHECK(contains(message, "step 1, weight step, perturbation, stem"));
  CHECK(snapshot(s) == before);
}

TEST_CASE("what cannot be perturbed is refused") {
  const auto refused = [](const auto& change) {
    SearchConfig c = config("random");
    change(c);
    return message_of<std::invalid_argument>([&] { validate(c); });
  };
  CHECK(contains(refused([](SearchConfig& c) { c.relaxation = "sigmoid"; }), "--perturb: random"));
  CHECK(
      contains(refused([](SearchConfig& c) { c.relaxation = "gumbel-hard"; }), "run as they are"));
  CHECK(contains(refused([](SearchConfig& c) { c.gradient = "one-level"; }), "one pass for both"));
  CHECK(contains(refused([](SearchConfig& c) { c.perturb_radius = -1; }), "relaxation.radius"));
  CHECK(contains(refused([](SearchConfig& c) { c.perturb_radius_end = -1; }), "radius-end"));
  CHECK(contains(refused([](SearchConfig& c) { c.perturb = "some"; }), "perturbation 'some'"));
  SearchConfig c = config("adversarial");
  c.relaxation = "gumbel-soft";
  CHECK_NOTHROW(validate(c));
}
