// What happens around the candidates of an edge: partial channels, weights of edges, dropout.
#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/gradcheck.h"
#include "engine/tensor_file.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/source.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

SearchConfig tiny() {
  SearchConfig c;
  c.gradient = "first-order";
  c.layers = 3;
  c.channels = 8;
  c.steps = c.multiplier = 2;
  c.batch = 4;
  c.dtype = DType::kFloat64;
  return c;
}

Batch batch(uint64_t seed) {
  return random_batch(4, 8, seed, DType::kFloat64);
}

std::vector<double> doubles(const Tensor& t) {
  return t.detach().to_vector<double>();
}

Tensor channels(const Tensor& x, int64_t from, int64_t to) {
  return slice(x, 3, from, to);
}

// One edge from state 0 to node 0 with a pool and an identity, in small ops.
Tensor one_edge(const Tensor& x, const EdgeHooks& hooks, int64_t stride = 1) {
  CellEdge edge{.from = 0, .to = 0, .stride = stride};
  edge.branches.push_back({.kind = BranchKind::kAveragePool, .place = 0, .name = "pool"});
  if (stride == 1)
    edge.branches.push_back({.kind = BranchKind::kIdentity, .place = 1, .name = "id"});
  const MixedCellSpec spec{.steps = 1, .multiplier = 1, .edges = {edge}};
  const Tensor table = Tensor::from(std::vector<double>{0.25, 0.75}, {1, 2});
  return mixed_cell_composite(
      spec,
      x,
      x,
      table,
      {},
      {.normalise = [](int64_t, const Tensor& t) { return batch_norm(t).y; }, .hooks = &hooks});
}

}  // namespace

TEST_CASE("edge: channels are shuffled as written, and back") {
  const Tensor x = Tensor::from(std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7}, {1, 1, 1, 8});
  CHECK(doubles(shuffle_channels(x, 4)) == std::vector<double>{0, 2, 4, 6, 1, 3, 5, 7});
  CHECK(doubles(shuffle_channels(shuffle_channels(x, 4), 2)) == doubles(x));
  CHECK(doubles(shuffle_channels(x, 1)) == doubles(x));
}

TEST_CASE("edge: most channels pass by, at stride 2 through a maximum") {
  const Pass pass{.phase = Phase::kTrain};
  const Tensor x = batch(1).images;                                                   // 3 channels
  const Tensor wide = concat({x, x, x, slice(x, 3, 0, 1), x, slice(x, 3, 0, 3)}, 3);  // 16
  for (const int64_t stride : {1, 2}) {
    CAPTURE(stride);
    const Tensor y =
        shuffle_channels(one_edge(wide, edge_hooks(4, {}, {}, {.pass = &pass}), stride), 4);
    // With 16 channels and 4 groups the shuffle is its own inverse.
    Tensor by = channels(wide, 4, 16);
    if (stride == 2) by = max_pool2d(by, {.kernel = 2, .stride = 2, .padding = 0});
    CHECK(doubles(channels(y, 4, 16)) == doubles(by));
    const Tensor pooled = batch_norm(avg_pool2d(channels(wide, 0, 4), {.stride = stride})).y * 0.25;
    const Tensor want = stride == 1 ? pooled + channels(wide, 0, 4) * 0.75 : pooled;
    const std::vector<double> got = doubles(channels(y, 0, 4)), wanted = doubles(want);
    for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - wanted[i]) < 1e-14);
  }
  SECTION("an edge's weight scales what passes by as well") {
    const Tensor q = Tensor::from(std::vector<double>{0.5}, {1});
    const std::vector<double> one = doubles(one_edge(wide, edge_hooks(4, {}, {}, {.pass = &pass}))),
                              half = doubles(one_edge(wide, edge_hooks(4, q, {}, {.pass = &pass})));
    for (size_t i = 0; i < one.size(); ++i) CHECK(half[i] == one[i] * 0.5);
  }
  SECTION("an odd side ends with its last pixels once more") {
    const Tensor odd = slice(slice(wide, 1, 0, 5), 2, 0, 7);
    const Tensor y = one_edge(odd, edge_hooks(4, {}, {}, {.pass = &pass}), 2);
    CHECK(y.shape() == Shape{4, 3, 4, 16});
    const Tensor corner = channels(slice(slice(shuffle_channels(y, 4), 1, 2, 3), 2, 3, 4), 4, 16);
    CHECK(doubles(corner) == doubles(channels(slice(slice(odd, 1, 4, 5), 2, 6, 7), 4, 16)));
  }
}

