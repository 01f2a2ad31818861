// A search small enough for any test, run once; and tensors compared bit by bit.
#pragma once

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "nas/data/patterns.h"
#include "nas/environment.h"
#include "nas/run_directory.h"
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
  bool keep_going() override { return --steps_left > 0; }

  Search& search;
  RunDirectory& run;
  int64_t steps_left;
  std::vector<EpochReport> reports;
  std::vector<Tensor> alphas;  // of the normal cell, after each epoch
};

// A whole search, run once for all test cases.
struct TinyRun {
  TinyRun() : search(tiny_config(), images()), run(root.path() / "run", Existing::kRefuse) {
    Recorder recorder(search, run);
    run.write_config(kToml);
    run.write_environment(environment_json(kToml, 0));
    run.record_start(search);
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
