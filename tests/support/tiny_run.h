// A search small enough for any test, run once, and others of its kind that are to end like it; and
// tensors compared bit by bit.
#pragma once

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/file.h"
#include "nas/checkpoint.h"
#include "nas/data/patterns.h"
#include "nas/environment.h"
#include "nas/metrics.h"
#include "nas/run_directory.h"
#include "nas/run_summary.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

namespace oche::test {

using namespace oche::nas;
namespace fs = std::filesystem;

inline const std::string kToml = "layers = 3\n";

inline SearchConfig tiny_config() {
  SearchConfig c;
  c.train_size = 32;
  c.layers = 3;
  c.channels = 2;
  c.steps = c.multiplier = 2;
  c.epochs = 2;
  c.batch = 4;
  c.gradient = "first-order";
  return c;
}

inline const Dataset& images() {
  static const Dataset set = make_patterns({.train = 40, .test = 10}).train;
  return set;
}

// Records each epoch, and ends the search after some steps.
struct Recorder : SearchObserver {
  Recorder(Search& search, RunDirectory& run, int64_t steps = 1000)
      : search(search), run(run), steps_left(steps) {}
  void on_epoch(const EpochReport& report) override {
    run.record_epoch(search, report);
    reports.push_back(report);
    alphas.push_back(search.state().arch.normal().clone());
  }
  void on_step(const StepReport&) override { run.record_step(search); }
  bool keep_going() override { return --steps_left > 0; }

  Search& search;
  RunDirectory& run;
  int64_t steps_left;
  std::vector<EpochReport> reports;
  std::vector<Tensor> alphas;  // of the normal cell, after each epoch
};

// A whole search, run once for all test cases.
struct TinyRun {
  explicit TinyRun(const SearchConfig& config = tiny_config())
      : search(config, images()), run(root.path() / "run", Existing::kRefuse) {
    Recorder recorder(search, run);
    run.start(search, kToml);
    result = search.run(recorder);
    written = run.finish(search, result);
    reports = recorder.reports;
    alphas = recorder.alphas;
  }

  fs::path file(const std::string& name) const { return run.path() / name; }

  TemporaryDirectory root;
  Search search;
  RunDirectory run;
  SearchResult result;
  std::vector<std::string> written;
  std::vector<EpochReport> reports;
  std::vector<Tensor> alphas;
};

inline TinyRun& tiny() {
  static TinyRun run;
  return run;
}

// Goes on with a tiny search from the newest checkpoint in its directory, to the end. Returns what
// was told of damaged ones.
inline std::vector<std::string> resume_tiny(const fs::path& directory) {
  std::vector<std::string> told;
  const SafetensorsFile checkpoint = open_newest(
      read_run(directory).checkpoints, [&](const std::string& line) { told.push_back(line); });
  Search search(tiny_config(), images());
  load_checkpoint(search, checkpoint);
  RunDirectory run(directory, Existing::kContinue);
  run.resume(search, checkpoint.metadata().at("config"));
  Recorder recorder(search, run);
  run.finish(search, search.run(recorder));
  return told;
}

// The run in the directory has ended as tiny() has: the same bytes, but for time and
// memory.
inline void expect_tiny_run(const fs::path& directory) {
  for (const char* name :
       {"genotype.json", "genotypes.jsonl", "weights.safetensors", "ckpt/epoch-0002.safetensors"}) {
    CAPTURE(name);
    CHECK(read_file(directory / name) == read_file(tiny().file(name)));
  }
  const RunSummary run = read_run(directory), whole = read_run(tiny().run.path());
  CHECK(run.state == RunSummary::State::kFinished);
  CHECK(run.accuracies->discrete == whole.accuracies->discrete);
  REQUIRE(run.epochs.size() == whole.epochs.size());
  for (size_t i = 0; i < run.epochs.size(); ++i) {
    EpochMetrics row = run.epochs[i];
    CHECK(row.seconds > 0);
    row.seconds = whole.epochs[i].seconds;
    row.images_per_second = whole.epochs[i].images_per_second;
    row.peak_bytes = whole.epochs[i].peak_bytes;  // counts the tensors of the other runs here
    CHECK(csv_row(row) == csv_row(whole.epochs[i]));
  }
  const std::string events = read_file(directory / "events.jsonl");
  std::vector<int> epochs;
  for (const std::string_view line : whole_lines(events)) {
    const auto event = nlohmann::json::parse(line);
    if (event["type"] == "epoch") epochs.push_back(event["epoch"].get<int>());
  }
  CHECK(epochs == std::vector{1, 2});
}

inline std::vector<uint32_t> bits(const Tensor& t) {
  std::vector<uint32_t> result;
  for (const float v : t.to_vector<float>()) result.push_back(std::bit_cast<uint32_t>(v));
  return result;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && bits(a) == bits(b);
}

inline bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::ranges::equal(a, b, [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

}  // namespace oche::test
