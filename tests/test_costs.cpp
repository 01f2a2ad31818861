// What candidates cost, and the terms of a loss made of it.
#include <cmath>

#include "engine/diagnose.h"
#include "engine/gradcheck.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

NetworkOptions options(int64_t share = 1) {
  return {.layers = 3,
          .channels = 8,
          .steps = 2,
          .multiplier = 2,
          .channel_share = share,
          .dtype = DType::kFloat64};
}

double entry(const Tensor& table, int64_t edge, int64_t candidate) {
  return table.to_vector<double>()[edge * table.size(1) + candidate];
}

// Everything of both cells, with weight 1 where `wanted` says so.
CellMixtures mixtures(const Space& space, const std::vector<std::string>& wanted) {
  const auto of = [&](const CellSpace& cell) {
    std::vector<double> weights;
    std::vector<bool> run;
    for (const SpaceEdge& edge : cell.edges) {
      for (const std::string& name : edge.candidates) {
        run.push_back(std::ranges::find(wanted, name) != wanted.end());
        weights.push_back(run.back() ? 1 : 0);
      }
    }
    return Mixture{Tensor::from(weights, {cell.rows(), cell.columns()}), run};
  };
  return {of(space.normal), of(space.reduce)};
}

double total(const std::vector<CellCosts>& costs, const CellMixtures& m, Tensor CellCosts::*table) {
  double sum = 0;
  for (const CellCosts& c : costs)
    sum += dot((c.reduction ? m.reduce : m.normal).weights, c.*table).item();
  return sum;
}

}  // namespace

TEST_CASE("costs: of single candidates, by hand") {
  const std::vector<CellCosts> costs = costs_of(options(), 6, 5);
  REQUIRE(costs.size() == 3);
  REQUIRE(costs[1].reduction);  // of 16 channels, 3 x 3 pixels
  constexpr int64_t kNoneAt = 0, kMax = 1, kSkip = 3, kSep3 = 4, kDil5 = 7;
  const CellCosts &normal = costs[0], &reduce = costs[1];
  const auto check = [](const CellCosts& c, int64_t edge, int64_t k, double p, double o, double m) {
    CAPTURE(edge, k);
    CHECK(entry(c.parameters, edge, k) == p);
    CHECK(entry(c.operations, edge, k) == o);
    CHECK(entry(c.memory, edge, k) == m);
  };
  check(normal, 0, kNoneAt, 0, 0, 0);
  check(normal, 0, kMax, 0, 9 * 30 * 8, 2 * 30 * 8);
  check(reduce, 0, kMax, 0, 9 * 9 * 16, 5 * 9 * 16);
  check(normal, 3, kSkip, 0, 0, 2 * 30 * 8);
  check(reduce, 1, kSkip, 256, 256 * 9, 9 * (4 * 16 + 8) * 2 + 256);
  check(reduce, 4, kSkip, 0, 0, 2 * 9 * 16);  // from a node
  check(normal, 0, kDil5, 200 + 64, 264 * 30, 30 * 16 * 2 + 264);
  check(reduce, 0, kSep3, 2 * (144 + 256), 800 * 9, 9 * (5 * 16 + 3 * 2 * 16) + 800);
}

TEST_CASE("costs: expected ones of a discrete mixture are what it has and does") {
  for (const int64_t share : {1, 4}) {
    for (const char* name : {"sep_conv_3x3", "dil_conv_5x5", "skip_connect"}) {
      CAPTURE(share, name);
      const Network network(options(share));
      const Space& space = network.options().space;
      const std::vector<CellCosts> costs = costs_of(options(share), 8, 7);
      const CellMixtures m = mixtures(space, {name}), nothing = mixtures(space, {});
      const Tensor images = Tensor::zeros({2, 8, 7, 3}, DType::kFloat64);
      const auto macs = [&](const CellMixtures& run) {
        const int64_t before = mac_count();
        network.forward(images, run, {});
        return static_cast<double>(mac_count() - before) / 2;
      };
      CHECK(total(costs, m, &CellCosts::operations) == macs(m) - macs(nothing));
    }
  }
  // All candidates together are the weights of the cells.
  const DryRun dry_run;
  Network network(options());
  int64_t weights = 0;
  for (const auto& [name, p] : network.named_parameters()) {
    if (name.find("._ops.") != std::string::npos) weights += p->value.numel();
  }
  int64_t sum = 0;
  for (const char* name : {"sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"}) {
    const int64_t k = std::string_view(name).find('5') == std::string_view::npos ? 9 : 25;
    const int64_t blocks = name[0] == 's' ? 2 : 1;
    sum += 5 * blocks * ((k * 8 + 64) + (k * 16 + 256) + (k * 32 + 1024));
  }
  sum += 4 * 256 + 4 * 1024;  // reductions of identities, two nodes in each of two cells
  CHECK(weights == sum);
}

