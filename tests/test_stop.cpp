// Stops: synthetic trajectories whose end is known, and searches that end early.
#include <fmt/format.h>

#include <cmath>

#include "engine/error.h"
#include "nas/stop.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

namespace {

Genotype with_skips(int64_t skips, int64_t epoch) {
  Genotype g;
  g.space = fmt::format("epoch-{}", epoch);  // tells genotypes apart
  for (int i = 0; i < 4; ++i)
    g.normal.edges.push_back({i < skips ? "skip_connect" : "sep_conv_3x3", i, i + 2});
  g.normal.concat = {5};
  return g;
}

struct End {
  int64_t at, genotype_of;
  bool operator==(const End&) const = default;
};

// Shows epoch after epoch to a stop; in the middle it is replaced by one with its state.
template <typename View>
std::optional<End> end_of(std::string_view name,
                          const StopOptions& options,
                          int64_t epochs,
                          const View& view) {
  std::unique_ptr<Stop> stop = make_stop(name, options);
  for (int64_t e = 0; e < epochs; ++e) {
    const nlohmann::json saved = nlohmann::json::parse(stop->state().dump());
    stop = make_stop(name, options);
    stop->restore(saved);
    if (const std::optional<Ending> end = view(*stop, e)) {
      CHECK(end->genotype.space == fmt::format("epoch-{}", end->epoch));
      CHECK(read_ending(to_json(*end), "e").genotype == end->genotype);
      return End{e, end->epoch};
    }
  }
  return std::nullopt;
}

const Space& space() {
  static const Space s = make_space("darts-cnn", 1);
  return s;
}

std::optional<End> skips_end(const std::vector<int64_t>& skips, int64_t most = 2) {
  return end_of("skip-count", {.skips = most}, std::ssize(skips), [&](Stop& stop, int64_t e) {
    const Genotype g = with_skips(skips[e], e);
    return stop.after_epoch({e, 50, g, space(), {}, {}, {}});
  });
}

// `orders`: of each epoch which convolution is ahead on the last edge.
std::optional<End> ranks_end(const std::vector<int64_t>& ahead, int64_t patience) {
  const auto view = [&](Stop& stop, int64_t e) {
    EdgeRows scores(2, std::vector<double>(8, 0.1));
    scores[1][ahead[e]] = 0.5;
    scores[0][1] = static_cast<double>(e);  // pools do not count
    const Genotype g = with_skips(0, e);
    return stop.after_epoch({e, 50, g, space(), scores, scores, {}});
  };
  return end_of("rank-stable", {.patience = patience}, std::ssize(ahead), view);
}

std::optional<End> eigenvalues_end(const std::function<double(int64_t)>& value,
                                   const StopOptions& options = {}) {
  return end_of("alpha-eigenvalue", options, 50, [&](Stop& stop, int64_t e) {
    const Genotype g = with_skips(0, e);
    return stop.after_epoch({e, 50, g, space(), {}, {}, [&] { return value(e); }});
  });
}

}  // namespace

TEST_CASE("stops are made by name") {
  for (const std::string_view name : stop_names()) CHECK(make_stop(name)->name() == name);
  CHECK(contains(message_of<std::invalid_argument>([] { make_stop("never"); }),
                 "'never' is not known; expected one of epochs, skip-count"));
  for (const StopOptions& o : {StopOptions{.skips = 0},
                               {.patience = 0},
                               {.every = 0},
                               {.window = 0},
                               {.lag = 0},
                               {.factor = 0},
                               {.first = -1}})
    CHECK_THROWS_AS(make_stop("epochs", o), std::invalid_argument);
  const Genotype g = with_skips(4, 0);
  CHECK_FALSE(make_stop("epochs")->after_epoch({0, 50, g, space(), {}, {}, {}}));
  for (const char* name : {"rank-stable", "alpha-eigenvalue", "skip-count"})
    CHECK_THROWS_AS(make_stop(name)->restore(nlohmann::json::parse("{\"order\": 3}")), FormatError);
  CHECK_THROWS_AS(read_ending(nlohmann::json::parse("{\"epoch\": 3}"), "e"), FormatError);
}

