// Decisions: which candidates each rule keeps, mixtures of what it kept, and searches that end with
// it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/diagnose.h"
#include "nas/run_comparison.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/step.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

constexpr int64_t kNoneIndex = 0, kMax = 1, kAvg = 2, kSkip = 3, kSep3 = 4, kSep5 = 5, kDil3 = 6,
                  kDil5 = 7;

Space darts(int64_t steps) {
  return make_space("darts-cnn", steps);
}

using Entries = std::vector<std::tuple<int64_t, int64_t, double>>;  // edge, candidate, value

Tensor table_of(int64_t steps, const Entries& entries) {
  std::vector<double> values(edge_count(steps) * 8, 0);
  for (const auto& [edge, candidate, value] : entries) values[edge * 8 + candidate] = value;
  return Tensor::from(values, {edge_count(steps), 8});
}

std::string text_of(const CellGenotype& cell) {
  std::vector<std::string> edges;
  for (const auto& [op, from, to] : cell.edges)
    edges.push_back(fmt::format("{}:{}>{}", op, from, to));
  return fmt::format("{} | {}", fmt::join(edges, " "), fmt::join(cell.concat, " "));
}

// What a rule keeps of a table of scores.
std::string kept(std::string_view rule,
                 int64_t steps,
                 const Entries& scores,
                 std::optional<int64_t> multiplier = {}) {
  return text_of(make_decision(rule)->derive(
      table_of(steps, scores), darts(steps).normal, steps, multiplier.value_or(steps)));
}

}  // namespace

TEST_CASE("decisions are made by name") {
  for (const std::string_view name : decision_names()) CHECK(make_decision(name)->name() == name);
  CHECK(contains(message_of<std::invalid_argument>([] { make_decision("top3"); }),
                 "'top3' is not known; expected one of top2, top2-pairs, all-edges, threshold"));
  for (const double threshold : {-0.1, 1.1, std::nan("")}) {
    CAPTURE(threshold);
    CHECK(contains(message_of<std::invalid_argument>(
                       [&] { make_decision("threshold", {.threshold = threshold}); }),
                   "decision.threshold: "));
    SearchConfig config = tiny_config();
    config.threshold = threshold;
    CHECK_THROWS_AS(validate(config), std::invalid_argument);
  }
  for (const std::string_view name : decision_names()) {
    CHECK_THROWS_AS(make_decision(name)->derive(table_of(3, {}), darts(2).normal, 2, 2),
                    std::invalid_argument);
  }
}

TEST_CASE("top2: the rule of DARTS, ties included") {
  SECTION("all equal: the first candidate after none, from the first two states") {
    CHECK(kept("top2", 2, {}) ==
          "max_pool_3x3:0>2 max_pool_3x3:1>2 max_pool_3x3:0>3 max_pool_3x3:1>3 | 2 3");
  }
  SECTION("edges come best first, none never wins, and its weight lowers the others'") {
    // Node 0: edge 1 beats edge 0. Node 1: edge 2 has the larger logit, but a strong `none` beside
    // it.
    const Tensor alpha = table_of(2,
                                  {{0, kSkip, 1.0},
                                   {1, kSep3, 2.0},
                                   {2, kSep5, 2.0},
                                   {2, kNoneIndex, 5.0},
                                   {3, kDil3, 1.0},
                                   {4, kDil5, 1.5}});
    const Genotype g = derive(
        *make_decision("top2"), *make_relaxation("softmax"), {alpha, table_of(2, {})}, darts(2), 1);
    CHECK(text_of(g.normal) ==
          "sep_conv_3x3:1>2 skip_connect:0>2 dil_conv_5x5:2>3 dil_conv_3x3:1>3 | 3");
    CHECK(g.reduce.edges[0].op == "max_pool_3x3");
  }
  SECTION("an edge counts once, however good its second candidate") {
    CHECK(kept("top2", 1, {{0, kSep3, 0.9}, {0, kSep5, 0.8}, {1, kSkip, 0.1}}) ==
          "sep_conv_3x3:0>2 skip_connect:1>2 | 2");
  }
}