TEST_CASE("costs: terms of the loss, and their gradients") {
  const std::vector<CellCosts> costs = costs_of(options(), 4, 4);
  const auto random = [](uint64_t seed) {
    return Tensor::from(
               random_batch({5, 1, 8, 1}, seed, DType::kFloat64).images.to_vector<double>(), {5, 8})
        .set_requires_grad(true);
  };
  const std::vector<Tensor> alphas{random(1), random(2)};
  for (const char* name : {"parameters", "operations", "resource"}) {
    CAPTURE(name);
    const auto term = make_regulariser(name, 0.3);
    CHECK(term->costs());
    const auto f = [&](std::span<const Tensor> x) {
      return std::vector<Tensor>{
          term->apply(sum(x[0] * x[1]), {softmax(x[0], 1), softmax(x[1], 1), costs})};
    };
    CHECK(gradcheck(f, alphas).worst_error < 1e-6);
    CHECK(gradgradcheck(f, alphas).worst_error < 1e-6);
  }
  // By its equation, in plain numbers.
  const std::vector<double> p = softmax(alphas[0], 1).detach().to_vector<double>(),
                            q = softmax(alphas[1], 1).detach().to_vector<double>();
  double want = 0;
  for (const CellCosts& cell : costs) {
    const std::vector<double>& w = cell.reduction ? q : p;
    for (const Tensor* table : {&cell.parameters, &cell.operations, &cell.memory}) {
      for (int64_t e = 0; e < 5; ++e) {
        double expected = 0;
        for (int64_t k = 0; k < 8; ++k) expected += w[e * 8 + k] * entry(*table, e, k);
        want += std::log(std::max(expected, 1.0)) / 3 / (cell.reduction ? 2 : 1);
      }
    }
  }
  const RegulariserInput in{softmax(alphas[0], 1), softmax(alphas[1], 1), costs};
  const double got =
      make_regulariser("resource", 1)->apply(Tensor::zeros({}, DType::kFloat64), in).item();
  CHECK(std::abs(got - want) < 1e-10 * want);
}

TEST_CASE("costs: what costs less than 1 adds nothing and has no gradient") {
  const Space space = make_space("darts-cnn", 2);
  const CellMixtures m = mixtures(space, {"none"});
  const Tensor w = m.normal.weights.clone().set_requires_grad(true);
  const std::vector<CellCosts> costs = costs_of(options(), 4, 4);
  const Tensor loss = make_regulariser("resource", 1)
                          ->apply(Tensor::zeros({}, DType::kFloat64), {w, m.reduce.weights, costs});
  CHECK(loss.item() == 0);
  const std::vector<Tensor> inputs{w};
  for (const double g : grad(loss, inputs)[0].to_vector<double>()) CHECK(g == 0);
}

TEST_CASE("costs: a search by them prefers what is cheap") {
  for (const char* name : {"parameters", "operations", "resource"}) {
    CAPTURE(name);
    SearchConfig c;
    c.gradient = "one-level";
    c.layers = 3;
    c.channels = 4;
    c.steps = c.multiplier = 2;
    c.batch = 4;
    c.regulariser = name;
    c.regulariser_weight = 1000;
    c.alpha_lr = 0.1;
    SearchState s(c, 3, 10);
    const Batch batch = random_batch(4, 8, 1);
    for (int64_t i = 0; i < 10; ++i) CHECK(std::isfinite(s.step(batch, {}, 1e-4, i).train_loss));
    const auto table = cast(s.arch.normal().detach(), DType::kFloat64).to_vector<double>();
    for (int64_t e = 0; e < 5; ++e) CHECK(table[e * 8] > table[e * 8 + 5]);  // none, sep_conv_5x5
  }
}
