// The method that docs/adding-a-method.md adds, built of the code on that page.
#include <cmath>

#include "engine/autograd.h"
#include "engine/gradcheck.h"
#include "engine/ops.h"
#include "nas/method.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

Tensor weights_of(const Tensor& alpha) {
  const MixtureInput input{Tensor::ones({}, alpha.dtype()), {}};
  return make_relaxation("max-w")->mix(alpha, input).weights;
}

// Alphas of one edge whose softmax is p.
Tensor alphas_of(const std::vector<double>& p) {
  std::vector<double> alpha;
  for (const double v : p) alpha.push_back(std::log(v));
  return Tensor::from(alpha, {1, std::ssize(p)}).set_requires_grad(true);
}

}  // namespace

TEST_CASE("max-w on paper") {
  for (const double w : doubles(weights_of(Tensor::zeros({3, 8}, DType::kFloat64)))) CHECK(w == 1);
  const std::vector<double> p = {0.2, 0.5, 0.3}, expected = {0.7, 1, 0.8};
  const Tensor alpha = alphas_of(p), w = weights_of(alpha);
  for (size_t k = 0; k < 3; ++k) CHECK(doubles(w)[k] == Approx(expected[k]));
  // c = dL/dw gives dL/dp = c but for the leader's, which is minus the sum of the others'; then
  // that of a softmax, p (dL/dp - <p, dL/dp>).
  const Tensor c = Tensor::from(std::vector<double>{1, 5, -3}, {1, 3});
  const std::vector<double> dp = {1, 2, -3};
  const double along = 0.2 * 1 + 0.5 * 2 + 0.3 * -3;
  const std::vector<double> g = doubles(grad(sum(w * c), std::vector{alpha})[0]);
  for (size_t k = 0; k < 3; ++k) CHECK(g[k] == Approx(p[k] * (dp[k] - along)).margin(1e-14));
  // Of equal entries the first leads.
  const Tensor tied = alphas_of({0.4, 0.4, 0.2});
  const std::vector<double> t = doubles(grad(sum(weights_of(tied) * c), std::vector{tied})[0]);
  const double tied_along = 0.4 * -2 + 0.4 * 5 + 0.2 * -3;
  CHECK(t[0] == Approx(0.4 * (-2 - tied_along)));
  CHECK(t[1] == Approx(0.4 * (5 - tied_along)));
}

TEST_CASE("first and second derivatives of max-w") {
  const auto f = [](std::span<const Tensor> x) { return std::vector{weights_of(x[0])}; };
  const std::vector<Tensor> inputs{
      Tensor::from(random_values(3 * 4, -2, 2, 1), {3, 4}).set_requires_grad(true)};
  CHECK(gradcheck(f, inputs).worst_error < 1e-8);
  CHECK(gradgradcheck(f, inputs).worst_error < 1e-8);
}

TEST_CASE("top1 keeps the best candidate of each node, `none` apart") {
  const Space space = make_space("darts-cnn", 2);
  std::vector<double> scores(5 * 8, 0);
  const auto score = [&](size_t edge, size_t candidate) -> double& {
    return scores[edge * 8 + candidate];
  };
  score(0, 0) = 0.9;
  score(1, 4) = 0.8;
  score(3, 3) = 0.4;  // state 1 to node 1
  score(4, 5) = 0.5;  // node 0 to node 1
  const CellGenotype cell =
      make_decision("top1")->derive(Tensor::from(scores, {5, 8}), space.normal, 2, 2);
  CHECK(cell.edges == std::vector<GenotypeEdge>{{"sep_conv_3x3", 1, 2}, {"sep_conv_5x5", 2, 3}});
}

TEST_CASE("the method searches, resumes, and is refused what its parts cannot do") {
  SearchConfig c = tiny_config();
  find_method("max-w").apply(c);
  CHECK(c.relaxation == "max-w");
  TinyRun run(c);
  CHECK(run.result.finished);
  for (const CellGenotype* cell : {&run.result.genotype.normal, &run.result.genotype.reduce})
    CHECK(std::ssize(cell->edges) == c.steps);
  Search again(c, images());
  load_checkpoint(again, open_checkpoint(run.file("ckpt/epoch-0001.safetensors")));
  SearchObserver nobody;
  CHECK(again.run(nobody).genotype == run.result.genotype);
  CHECK(
      same_bits(again.state().arch.alphas().tensors(), run.search.state().arch.alphas().tensors()));
  c.perturb = "random";
  CHECK(contains(message_of<std::invalid_argument>([&] { validate(c); }), "none with max-w"));
}
