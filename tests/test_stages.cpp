// Searches in stages: which candidates stay, and what becomes of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nas/method.h"
#include "nas/stages.h"
#include "tests/support/catch.h"
#include "tests/support/step.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

SearchConfig staged() {
  SearchConfig c = tiny_config();
  c.epochs = 6;
  c.decision = "progressive";
  c.stage_layers = "3,4,5";
  c.stage_candidates = "8,5,3";
  c.stage_skip_dropout = "0.1,0.4,0.7";
  c.skip_dropout_curve = "p-darts";
  c.alpha_from = 1;
  return c;
}

std::string refused(const std::function<void(SearchConfig&)>& change) {
  SearchConfig c = staged();
  change(c);
  return message_of<std::invalid_argument>([&] { validate(c); });
}

using Entries = std::vector<std::tuple<int64_t, int64_t, double>>;  // edge, candidate, score

// What `progressive` keeps of a cell of two nodes in the space of DARTS.
std::string kept(const Entries& entries, int64_t skips, CellType type = CellType::kNormal) {
  std::vector<double> values(40, 0.01);
  for (const auto& [edge, candidate, value] : entries) values[edge * 8 + candidate] = value;
  const CellGenotype g =
      make_decision("progressive", {.skips = skips})
          ->derive(Tensor::from(values, {5, 8}), make_space("darts-cnn", 2).normal, 2, 2, type);
  std::string text;
  for (const auto& [op, from, to] : g.edges) text += fmt::format("{}:{}>{} ", op, from, to);
  return text;
}

}  // namespace

TEST_CASE("stages: their settings") {
  const SearchConfig c = staged();
  CHECK(stage_count(c) == 3);
  CHECK(stage_count(tiny_config()) == 1);
  const SearchConfig second = stage_config(c, 1);
  CHECK(second.epochs == 2);
  CHECK(second.layers == 4);
  CHECK(second.skip_dropout == 0.4);
  CHECK(stage_count(second) == 1);
  CHECK(stage_candidates(c, 2) == 3);
  CHECK(stage_candidates(tiny_config(), 0) == 8);

  CHECK(contains(refused([](auto& s) { s.stage_layers = "3,4"; }), "stages.layers: '3,4'"));
  CHECK(contains(refused([](auto& s) { s.stage_layers = "3,x,4"; }), "numbers with commas"));
  CHECK(contains(refused([](auto& s) { s.stage_layers = "3,4,5,"; }), "numbers with commas"));
  CHECK(contains(refused([](auto& s) { s.stage_layers = "3,0,4"; }), "at least 1 in each"));
  CHECK(
      contains(refused([](auto& s) { s.stage_candidates = "7,5,3"; }), "from the 8 of darts-cnn"));
  CHECK(contains(refused([](auto& s) { s.stage_candidates = "8,3,5"; }), "that fall"));
  CHECK(contains(refused([](auto& s) { s.stage_skip_dropout = "0,0,1"; }), "0 <= p < 1"));
  CHECK(contains(refused([](auto& s) { s.epochs = 7; }), "a multiple of the 3 stages"));
  CHECK(contains(refused([](auto& s) {
                   s.space = "darts-s4";
                   s.stage_candidates = "";
                 }),
                 "edge.skip-dropout: 0.1 is not allowed; expected 0 in darts-s4"));
  CHECK(contains(refused([](auto& s) { s.alpha_from = 2; }), "those of a stage"));
}

TEST_CASE("epochs: skip dropout falls, and jumps where the alphas wake") {
  SearchConfig c;
  c.epochs = 25;
  c.alpha_from = 10;
  c.skip_dropout = 0.4;
  const auto rate = [&](int64_t epoch) { return epoch_numbers(c, epoch).rates.skip_dropout; };
  CHECK(rate(3) == 0.4);
  c.skip_dropout_curve = "p-darts";
  CHECK(rate(0) == Approx(0.4 * 24 / 25));
  CHECK(rate(9) == Approx(0.4 * 15 / 25));
  CHECK(rate(10) == Approx(0.4));
  CHECK(rate(15) == Approx(0.4 * std::exp(-1.0)));
  CHECK(epoch_numbers(c, 9).alphas_rest);
  CHECK_FALSE(epoch_numbers(c, 10).alphas_rest);
}