TEST_CASE("edge: weights of edges sum to 1 at each node") {
  const std::vector<int64_t> sizes = make_space("darts-cnn", 3).normal.edges_into_nodes();
  CHECK(sizes == std::vector<int64_t>{2, 3, 4});
  const Tensor beta =
      Tensor::from(std::vector<double>{1, -1, 0.5, 0, 2, -3, 0, 1, 4}, {9}).set_requires_grad(true);
  const std::vector<double> q = doubles(node_softmax(beta, sizes));
  size_t at = 0;
  for (const int64_t size : sizes) {
    double sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += q[at++];
    CHECK(std::abs(sum - 1) < 1e-15);
  }
  CHECK(std::abs(q[0] - 1 / (1 + std::exp(-2))) < 1e-15);
  const auto f = [&](std::span<const Tensor> x) {
    return std::vector<Tensor>{node_softmax(x[0], sizes)};
  };
  const std::vector<Tensor> inputs{beta};
  CHECK(gradcheck(f, inputs).worst_error < 1e-7);
  CHECK(gradgradcheck(f, inputs).worst_error < 1e-7);
}

TEST_CASE("edge: weights and gradients are those of PyTorch") {
  const SafetensorsFile file = SafetensorsFile::open(test_data("relaxations.safetensors"));
  const auto read = [&](const std::string& name) {
    return read_tensor(file, name, DType::kFloat64);
  };
  const auto check = [&](const Tensor& got, const std::string& name) {
    const std::vector<double> a = doubles(got), b = doubles(read(name));
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-14);
  };
  const Tensor alpha = read("alpha").set_requires_grad(true),
               beta = read("beta").set_requires_grad(true), cotangent = read("cotangent");
  const Tensor q = node_softmax(beta, make_space("darts-cnn", 4).normal.edges_into_nodes());
  check(q, "edge-softmax/weights");
  const Tensor first = reshape(slice(cotangent, 1, 0, 1), {14});
  check(grad(sum(q * first), std::vector{beta}, {.retain_graph = true})[0], "edge-softmax/dbeta");
  const Tensor product = softmax(alpha, 1) * reshape(q, {14, 1});
  check(product, "edge-product/weights");
  const std::vector<Tensor> g = grad(sum(product * cotangent), std::vector{alpha, beta});
  check(g[0], "edge-product/dalpha");
  check(g[1], "edge-product/dbeta");
}

TEST_CASE("edge: equal weights of edges scale a node, fused or not") {
  SearchConfig c = tiny();
  c.edge_weights = "softmax";
  std::vector<std::vector<double>> logits;
  for (const bool fuse : {true, false}) {
    c.fuse = fuse;
    SearchState s(c, 3, 10);
    REQUIRE(s.arch.alphas().size() == 4);
    const CellMixtures m = s.mixtures();
    CHECK(m.normal.edge_weights.shape() == Shape{5});
    logits.push_back(doubles(s.network.forward(batch(1).images, m, {})));
    // The same with the product written out.
    CellMixtures by_hand = m;
    for (Mixture* x : {&by_hand.normal, &by_hand.reduce}) {
      x->weights = x->weights * reshape(x->edge_weights, {5, 1});
      x->edge_weights = {};
    }
    CHECK(doubles(s.network.forward(batch(1).images, by_hand, {})) == logits.back());
    const auto betas = doubles(s.arch.normal_edges());
    s.step(batch(1), batch(2), 0.025, 0);
    CHECK(doubles(s.arch.normal_edges()) != betas);  // Adam moves them
  }
  for (size_t i = 0; i < logits[0].size(); ++i)
    CHECK(std::abs(logits[0][i] - logits[1][i]) < 1e-10);
}