TEST_CASE("top2-pairs: both may lie on one edge") {
  CHECK(kept("top2-pairs", 2, {}) ==
        "max_pool_3x3:0>2 avg_pool_3x3:0>2 max_pool_3x3:0>3 avg_pool_3x3:0>3 | 2 3");
  // Node 0: two on edge 1, of which `none` is not the second. Node 1: a tie of edges 3 and 4, the
  // lower predecessor first; of a tie within edge 3 the lower candidate.
  CHECK(kept("top2-pairs",
             2,
             {{0, kSkip, 0.6},
              {1, kDil5, 0.9},
              {1, kNoneIndex, 0.8},
              {1, kSep3, 0.7},
              {4, kMax, 0.5},
              {3, kDil3, 0.5},
              {3, kDil5, 0.5}}) ==
        "dil_conv_5x5:1>2 sep_conv_3x3:1>2 dil_conv_3x3:1>3 dil_conv_5x5:1>3 | 2 3");
  CHECK(kept("top2-pairs", 2, {{4, kMax, 0.5}, {3, kDil3, 0.5}}, 1) ==
        "max_pool_3x3:0>2 avg_pool_3x3:0>2 dil_conv_3x3:1>3 max_pool_3x3:2>3 | 3");
}

TEST_CASE("all-edges: every edge stays but those that none wins") {
  CHECK(kept("all-edges",
             2,
             {{0, kNoneIndex, 0.9},
              {0, kSep3, 0.8},
              {1, kSep5, 0.3},
              {2, kAvg, 0.2},
              {2, kSkip, 0.2},
              {3, kDil3, 0.4},
              {4, kNoneIndex, 0.5},
              {4, kDil5, 0.5}}) == "sep_conv_5x5:1>2 dil_conv_3x3:1>3 avg_pool_3x3:0>3 | 2 3");
  // A node without edges is zero. It stays in the output, and what comes from it stays as well.
  CHECK(kept("all-edges", 2, {{2, kMax, 1}, {4, kSkip, 2}}) ==
        "skip_connect:2>3 max_pool_3x3:0>3 | 2 3");
  const CellGenotype nothing =
      make_decision("all-edges")->derive(table_of(2, {}), darts(2).normal, 2, 2);
  CHECK(text_of(nothing) == " | 2 3");
  CHECK_FALSE(is_connected(nothing));
}

TEST_CASE("threshold: weak edges go, nodes without edges, and what hung on them alone") {
  const Entries scores = {{0, kSep3, 0.9},
                          {0, kSep5, 0.95},
                          {1, kNoneIndex, 1},  // competes with nobody
                          {1, kDil3, 0.8},
                          {2, kSkip, 0.5},  // into node 1, which goes: state 3
                          {5, kDil5, 0.86},
                          {7, kMax, 0.84},
                          {8, kSep3, 0.99},  // 3 -> 4, which goes with it
                          {9, kAvg, 0.7},
                          {12, kSkip, 0.9},   // 3 -> 5, so node 3 goes
                          {15, kSkip, 0.84},  // 1 -> 6
                          {19, kSep3, 1}};    // 5 -> 6, so node 4 goes
  CHECK(kept("threshold", 5, scores) == "sep_conv_5x5:0>2 dil_conv_5x5:0>4 | 2 4");
  CHECK(kept("threshold", 5, scores, 4) == "sep_conv_5x5:0>2 dil_conv_5x5:0>4 | 4");
  SECTION("a gate at the threshold stays, one below it does not") {
    CHECK(kept("threshold", 1, {{0, kSkip, 0.85}, {1, kSkip, std::nextafter(0.85, 0)}}) ==
          "skip_connect:0>2 | 2");
    const auto loose = make_decision("threshold", {.threshold = 0});
    const Tensor table = table_of(5, scores);
    const CellSpace space = darts(5).normal;
    CHECK(loose->derive(table, space, 5, 3) == make_decision("top2")->derive(table, space, 5, 3));
  }
  SECTION("nothing may be left, of the cell or of its output") {
    CHECK(kept("threshold", 2, {{0, kNoneIndex, 1}}) == " | ");
    CHECK(kept("threshold", 2, {{0, kSkip, 1}}, 1) == " | ");
  }
}