TEST_CASE("epochs: the curves of the published methods") {
  const auto at = [](std::string_view method, int64_t epoch) {
    SearchConfig c;
    find_method(method).apply(c);
    return epoch_numbers(c, epoch);
  };
  CHECK(at("gdas", 0).temperature == 10);
  CHECK(at("gdas", 1).temperature == Approx(10 - 9.9 / 249));
  CHECK(at("gdas", 249).temperature == Approx(0.1));
  CHECK(at("snas", 0).temperature == Approx(0.03 + 0.97 * (1 - 1. / 150)));
  CHECK(at("snas", 74).temperature == Approx(0.03 + 0.97 * (1 - 75. / 150)));
  CHECK(at("snas", 149).temperature == Approx(0.03));
  CHECK(at("smooth-darts-rs", 0).perturb_radius == 0.03);
  CHECK(at("smooth-darts-rs", 25).perturb_radius == Approx(0.165));
  CHECK(at("smooth-darts-adv", 49).perturb_radius == Approx(0.03 + 0.27 * 49 / 50));
  CHECK(at("darts", 0).temperature == 1);

  SearchConfig ramp;
  ramp.epochs = 5;
  ramp.drop_path = 0.2;
  CHECK(epoch_numbers(ramp, 0).rates.drop_path == 0.2);
  ramp.drop_path_curve = "linear";
  CHECK(epoch_numbers(ramp, 0).rates.drop_path == 0);
  CHECK(epoch_numbers(ramp, 3).rates.drop_path == Approx(0.15));
  CHECK(epoch_numbers(ramp, 4).rates.drop_path == 0.2);
  ramp.epochs = 1;
  CHECK(epoch_numbers(ramp, 0).rates.drop_path == 0);
}