TEST_CASE("edge: genotypes follow the product of both weights") {
  const Space space = make_space("darts-cnn", 2);
  std::vector<double> alpha(40, 0), beta(5, 0);
  alpha[2 * 8 + 4] = 1;                        // of node 1: the best candidate, on edge 2
  beta[2] = -3;                                // which counts little
  alpha[3 * 8 + 5] = alpha[4 * 8 + 6] = 0.25;  // these are kept
  const Tensor a = Tensor::from(alpha, {5, 8}), b = Tensor::from(beta, {5});
  const Tensor plain = Tensor::from(std::vector<double>(40, 0), {5, 8});
  const auto relaxation = make_relaxation("softmax");
  const auto rule = make_decision("top2");
  const auto edges = [&](const AlphaTables& t) {
    std::vector<int> from;
    for (const GenotypeEdge& e : derive(*rule, *relaxation, t, space, 2).normal.edges) {
      if (e.to == 3) from.push_back(e.from);
    }
    return from;
  };
  CHECK(edges({a, plain}) == std::vector<int>{0, 1});
  CHECK(edges({a, plain, b, b}) == std::vector<int>{1, 2});
}

TEST_CASE("edge: what is dropped, and when") {
  const Tensor x = concat({batch(1).images + 10.0, batch(2).images + 10.0}, 0);  // far from 0
  const auto run = [&](const EdgeRates& rates, int64_t step, Phase phase = Phase::kTrain) {
    const Pass pass{.step = step, .phase = phase};
    return one_edge(x, edge_hooks(1, {}, rates, {.seed = 1, .cell = "cells.0", .pass = &pass}));
  };
  const std::vector<double> all = doubles(run({}, 0));
  const int64_t image = x.numel() / x.size(0);
  SECTION("a whole image's edge, scaled") {
    int64_t dropped = 0, images = 0;
    for (int64_t step = 0; step < 200; ++step) {
      const std::vector<double> y = doubles(run({.drop_path = 0.4}, step));
      for (int64_t n = 0; n < x.size(0); ++n, ++images) {
        dropped += y[n * image] == 0 ? 1 : 0;
        const double factor = y[n * image] == 0 ? 0 : 1 / 0.6;
        for (int64_t i = n * image; i < (n + 1) * image; ++i)
          REQUIRE(std::abs(y[i] - all[i] * factor) < 1e-12);
      }
    }
    const double share = static_cast<double>(dropped) / static_cast<double>(images);
    CHECK(std::abs(share - 0.4) < 4 * std::sqrt(0.24 / static_cast<double>(images)));
  }
  SECTION("elements of the identity alone") {
    const std::vector<double> y = doubles(run({.skip_dropout = 0.5}, 3)),
                              pool = doubles(batch_norm(avg_pool2d(x)).y * 0.25),
                              skip = doubles(x * 0.75);
    int64_t dropped = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double kept = y[i] - pool[i];
      dropped += std::abs(kept) < 1e-9 ? 1 : 0;
      CHECK((std::abs(kept) < 1e-9 || std::abs(kept - 2 * skip[i]) < 1e-9));
    }
    CHECK(std::abs(static_cast<double>(dropped) / static_cast<double>(y.size()) - 0.5) < 0.06);
  }
  SECTION("each candidate by itself") {
    int64_t different = 0;
    for (int64_t step = 0; step < 20; ++step) {
      const std::vector<double> y = doubles(run({.op_dropout = 0.5}, step)),
                                skip = doubles(x * 0.75);
      for (int64_t n = 0; n < x.size(0); ++n) {
        const double v = y[n * image], s = skip[n * image], p = all[n * image] - s;
        const double ways[] = {0, 2 * s, 2 * p, 2 * (s + p)};
        const auto way =
            std::ranges::find_if(ways, [&](double w) { return std::abs(v - w) < 1e-9; });
        REQUIRE(way != std::end(ways));
        different |= int64_t{1} << (way - std::begin(ways));
      }
    }
    CHECK(different == 15);
  }
  SECTION("a draw belongs to its step and phase") {
    const EdgeRates rates{.skip_dropout = 0.5};
    CHECK(doubles(run(rates, 3)) == doubles(run(rates, 3)));
    CHECK(doubles(run(rates, 3)) != doubles(run(rates, 4)));
    CHECK(doubles(run(rates, 3)) != doubles(run(rates, 3, Phase::kValidation)));
  }
}

