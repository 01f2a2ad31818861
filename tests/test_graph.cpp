// Recorded work: the same bits as without, for other numbers at each replay; what cannot be
// recorded.
#include <cmath>
#include <string>
#include <vector>

#include "engine/autograd.h"
#include "engine/device.h"
#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/graph.h"
#include "engine/ops.h"
#include "kernels/cuda/runtime.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

// A test runs on the first CUDA device, if there is one.
struct OnCuda {
  OnCuda() { set_default_device({DeviceType::kCuda, 0}); }
  ~OnCuda() { set_default_device({}); }
};

SearchConfig tiny(std::string_view gradient) {
  SearchConfig c;
  c.layers = 3;
  c.channels = 2;
  c.steps = c.multiplier = 1;
  c.batch = 3;
  c.gradient = gradient;
  return c;
}

void append(Snapshot& all, const SearchState::StepResult& r) {
  for (const double v : {r.train_loss, r.validation_loss, r.gradient_norm}) {
    all.push_back({v});
  }
}

// What four steps give, whose rates, temperatures and radii change, and the size of whose third
// batch is another. The alphas rest for alpha_from steps.
Snapshot four_steps(const SearchConfig& config, bool graphs) {
  SearchState s(config, 3, 10);
  s.use_graphs(graphs);
  Snapshot all;
  for (int64_t i = 0; i < 4; ++i) {
    s.rest_alphas(i < config.alpha_from);
    s.set_temperature(2.0 - 0.4 * static_cast<double>(i));
    s.set_radius(0.1 + 0.1 * static_cast<double>(i));
    if (config.drop_path > 0)  // which has another rate from the third step on
      s.set_edge_rates({.skip_dropout = i < 2 ? 0.1 : 0.4, .drop_path = config.drop_path});
    const int64_t n = i == 2 ? 2 : 3;
    append(all,
           s.step(random_batch(n, 8, 2 * i + 1),
                  random_batch(n, 8, 2 * i + 2),
                  0.025 / static_cast<double>(i + 1),
                  i));
  }
  const Snapshot state = snapshot(s);
  all.insert(all.end(), state.begin(), state.end());
  return all;
}

}  // namespace

TEST_CASE("recorded steps have the bits of those that are not") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnCuda device;
  for (const std::string_view gradient : arch_gradient_names()) {
    CAPTURE(gradient);
    CHECK(four_steps(tiny(gradient), true) == four_steps(tiny(gradient), false));
  }
}

TEST_CASE("so have those of each schedule and relaxation", "[parts]") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnCuda device;
  const auto check = [](std::string_view what, const auto& change) {
    SearchConfig c = tiny("first-order");
    change(c);
    CAPTURE(what);
    CHECK(four_steps(c, true) == four_steps(c, false));
  };
  check("weights first", [](SearchConfig& c) { c.order = "weights-first"; });
  check("clipped alphas", [](SearchConfig& c) { c.alpha_grad_clip = 0.01; });
  check("resting alphas", [](SearchConfig& c) { c.alpha_from = 3; });
  check("soft Gumbel", [](SearchConfig& c) { c.relaxation = "gumbel-soft"; });
  check("hard Gumbel", [](SearchConfig& c) { c.relaxation = "gumbel-hard"; });
  for (const std::string_view name : {"random", "adversarial"})
    check(name, [&](SearchConfig& c) { c.perturb = name; });
  check("partial channels, weights of edges, dropout, costs", [](SearchConfig& c) {
    c.channels = 4;
    c.channel_share = 2;
    c.edge_weights = "softmax";
    c.drop_path = 0.2;
    c.regulariser = "resource";
    c.regulariser_weight = 0.01;
  });
  check("noise", [](SearchConfig& c) { c.space = "darts-s4"; });
  check("gates", [](SearchConfig& c) {
    c.space = "darts-cnn-no-none";
    c.relaxation = "sigmoid";
    c.regulariser = "zero-one";
    c.regulariser_weight = 10;
  });
}