TEST_CASE("stages: the candidates with the least scores go, of equals the first") {
  const EdgeRows scores{{0.5, 0.1, 0.2, 0.2, 0.3, 0.2, 0.4, 0}, std::vector<double>(8, 1)};
  const CellSpace five = shrunk(make_space("darts-cnn", 1).normal, scores, 5);
  using Names = std::vector<std::string>;
  CHECK(five.edges[0].candidates ==
        Names{"none", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3"});
  CHECK(five.edges[1].candidates ==
        Names{"skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"});
  const Space all = make_space("darts-cnn", 1);
  CHECK(is_left_of({"darts-cnn", 1, five, five}, all, 5));
  CHECK_FALSE(is_left_of({"darts-cnn", 1, five, five}, all, 4));
  CHECK_FALSE(is_left_of({"darts-cnn", 1, five, {}}, all, 5));
  CHECK_FALSE(is_left_of({"darts-s2", 1, five, five}, all, 5));
}

TEST_CASE("progressive: two edges of each node, in order, and few skip connections") {
  constexpr int64_t kNoneAt = 0, kSkip = 3, kSep3 = 4, kDil5 = 7;
  // Edges 0, 1 lead to node 0; 2, 3, 4 to node 1.
  CHECK(kept({{0, kSep3, 0.3}, {1, kDil5, 0.4}, {2, kSep3, 0.2}, {3, kDil5, 0.2}, {4, kSep3, 0.2}},
             8) == "sep_conv_3x3:0>2 dil_conv_5x5:1>2 dil_conv_5x5:1>3 sep_conv_3x3:2>3 ");
  // Of equals on an edge the last candidate.
  CHECK(kept({{0, kSep3, 0.4}, {0, kDil5, 0.4}, {1, kSep3, 0.4}, {2, kDil5, 0.3}, {3, kDil5, 0.3}},
             8) == "dil_conv_5x5:0>2 sep_conv_3x3:1>2 dil_conv_5x5:0>3 dil_conv_5x5:1>3 ");
  // `none` is nothing, however much it scores.
  CHECK(kept({{0, kNoneAt, 0.9},
              {0, kSep3, 0.1},
              {1, kSep3, 0.2},
              {2, kNoneAt, 0.9},
              {2, kSep3, 0.1},
              {3, kSep3, 0.2},
              {4, kSep3, 0.3}},
             8) == "sep_conv_3x3:0>2 sep_conv_3x3:1>2 sep_conv_3x3:1>3 sep_conv_3x3:2>3 ");
  const Entries skips{{0, kSkip, 0.5},
                      {0, kSep3, 0.1},
                      {1, kSkip, 0.4},
                      {1, kDil5, 0.3},
                      {2, kSkip, 0.6},
                      {2, kSep3, 0.2},
                      {3, kSkip, 0.3},
                      {3, kDil5, 0.25},
                      {4, kSep3, 0.28}};
  CHECK(kept(skips, 4) == "skip_connect:0>2 skip_connect:1>2 skip_connect:0>3 skip_connect:1>3 ");
  // The weakest, on edge 3, goes first; edge 4 then scores more than edge 3.
  CHECK(kept(skips, 3) == "skip_connect:0>2 skip_connect:1>2 skip_connect:0>3 sep_conv_3x3:2>3 ");
  CHECK(kept(skips, 2) == "skip_connect:0>2 dil_conv_5x5:1>2 skip_connect:0>3 sep_conv_3x3:2>3 ");
  CHECK(kept(skips, 1) == "sep_conv_3x3:0>2 dil_conv_5x5:1>2 skip_connect:0>3 sep_conv_3x3:2>3 ");
  CHECK(kept(skips, 0) == "sep_conv_3x3:0>2 dil_conv_5x5:1>2 dil_conv_5x5:1>3 sep_conv_3x3:2>3 ");
  CHECK(kept(skips, 0, CellType::kReduce) == kept(skips, 4));
  CHECK(contains(
      message_of<std::invalid_argument>([] { make_decision("progressive", {.skips = -1}); }),
      "decision.skips: -1"));
}

TEST_CASE("stages: each begins afresh with what the one before left") {
  Search search(staged(), images());
  struct Stages : SearchObserver {
    explicit Stages(Search& s) : search(s) {}
    void on_epoch(const EpochReport& report) override {
      rates.push_back(report.lr);
      dropout.push_back(search.state().network.rates().skip_dropout);
      cells.push_back(search.state().network.cell_count());
      spaces.push_back(search.state().space);
      adam_steps.push_back(search.state().adam.steps());
      scores = search.state().relaxation().scores(search.state().arch.normal());
    }
    Search& search;
    std::vector<double> rates, dropout;
    std::vector<size_t> cells;
    std::vector<Space> spaces;
    std::vector<int64_t> adam_steps;
    Tensor scores;
  } seen(search);
  const SearchResult result = search.run(seen);
  CHECK(seen.cells == std::vector<size_t>{3, 3, 4, 4, 5, 5});
  CHECK(seen.rates[0] == seen.rates[2]);
  CHECK(seen.rates[1] == seen.rates[5]);
  CHECK(seen.dropout == std::vector<double>{0.1 * 1 / 2, 0.1, 0.4 * 1 / 2, 0.4, 0.7 * 1 / 2, 0.7});
  CHECK(seen.adam_steps[0] == 0);                   // alphas rest
  CHECK(seen.adam_steps[5] == seen.adam_steps[1]);  // and start anew
  for (size_t i = 0; i < 6; ++i) {
    const int64_t columns[] = {8, 5, 3};
    CHECK(seen.spaces[i].normal.columns() == columns[i / 2]);
    CHECK(is_left_of(seen.spaces[i], make_space("darts-cnn", 2), columns[i / 2]));
  }
  CHECK(count_op(result.genotype.normal, "skip_connect") <= 2);
  CHECK(result.genotype.normal.edges.size() == 4);
}

TEST_CASE("stages: a search goes on in any of them to the same bits") {
  const TinyRun whole(staged());
  for (const int64_t steps :
       {3, 9, 10, 17}) {  // of 4 an epoch: also where a stage ends, and in its first step
    CAPTURE(steps);
    const TemporaryDirectory root;
    const fs::path path = root.path() / "run";
    {
      Search first(staged(), images());
      RunDirectory run(path, Existing::kRefuse);
      run.start(first, kToml);
      Recorder recorder(first, run, steps);
      run.finish(first, first.run(recorder));
    }
    Search second(staged(), images());
    load_checkpoint(second, open_newest(read_run(path).checkpoints, [](const std::string&) {}));
    RunDirectory run(path, Existing::kContinue);
    run.resume(second, kToml);
    Recorder recorder(second, run);
    const SearchResult result = second.run(recorder);
    CHECK(result.genotype == whole.result.genotype);
    CHECK(result.search_accuracy == whole.result.search_accuracy);
    CHECK(same_bits(recorder.alphas.back(), whole.alphas.back()));
  }
}
