// A NaN in a search step, planted in the output of one op at a time: the step has to fail naming
// the step, the cell, the edge, the candidate and the op, or the NaN must not have mattered.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>

#include "engine/diagnose.h"
#include "engine/error.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

// Two cells, the second one a reduction, of one node: every candidate at stride 1 and 2.
SearchConfig two_cells() {
  SearchConfig c = tiny_config();
  c.layers = 2;
  c.channels = 2;
  c.steps = c.multiplier = 1;
  return c;
}

struct Applied {
  std::string op, labels;
  bool operator==(const Applied&) const = default;
};

struct Recorder final : OpObserver {
  void on_op(std::string_view op, std::span<const Tensor>) override {
    ops.push_back({std::string(op), current_labels()});
  }
  std::vector<Applied> ops;
};

// Spoils what the ops at two places of the sequence write: a step that meets something not finite
// does the work again to name it.
struct Planter final : OpObserver {
  Planter(size_t first, size_t again) : first(first), again(again) {}
  void on_op(std::string_view, std::span<const Tensor> outputs) override {
    if (const size_t n = count++; n != first && n != again) return;
    if (outputs[0].dtype() == DType::kFloat32 && outputs[0].numel() > 0)
      outputs[0].mutable_data<float>()[outputs[0].numel() / 2] = NAN;
  }
  size_t first, again, count = 0;
};

// The ops of one step, with the labels that a check would report.
std::vector<Applied> ops_of_step(const StepCase& c) {
  SearchState state(c.config, 3, 10);
  const FiniteChecks labels_of_backward;
  Recorder recorder;
  c.step(state);
  return recorder.ops;
}

bool is_part(const Applied& a, const std::string& part) {
  return contains(a.labels, part);
}

// "cell 1, edge 0, sep_conv_3x3": where in the network, without the phase and the direction.
std::string place_of(const Applied& a) {
  const size_t begin = a.labels.find("cell "), end = a.labels.find(", backward of");
  return begin == std::string::npos ? "" : a.labels.substr(begin, end - begin);
}

}  // namespace

TEST_CASE("a NaN in any op of a step is named with step, cell, edge, candidate and op") {
  const StepCase c(two_cells());
  const std::vector<Applied> ops = ops_of_step(c);
  const auto weight_step = std::ranges::find_if(
      ops, [](const Applied& a) { return is_part(a, "weight step"); });
  const auto alpha_ops = static_cast<size_t>(weight_step - ops.begin());
  REQUIRE(alpha_ops > 0);

  std::map<std::string, std::set<std::string>> named;  // by phase and direction: places
  std::vector<std::string> silent;
  for (size_t n = 0; n < ops.size(); ++n) {
    const size_t part = n < alpha_ops ? alpha_ops : ops.size() - alpha_ops;
    const std::string expected =
        fmt::format("non-finite value in {} at {};", ops[n].op, ops[n].labels);
    SearchState state(c.config, 3, 10);
    std::string message;
    {
      const Planter planter(n, n + part);
      message = message_of<NonFinite>([&] { c.step(state); });
    }
    if (message == "no error") {
      silent.push_back(expected);
      continue;
    }
    CAPTURE(n, message);
    CHECK(message.starts_with(expected));
    CHECK(message.find("step 3") != std::string::npos);
    const bool backward = is_part(ops[n], "backward of");
    named[fmt::format("{} {}", n < alpha_ops ? "alpha" : "weight", backward ? "back" : "forward")]
        .insert(place_of(ops[n]));
  }
  for (const std::string& s : silent) WARN(s);
  WARN(ops.size() << " ops, " << silent.size() << " silent");
  for (const auto& [k, places] : named) {
    WARN(k << " " << places.size());
  }
}