TEST_CASE("the discrete mixture runs what the genotype kept and nothing else") {
  const auto mixture = [](std::string_view rule, const Entries& scores) {
    const CellGenotype cell =
        make_decision(rule)->derive(table_of(2, scores), darts(2).normal, 2, 2);
    return discrete_mixtures({.normal = cell, .reduce = {}}, darts(2), DType::kFloat32);
  };
  const CellMixtures m =
      mixture("top2-pairs", {{0, kSep3, 0.9}, {0, kSep5, 0.8}, {3, kSkip, 0.7}, {4, kAvg, 0.6}});
  std::vector<size_t> places;
  for (size_t i = 0; i < m.normal.run.size(); ++i) {
    if (m.normal.run[i]) places.push_back(i);
    CHECK(m.normal.weights.to_vector<float>()[i] == (m.normal.run[i] ? 1 : 0));
  }
  CHECK(places == std::vector<size_t>{0 * 8 + kSep3, 0 * 8 + kSep5, 3 * 8 + kSkip, 4 * 8 + kAvg});
  CHECK(std::ranges::count(m.reduce.run, true) == 0);
  const CellMixtures all = mixture("all-edges", {{1, kSep3, 1}});
  CHECK(std::ranges::count(all.normal.run, true) == 1);
}

TEST_CASE("partial channels: what a genotype left out does not pass by either") {
  const Genotype g{.normal = {{{"sep_conv_3x3", 0, 2}, {"skip_connect", 1, 3}}, {2, 3}},
                   .reduce = {{{"max_pool_3x3", 1, 3}}, {3}}};
  Network network({.layers = 3,
                   .channels = 8,
                   .steps = 2,
                   .multiplier = 2,
                   .channel_share = 4,
                   .dtype = DType::kFloat64});
  initialise(network.named_parameters(), 1);
  const Tensor images = random_batch(3, 8, 1, DType::kFloat64).images;
  const auto run = [&](const Genotype& genotype, const auto& look) {
    const CellMixtures m = discrete_mixtures(genotype, darts(2), DType::kFloat64, true);
    return network.forward(images, m, {}, look);
  };
  run(g, [&](size_t cell, const Tensor& output) {
    if (!network.is_reduction(cell)) return;
    const Tensor lost = slice(output, 3, 0, output.size(3) / 2);  // node 2 has no edge
    CHECK(std::ranges::all_of(lost.to_vector<double>(), [](double v) { return v == 0; }));
  });
  // Another edge into node 3, and the output of the cells is another one; a node without edges
  // stays zero.
  Genotype more = g;
  more.normal.edges.push_back({"max_pool_3x3", 2, 3});
  const auto nothing = [](size_t, const Tensor&) {};
  CHECK(difference(run(g, nothing), run(more, nothing)) > 1e-6);
  run({}, [&](size_t, const Tensor& output) {
    CHECK(std::ranges::all_of(output.to_vector<double>(), [](double v) { return v == 0; }));
  });
}

TEST_CASE("nodes that a genotype left out are zero in the network") {
  const Genotype g{.normal = {{{"sep_conv_3x3", 0, 2}, {"skip_connect", 0, 2}}, {2}},
                   .reduce = {{{"max_pool_3x3", 1, 3}}, {3}}};
  const CellMixtures mixtures = discrete_mixtures(g, darts(2), DType::kFloat64);
  const CellMixtures empty = discrete_mixtures({}, darts(2), DType::kFloat64);
  std::vector<Tensor> logits;
  for (const bool fuse : {true, false}) {
    Network network({.layers = 3,
                     .channels = 2,
                     .steps = 2,
                     .multiplier = 2,
                     .fuse = fuse,
                     .dtype = DType::kFloat64});
    initialise(network.named_parameters(), 1);
    const Tensor images = random_batch(3, 8, 1, DType::kFloat64).images;
    for (const Statistics statistics : {Statistics::kBatch, Statistics::kRunning}) {
      const Pass pass{.statistics = statistics};
      logits.push_back(
          network.forward(images, mixtures, pass, [&](size_t cell, const Tensor& output) {
            const int64_t C = output.size(3) / 2, lost = network.is_reduction(cell) ? 0 : 1;
            for (const int64_t node : {0, 1}) {
              CAPTURE(fuse, cell, node);
              const std::vector<double> values =
                  slice(output, 3, node * C, (node + 1) * C).to_vector<double>();
              const bool zero = std::ranges::all_of(values, [](double v) { return v == 0; });
              CHECK(zero == (node == lost));
            }
          }));
      CHECK(all_finite(network.forward(images, empty, pass)));
    }
  }
  for (const size_t i : {0, 1}) CHECK(difference(logits[i], logits[i + 2]) < 1e-12);
}