TEST_CASE("edge: networks drop in the phases of a step only") {
  SearchConfig c = tiny();
  SearchState plain(c, 3, 10);
  c.skip_dropout = c.op_dropout = c.drop_path = 0.3;
  SearchState drops(c, 3, 10);
  const auto logits = [](SearchState& s, Phase phase) {
    return doubles(s.network.forward(batch(1).images, s.mixtures(), {.phase = phase}));
  };
  CHECK(logits(plain, Phase::kNone) == logits(drops, Phase::kNone));
  CHECK(logits(plain, Phase::kTrain) != logits(drops, Phase::kTrain));
}

TEST_CASE("edge: the record has weights of edges that sum to 1 into each node") {
  SearchConfig c = tiny();
  CHECK(candidate_weights(SearchState(c, 3, 10)).normal_edges.empty());
  c.edge_weights = "softmax";
  const std::vector<double> w = candidate_weights(SearchState(c, 3, 10)).reduce_edges;
  REQUIRE(w.size() == 5);
  CHECK(w[0] + w[1] == Approx(1));
  CHECK(w[2] + w[3] + w[4] == Approx(1));
}

TEST_CASE("edge: a search with partial channels has gradients of any order") {
  SearchConfig c = tiny();
  c.gradient = "exact-unrolled";
  c.channel_share = 4;
  c.edge_weights = "softmax";
  SearchState s(c, 3, 10);
  const SearchState::StepResult r = s.step(batch(1), batch(2), 0.025, 0);
  CHECK(std::isfinite(r.validation_loss));
  // Against differences of the probe, which is exact up to its radius.
  SearchState by_difference(c, 3, 10), exact(c, 3, 10);
  const auto gradient = [&](SearchState& state, std::string_view name, double radius) {
    return make_arch_gradient(name, {.radius = radius})
        ->compute(state.bilevel(batch(1), batch(2), 0), state.inner_step(0.025))
        .gradients;
  };
  const auto a = gradient(exact, "exact-unrolled", 1),
             b = gradient(by_difference, "finite-difference", 1e-7);
  REQUIRE(a.size() == 4);
  for (size_t i = 0; i < a.size(); ++i) {
    const std::vector<double> x = doubles(a[i]), y = doubles(b[i]);
    for (size_t j = 0; j < x.size(); ++j) CHECK(std::abs(x[j] - y[j]) < 1e-6);
  }
}

TEST_CASE("edge: what does not go together is refused") {
  const auto refused = [](const auto& change) {
    SearchConfig c = tiny();
    change(c);
    return message_of<std::invalid_argument>([&] { validate(c); });
  };
  CHECK(contains(refused([](SearchConfig& c) { c.channel_share = 3; }), "a divisor of the 8"));
  CHECK(contains(refused([](SearchConfig& c) { c.channel_share = 8; }), "an even number"));
  CHECK(contains(refused([](SearchConfig& c) { c.edge_weights = "sigmoid"; }), "none or softmax"));
  CHECK(contains(refused([](SearchConfig& c) { c.drop_path = 1; }), "edge.drop-path: 1"));
  CHECK(contains(refused([](SearchConfig& c) {
                   c.space = "darts-s4";
                   c.skip_dropout = 0.1;
                 }),
                 "has no skip_connect"));
}