TEST_CASE("skip-count: the first epoch with so many, or the one before") {
  CHECK(skips_end({0, 1, 1, 2, 3}) == End{3, 3});
  CHECK(skips_end({0, 1, 1, 3, 2}) == End{3, 2});
  CHECK(skips_end({4, 0}) == End{0, 0});  // there is none before
  CHECK(skips_end({0, 1, 1, 1}) == std::nullopt);
  CHECK(skips_end({0, 1, 1, 1}, 1) == End{1, 1});
}

TEST_CASE("rank-stable: so many epochs in a row, and any swap begins anew") {
  CHECK(ranks_end({4, 4, 4, 4}, 3) == End{3, 3});
  CHECK(ranks_end({4, 4, 5, 5, 5}, 3) == std::nullopt);
  CHECK(ranks_end({4, 4, 5, 5, 5, 5}, 3) == End{5, 5});
  CHECK(ranks_end({4, 5, 4, 5, 4}, 1) == std::nullopt);
  CHECK(ranks_end({3, 1, 2, 0}, 3) == End{3, 3});  // no convolution is ahead
}

TEST_CASE("stops wait for alphas that rest") {
  CHECK(make_stop("skip-count")->earliest(15) == 15);
  CHECK(make_stop("rank-stable")->earliest(15) == 25);
  CHECK(make_stop("alpha-eigenvalue")->earliest(0) == 22);
  CHECK(make_stop("alpha-eigenvalue")->earliest(15) == 27);
  SearchConfig config = tiny_config();
  config.epochs = 5;
  config.alpha_from = 2;
  config.stop = "rank-stable";
  config.stop_patience = 1;
  config.alpha_lr = 1e-9;
  CHECK(stop_options(config).first == 10);
  const TinyRun t(config);
  REQUIRE(t.result.ending);
  CHECK(t.result.ending->epoch == 3);
}

TEST_CASE("alpha-eigenvalue: means that rise, and the genotype of 12 epochs before") {
  // Measured after epochs 0, 2, 4, ...: five times 1, then 2. The means of the last five are 1 up
  // to epoch 8, then 1.2, 1.4, 1.6, 1.8, 2. Means 8 epochs apart: 1.4 at epoch 12, but then epoch 0
  // would be the result; from epoch 22 on, which is the first to give epoch 10, all are 2.
  CHECK(eigenvalues_end([](int64_t e) { return e <= 8 ? 1.0 : 2.0; }) == std::nullopt);
  CHECK(eigenvalues_end([](int64_t e) { return e <= 8 ? 1.0 : 2.0; }, {.first = 0}) == End{12, 0});
  // The rise comes later: at epoch 30 1.2, at 32 1.4.
  CHECK(eigenvalues_end([](int64_t e) { return e < 30 ? 1.0 : 2.0; }) == End{32, 20});
  CHECK(eigenvalues_end([](int64_t e) { return e < 30 ? 1.0 : 2.0; }, {.factor = 1.15}) ==
        End{30, 18});
  CHECK(eigenvalues_end([](int64_t) { return 1.0; }) == std::nullopt);
  // The last epoch is measured whatever its number, and ends as every search does.
  std::vector<int64_t> measured;
  CHECK(eigenvalues_end([&](int64_t e) {
          measured.push_back(e);
          return e < 49 ? 1.0 : 50.0;
        }) == std::nullopt);
  CHECK(measured.back() == 49);
  // A mean below 0 has no ratio.
  CHECK(eigenvalues_end([](int64_t e) { return e < 30 ? -1.0 : -2.0; }) == std::nullopt);
  // Fewer than three measurements are no mean: lag 1 compares the fourth's with the third's.
  CHECK(eigenvalues_end([](int64_t e) { return std::pow(2.0, e); },
                        {.every = 1, .window = 1, .lag = 1, .first = 0}) == End{3, 2});
  CHECK_THROWS_AS(eigenvalues_end([](int64_t) { return std::nan(""); }), NonFinite);
}

