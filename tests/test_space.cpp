// Search spaces: what they hold, networks of each, searches in each.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/runtime.h"
#include "nas/checkpoint.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

SearchConfig tiny(std::string_view space) {
  const SpaceSizes sizes = sizes_of(space);
  SearchConfig c;
  c.space = space;
  c.gradient = "exact-unrolled";
  c.layers = 3;
  c.channels = 4;
  c.batch = 4;
  c.steps = sizes.steps > 0 ? sizes.steps : 2;
  c.multiplier = sizes.multiplier > 0 ? sizes.multiplier : c.steps;
  if (sizes.stem_multiplier > 0) c.stem_multiplier = sizes.stem_multiplier;
  c.dtype = DType::kFloat64;
  return c;
}

int64_t weights_of(const NetworkOptions& options) {
  const DryRun dry_run;
  return Network(options).weights().numel();
}

std::string refusal(const std::string& json) {
  return message_of<FormatError>([&] { parse_space(json, "s.json"); });
}

}  // namespace

TEST_CASE("space: what the tables hold") {
  for (const std::string_view name : space_names()) {
    CAPTURE(name);
    const SpaceSizes sizes = sizes_of(name);
    const Space s = make_space(name, sizes.steps > 0 ? sizes.steps : 4);
    CHECK(s.name == name);
    CHECK(s.normal.rows() == (s.plain ? 6 : 14));
    for (const CellSpace* cell : {&s.normal, &s.reduce}) {
      for (const SpaceEdge& edge : cell->edges) {
        CHECK(std::ssize(edge.candidates) == cell->columns());
        CHECK(std::ranges::all_of(edge.candidates, is_primitive));
      }
    }
    CHECK(parse_space(to_json(s)) == s);
  }
  // RobustDARTS, spaces.py: S1, edge by edge.
  const Space s1 = make_space("darts-s1", 4);
  const std::map<std::string, std::string> names = {{"max", "max_pool_3x3"},
                                                    {"avg", "avg_pool_3x3"},
                                                    {"skip", "skip_connect"},
                                                    {"sep3", "sep_conv_3x3"},
                                                    {"dil3", "dil_conv_3x3"},
                                                    {"dil5", "dil_conv_5x5"}};
  const auto holds = [&](const CellSpace& cell,
                         const std::vector<std::array<const char*, 2>>& all) {
    REQUIRE(cell.edges.size() == all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      CAPTURE(i);
      CHECK(cell.edges[i].candidates ==
            std::vector<std::string>{names.at(all[i][0]), names.at(all[i][1])});
    }
  };
  holds(s1.normal,
        {{"skip", "dil3"},
         {"skip", "dil5"},
         {"skip", "dil5"},
         {"skip", "sep3"},
         {"skip", "dil3"},
         {"max", "skip"},
         {"skip", "sep3"},
         {"skip", "sep3"},
         {"skip", "dil3"},
         {"skip", "sep3"},
         {"max", "skip"},
         {"skip", "dil3"},
         {"dil3", "dil5"},
         {"dil3", "dil5"}});
  holds(s1.reduce,
        {{"max", "avg"},
         {"max", "dil3"},
         {"max", "avg"},
         {"max", "avg"},
         {"skip", "dil5"},
         {"max", "avg"},
         {"max", "sep3"},
         {"skip", "dil3"},
         {"skip", "dil5"},
         {"max", "avg"},
         {"max", "avg"},
         {"skip", "dil5"},
         {"skip", "dil5"},
         {"skip", "dil5"}});
  CHECK(s1.normal.costliest()[0] == 1);
  CHECK(make_space("darts-cnn", 1).normal.costliest() == std::vector<int64_t>{5, 5});
  CHECK(make_space("nas-bench-201", 3).reduce.edges.empty());
}

TEST_CASE("space: what is none is refused") {
  CHECK(contains(message_of<std::invalid_argument>([] { make_space("darts-s5", 4); }),
                 "'darts-s5' is not known; expected one of darts-cnn, darts-cnn-no-none"));
  CHECK(message_of<std::invalid_argument>([] { make_space("darts-s1", 3); }) ==
        "--steps: 3 is not allowed; expected 4 in darts-s1");
  SearchConfig c = tiny("nas-bench-201");
  c.multiplier = 2;
  CHECK(contains(message_of<std::invalid_argument>([&] { validate(c); }), "--multiplier: 2"));
  c = tiny("nas-bench-201");
  c.stem_multiplier = 3;
  CHECK(contains(message_of<std::invalid_argument>([&] { validate(c); }), "--stem-multiplier: 3"));

  const std::string head = R"({"name": "a", "steps": 2, "plain": false, "reduce": [], "normal": )";
  CHECK(parse_space(head + R"([[0, 2, ["none", "noise"]]]})").normal.columns() == 2);
  CHECK(contains(refusal("[]"), "s.json: expected an object with name"));
  CHECK(contains(refusal(head + "[]}"), "s.json: normal: expected edges"));
  CHECK(contains(refusal(head + R"([[0, 2, []]]})"), "normal[0]: expected 1 to 64 candidates"));
  CHECK(contains(refusal(head + R"([[0, 2, ["conv_9x9"]]]})"), "names of primitives"));
  CHECK(contains(refusal(head + R"([[2, 2, ["none"]]]})"), "0 <= from < to"));
  CHECK(contains(refusal(head + R"([[0, 4, ["none"]]]})"), "a node from 2 to 3"));
  CHECK(contains(refusal(head + R"([[1, 2, ["none"]], [0, 2, ["none"]]]})"), "edges by node"));
  CHECK(contains(refusal(head + R"([[0, 2, ["none"]], [1, 2, ["none", "noise"]]]})"),
                 "normal[1]: expected as many candidates on every edge"));
}