TEST_CASE("searches with each decision, and all that they leave") {
  const auto [decision, relaxation, alpha_init, has_one] =
      GENERATE(table<std::string, std::string, double, bool>({
          {"top2", "softmax", 1e-3, true},
          {"top2-pairs", "gumbel-hard", 1, true},
          {"all-edges", "gumbel-soft", 1, false},
          {"threshold", "sigmoid", 1, false},
          {"threshold", "softmax", 1e-3, false},  // nothing is left
      }));
  CAPTURE(decision, relaxation);
  SearchConfig config = tiny_config();
  config.decision = decision;
  config.relaxation = relaxation;
  config.alpha_init = alpha_init;
  config.steps = config.multiplier = 3;
  const TinyRun t(config);
  const Genotype& genotype = t.result.genotype;
  CHECK(has_text(genotype) == has_one);
  CHECK(is_connected(genotype.normal) == (relaxation == "softmax" ? has_one : true));
  const std::vector<double> figures = {
      t.result.train_accuracy, t.result.search_accuracy, t.result.discrete_accuracy};
  for (const double figure : figures) CHECK((figure >= 0 && figure <= 1));

  CHECK(parse_genotype(read_file(t.file("genotype.json"))) == genotype);
  CHECK(fs::exists(t.file("genotype.txt")) == has_one);
  if (has_one) CHECK(parse_genotype(read_file(t.file("genotype.txt"))) == genotype);
  const std::string drawn = t.written[t.written.size() - 2];  // before the page
  const std::string picture = drawn.substr(drawn.rfind('.'));
  for (const char* cell : {"normal", "reduce"}) CHECK(fs::exists(t.file(cell + picture)));

  const RunSummary summary = read_run(t.run.path());
  CHECK(summary.genotype == genotype);
  REQUIRE(summary.epochs.size() == 2);
  const std::string text = read_file(t.file("genotypes.jsonl"));
  const std::vector<std::string_view> lines = whole_lines(text);
  REQUIRE(lines.size() == 2);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto line = nlohmann::json::parse(lines[i]);
    const Genotype& g = t.reports[i].genotype;
    CHECK(parse_genotype_json(line["genotype"].dump()) == g);
    CHECK(line["skip_count"]["normal"] == count_op(g.normal, "skip_connect"));
    CHECK(summary.epochs[i].skip_normal == count_op(g.normal, "skip_connect"));
    size_t edges = 0;
    REQUIRE(line["op_counts"]["reduce"].is_object());
    for (const auto& [op, count] : line["op_counts"]["reduce"].items())
      edges += count.get<size_t>();
    CHECK(edges == g.reduce.edges.size());
  }
  const auto newest = read_newest_architecture(t.run.path());
  REQUIRE(newest);
  CHECK(newest->genotype == genotype);
  const EdgeComparison same = compare_edges(newest->genotype.normal, genotype.normal);
  CHECK(same.shared == genotype.normal.edges);
  CHECK(same.only_first.empty());

  for (const char* name : {"ckpt/epoch-0002.safetensors", "weights.safetensors"}) {
    CAPTURE(name);
    const SafetensorsFile file = SafetensorsFile::open(t.file(name));
    CHECK(file.metadata().at("decision") == decision);
    CHECK(file.metadata().at("relaxation") == relaxation);
    CHECK(metadata_number<double>(file, "threshold") == config.threshold);
    CHECK(file.metadata().contains("genotype") == has_one);
  }
  const SafetensorsFile checkpoint = SafetensorsFile::open(t.file("ckpt/epoch-0002.safetensors"));
  const auto rule = make_decision(decision, {.threshold = config.threshold});
  const SavedAlphas saved = read_alphas(checkpoint);
  CHECK(derive(*rule, *make_relaxation(relaxation), saved.tables, saved.space, 3) == genotype);
}