TEST_CASE("a NaN under replay is found, named, and changes nothing; the search can go on") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnCuda device;
  const auto batch = [](int64_t i) { return random_batch(3, 8, i); };
  SearchState s(tiny("first-order"), 3, 10), untouched(tiny("first-order"), 3, 10);
  for (int64_t i = 0; i < 2; ++i) {
    s.step(batch(1), batch(2), 0.025, i);
    untouched.step(batch(1), batch(2), 0.025, i);
  }
  const Snapshot before = snapshot(s);
  Batch spoiled = batch(3);
  slice(reshape(spoiled.images, {spoiled.images.numel()}), 0, 5, 6)
      .assign(Tensor::full({1}, NAN, DType::kFloat32));
  for (const bool in_train : {false, true}) {
    CAPTURE(in_train);
    const std::string message = message_of<NonFinite>(
        [&] { s.step(in_train ? spoiled : batch(3), in_train ? batch(3) : spoiled, 0.025, 2); });
    CAPTURE(message);
    CHECK(contains(message, "conv2d"));
    CHECK(contains(message, in_train ? "step 2, weight step, stem" : "step 2, alpha step, stem"));
    CHECK(snapshot(s) == before);
  }
  s.step(batch(4), batch(5), 0.025, 2);
  untouched.step(batch(4), batch(5), 0.025, 2);
  CHECK(snapshot(s) == snapshot(untouched));
}

TEST_CASE("recorded work takes other numbers and draws anew at each replay") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnCuda device;
  const Tensor x = Tensor::ones({100}, DType::kFloat32), y = Tensor::zeros({100}, DType::kFloat32);
  const Tensor step = Tensor::zeros({1}, DType::kInt64);
  const RandomKey key = random_key(1, 2, Purpose::kDropout);
  const auto work = [&] {
    y.assign(dropout(x * 3.0, 0.5, {key, 0, Phase::kTrain, step.data<int64_t>()}) + x);
  };
  const int64_t live = memory_stats().live;
  Arena arena(arena_bytes([&] { y.assign(x * 3.0 + x * x); }) + 4096);
  RecordedWork recorded(work, arena);
  CHECK(y.to_vector<float>() == std::vector<float>(100, 0));  // nothing has run
  for (const int64_t i : {3, 4}) {
    x.assign(Tensor::full({100}, static_cast<double>(i), DType::kFloat32));
    step.assign(Tensor::full({1}, static_cast<double>(i), DType::kInt64));
    recorded.replay();
    const Tensor expected = dropout(x * 3.0, 0.5, {key, i, Phase::kTrain}) + x;
    CHECK(y.to_vector<float>() == expected.to_vector<float>());
  }
  CHECK(memory_stats().live > live);
}

TEST_CASE("the arena of a step is as large as a dry run says, and no smaller one will do") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnCuda device;
  const Tensor x = Tensor::ones({64, 64}, DType::kFloat32).set_requires_grad(true);
  const Tensor result = Tensor::zeros({64, 64}, DType::kFloat32);
  const auto work = [&] { result.assign(grad(sum(exp(x) * tanh(x) + x * x), std::vector{x})[0]); };
  const int64_t bytes = arena_bytes(work);
  CHECK(bytes > 3 * 64 * 64 * 4);
  Arena arena(bytes), small(bytes - 512);
  CHECK_THROWS_AS(RecordedWork(work, small), OutOfMemory);
  RecordedWork recorded(work, arena);
  recorded.replay();
  const auto replayed = result.to_vector<float>();
  work();
  CHECK(replayed == result.to_vector<float>());
}

TEST_CASE("what cannot be recorded is refused, and the device goes on") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnCuda device;
  const Tensor x = Tensor::ones({8}, DType::kFloat32);
  Arena arena(1 << 16);
  CHECK_THROWS_AS(RecordedWork([&] { sum(x).item(); }, arena), kernels::cuda::Error);
  Tensor kept;
  CHECK_THROWS_AS(RecordedWork([&] { kept = x + x; }, arena), std::logic_error);
  kept = Tensor();
  CHECK(sum(x).item() == 8);
  // A tensor from before that dies in the meantime is no part of the work.
  Tensor old = x * 2.0;
  RecordedWork work([&] { x.assign(x + old); }, arena);
  RecordedWork frees([&] { old = Tensor(); }, arena);
  CHECK(sum(x).item() == 8);
}