// Counts from the cards' own rules; see also test_network.cpp.
TEST_CASE("space: networks have the weights of the originals") {
  CHECK(weights_of({.space = make_space("darts-s2", 4)}) == 665'466);
  CHECK(weights_of({.space = make_space("darts-s3", 4)}) == 665'466);  // `none` has none
  CHECK(weights_of({.space = make_space("darts-cnn-no-none", 4)}) == 1'930'618);
  CHECK(weights_of({.channel_share = 4}) == 299'578);
  // A search cell of C channels has 6 (9 + 1) C^2 weights.
  constexpr int64_t C = 16, kCell = 60 * C * C, kStem = 27 * C + 2 * C;
  const auto reduction = [](int64_t in) { return 18 * in * in + 36 * in * in + 2 * in * in; };
  const int64_t want =
      kStem + 5 * kCell * (1 + 4 + 16) + reduction(C) + reduction(2 * C) + 8 * C + (4 * C + 1) * 10;
  CHECK(weights_of({.layers = 17,
                    .channels = C,
                    .steps = 3,
                    .multiplier = 1,
                    .stem_multiplier = 1,
                    .space = make_space("nas-bench-201", 3)}) == want);
}

TEST_CASE("space: a step in each has finite gradients, and reads back from a file") {
  for (const std::string_view name : space_names()) {
    CAPTURE(name);
    SearchState s(tiny(name), 3, 10);
    const auto alphas_before = s.arch.normal().to_vector<double>();
    const Batch train = random_batch(4, 8, 1, DType::kFloat64),
                search = random_batch(4, 8, 2, DType::kFloat64);
    const SearchState::StepResult r = s.step(train, search, 0.025, 0);
    CHECK(std::isfinite(r.train_loss));
    CHECK(std::isfinite(r.validation_loss));
    CHECK(s.arch.normal().to_vector<double>() != alphas_before);
    const Genotype g =
        derive(*make_decision("top2"), s.relaxation(), s.alphas(), s.space, tiny(name).multiplier);
    validate(g);
    CHECK(g.space == name);
    CHECK(g.reduce.edges.empty() == has_fixed_reduction(name));
    const CellMixtures kept = discrete_mixtures(g, s.space, DType::kFloat64);
    CHECK(s.network.forward(train.images, kept, {}).shape() == Shape{4, 10});
  }
}

TEST_CASE("space: noise does not look at its input, and is drawn for each pass and edge") {
  SearchState s(tiny("darts-s4"), 3, 10);
  const CellSpace& cell = s.space.normal;
  CellMixtures m = s.mixtures();
  const auto only_noise = [&](Mixture& mixture) {
    for (size_t i = 0; i < mixture.run.size(); ++i) mixture.run[i] = i % 2 == 0;
  };
  REQUIRE(cell.edges[0].candidates[0] == "noise");
  only_noise(m.normal);
  only_noise(m.reduce);
  const auto logits = [&](const Tensor& images, int64_t step, Phase phase = Phase::kTrain) {
    return s.network.forward(images, m, {.step = step, .phase = phase}).to_vector<double>();
  };
  const Tensor a = random_batch(4, 8, 1, DType::kFloat64).images,
               b = random_batch(4, 8, 2, DType::kFloat64).images;
  CHECK(logits(a, 1) == logits(b, 1));
  CHECK(logits(a, 1) != logits(a, 2));
  CHECK(logits(a, 1) != logits(a, 1, Phase::kValidation));
  std::vector<Tensor> outputs;
  s.network.forward(a, m, {.step = 1}, [&](size_t, const Tensor& y) { outputs.push_back(y); });
  const auto node = [&](int64_t i) {
    return slice(outputs[0], 3, i * 4, i * 4 + 4).to_vector<double>();
  };
  CHECK(node(0) != node(1));
}
