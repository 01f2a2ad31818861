// A NaN in a search step, planted in what one op writes, for every op in turn: the step names the
// place and leaves the state as it was.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/runtime.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

// A normal cell and two reductions, of one node each: every candidate at stride 1 and 2.
SearchConfig three_cells(const std::string& gradient) {
  SearchConfig c;
  c.layers = 3;
  c.channels = 2;
  c.steps = c.multiplier = 1;
  c.batch = 2;
  c.gradient = gradient;
  return c;
}

struct Batches {
  Batch train = random_batch(2, 8, 1), validation = random_batch(2, 8, 2);
};

SearchState::StepResult step(SearchState& state, const Batches& batches) {
  return state.step(batches.train, batches.validation, 0.025, 3);
}

struct Applied {
  std::string op, labels;
  bool is_in(const std::string& part) const { return contains(labels, part); }
};

struct Recorder final : OpObserver {
  void on_op(std::string_view op, std::span<const Tensor>) override {
    ops.push_back({std::string(op), current_labels()});
  }
  std::vector<Applied> ops;
};

// Spoils what two ops write: a step that meets something not finite does the work again to name it.
struct Planter final : OpObserver {
  Planter(size_t first, size_t again) : first(first), again(again) {}
  void on_op(std::string_view, std::span<const Tensor> outputs) override {
    if (const size_t n = count++; n != first && n != again) return;
    // Everywhere: a strided reader passes some elements over, and some outputs are empty.
    for (const Tensor& y : outputs) {
      if (y.dtype() == DType::kFloat32) y.assign(Tensor::full(y.shape(), NAN, y.dtype()));
    }
  }
  size_t first, again, count = 0;
};

// The ops of a step that goes well: as they are, or as a check names them, where cells are not
// fused.
std::vector<Applied> ops_of_step(const SearchConfig& config, const Batches& batches, bool checked) {
  SearchState state(config, 3, 10);
  std::optional<FiniteChecks> checks;
  if (checked) checks.emplace();
  Recorder recorder;
  step(state, batches);
  return recorder.ops;
}

// How many of them come before the weight step.
size_t alpha_half(const std::vector<Applied>& ops) {
  const auto weights =
      std::ranges::find_if(ops, [](const Applied& a) { return a.is_in("weight step"); });
  return static_cast<size_t>(weights - ops.begin());
}

// "alpha step, cell 1, edge 0, sep_conv_3x3, backward": what a planted NaN can be in.
std::string place_of(const Applied& a) {
  const size_t edge = a.labels.find("edge ");
  if (edge == std::string::npos) return "";
  const size_t phase = a.labels.find(", ") + 2;
  const size_t backward = a.labels.find(", backward of");
  return a.labels.substr(phase, backward - phase) +
         (backward == std::string::npos ? "" : ", backward");
}

}  // namespace

TEST_CASE(
    "a NaN from any op is named with step, cell, edge, candidate and op, and changes nothing") {
  set_num_threads(1);  // so little work is not worth sharing
  const std::string gradient = "first-order";
  const SearchConfig config = three_cells(gradient);
  const Batches batches;
  const std::vector<Applied> run = ops_of_step(config, batches, false);
  const std::vector<Applied> ops = ops_of_step(config, batches, true);
  REQUIRE(std::ranges::any_of(run, [](const Applied& a) { return a.op == "mixed_cell_backward"; }));
  const size_t run_alpha = alpha_half(run), ops_alpha = alpha_half(ops);
  SearchState state(config, 3, 10);
  const auto before = snapshot(state);

  std::set<std::string> places;
  for (size_t n = 0; n < ops.size(); ++n) {
    // The half is done again once both are done. Which of its ops spoils it the first time is all
    // the same.
    const bool alpha = n < ops_alpha;
    const size_t first = alpha ? n % run_alpha : run_alpha + n % (run.size() - run_alpha);
    std::string message;
    {
      const Planter planter(first, run.size() + (alpha ? n : n - ops_alpha));
      message = message_of<NonFinite>([&] { step(state, batches); });
    }
    CAPTURE(n, ops[n].op, ops[n].labels, message);
    CHECK(message.starts_with(
        fmt::format("non-finite value in {} at {};", ops[n].op, ops[n].labels)));
    REQUIRE(snapshot(state) == before);
    places.insert(place_of(ops[n]));
  }
  // All of them were among the ops. An identity is none; and candidates have no backward in the
  // alpha step where their input depends on no alpha.
  for (const std::string phase : {"alpha step", "weight step"}) {
    for (int64_t cell = 0; cell < config.layers; ++cell) {
      for (const int edge : {0, 1}) {
        for (const std::string_view op : darts_primitives()) {
          if (op == kNone || (op == "skip_connect" && cell == 0)) continue;
          const std::string place = fmt::format("{}, cell {}, edge {}, {}", phase, cell, edge, op);
          CAPTURE(place);
          CHECK(places.contains(place));
          const bool before_alphas = cell == 0 || (cell == 1 && edge == 0);
          CHECK(places.contains(place + ", backward") ==
                (phase == "weight step" || !before_alphas));
        }
      }
    }
  }
}