TEST_CASE("a search that its stop ends is finished, and stays so") {
  SearchConfig config = tiny_config();
  config.epochs = 5;
  config.stop = "rank-stable";
  config.stop_patience = 1;
  config.alpha_lr = 1e-9;  // so that no order changes
  config.relaxation = "gumbel-soft";
  config.temperature_end = 0.01;  // accuracies are measured at that of the last epoch there was
  const TinyRun t(config);
  REQUIRE(t.result.ending);
  CHECK(t.result.finished);
  CHECK(t.reports.size() == 2);
  CHECK(t.result.ending->epoch == 1);
  CHECK(t.result.genotype == t.reports[1].genotype);
  const RunSummary summary = read_run(t.run.path());
  CHECK(summary.state == RunSummary::State::kFinished);
  CHECK(summary.genotype == t.result.genotype);
  CHECK(contains(read_file(t.file("events.jsonl")), R"("ended_by":"rank-stable")"));

  Search again(config, images());
  load_checkpoint(again, SafetensorsFile::open(t.file("ckpt/epoch-0002.safetensors")));
  SearchObserver nobody;
  const SearchResult result = again.run(nobody);
  REQUIRE(result.ending);
  CHECK(result.genotype == t.result.genotype);
  CHECK(result.search_accuracy == t.result.search_accuracy);
  CHECK(again.progress().epochs == 2);
}

TEST_CASE("eigenvalues along a search are recorded, and the same after a break") {
  SearchConfig config = tiny_config();
  config.epochs = 3;
  config.stop = "alpha-eigenvalue";
  config.stop_every = 1;
  const TinyRun t(config);
  Search again(config, images());
  load_checkpoint(again, SafetensorsFile::open(t.file("ckpt/epoch-0002.safetensors")));
  struct Last : SearchObserver {
    void on_epoch(const EpochReport& report) override { eigenvalue = report.eigenvalue; }
    std::optional<double> eigenvalue;
  } last;
  again.run(last);
  REQUIRE(t.reports.back().eigenvalue);
  CHECK(last.eigenvalue == t.reports.back().eigenvalue);
  CHECK(std::isfinite(*last.eigenvalue));
  CHECK(again.stopped().stop->state()["values"].size() == 3);
  CHECK(contains(read_file(t.file("events.jsonl")), "alpha_eigenvalue"));
}

TEST_CASE("stops that do not fit a search are refused") {
  const auto refused = [](const auto& change) {
    SearchConfig c = tiny_config();
    c.stop = "alpha-eigenvalue";
    change(c);
    return message_of<std::invalid_argument>([&] { validate(c); });
  };
  CHECK(contains(refused([](auto& c) { c.relaxation = "gumbel-hard"; }), "there is no Hessian"));
  CHECK(contains(refused([](auto& c) { c.stage_layers = "3,3"; }), "epochs with stages"));
  for (const char* name : {"darts-s2", "darts-s4", "nas-bench-201"}) {
    CHECK(contains(refused([&](auto& c) {
                     c.stop = "rank-stable";
                     c.space = name;
                     const SpaceSizes sizes = sizes_of(name);
                     if (sizes.steps > 0) c.steps = sizes.steps;
                     if (sizes.multiplier > 0) c.multiplier = sizes.multiplier;
                     if (sizes.stem_multiplier > 0) c.stem_multiplier = sizes.stem_multiplier;
                   }),
                   "where no edge has two convolutions to rank"));
  }
  CHECK(contains(refused([](auto& c) {
                   c.stop = "skip-count";
                   c.space = "darts-s4";
                 }),
                 "which has no skip_connect"));
}

// Accuracies are measured at the temperature of the last epoch, also by a process that ran none.
TEST_CASE("a search that had come to its end mixes as it did then") {
  for (const char* stop : {"epochs", "rank-stable"}) {
    CAPTURE(stop);
    SearchConfig config = tiny_config();
    config.relaxation = "gumbel-soft";
    config.temperature_end = 0.01;
    config.epochs = 3;
    config.stop = stop;
    config.stop_patience = 1;
    config.alpha_lr = 1e-9;
    TinyRun t(config);
    Search again(config, images());
    const RunSummary run = read_run(t.run.path());
    load_checkpoint(again, open_newest(run.checkpoints, [](const std::string&) {}));
    const Pass pass{.step = 3};
    CHECK(same_bits(again.state().mixtures(pass).normal.weights.detach(),
                    t.search.state().mixtures(pass).normal.weights.detach()));
    CHECK(again.progress().epochs == (t.result.ending ? 2 : 3));
  }
}
