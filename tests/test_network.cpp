// The search network: sizes, names, and what a bilevel step may touch.
#include <algorithm>
#include <cmath>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/runtime.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/step.h"

namespace oche::nas {

using test::random_batch;
using test::Snapshot;
using test::snapshot;

namespace {

SearchConfig tiny(const std::string& gradient = "first-order") {
  SearchConfig c;
  c.layers = 3;
  c.channels = 4;
  c.steps = c.multiplier = 2;
  c.batch = 4;
  c.gradient = gradient;
  return c;
}

}  // namespace

TEST_CASE("parameter counts are those of the original network") {
  const DryRun dry_run;
  const auto count = [](int64_t layers) {
    Network network({.layers = layers});
    return network.weights().numel();
  };
  CHECK(count(8) == 1'930'618);
  CHECK(count(5) == 1'275'834);
}

TEST_CASE("parameter names and file shapes are those of the original state_dict") {
  const DryRun dry_run;
  Network network({.layers = 3, .channels = 4});
  const std::vector<NamedParameter> p = network.named_parameters();
  const auto shape_of = [&](const std::string& name) {
    const auto found =
        std::find_if(p.begin(), p.end(), [&](const NamedParameter& q) { return q.name == name; });
    return found == p.end()
               ? std::string("absent")
               : to_string(file_shape(found->parameter->value.shape(), found->parameter->layout));
  };
  CHECK(p.front().name == "stem.0.weight");
  CHECK(p.back().name == "classifier.bias");
  CHECK(shape_of("stem.0.weight") == "(12, 3, 3, 3)");
  CHECK(shape_of("stem.1.bias") == "(12)");
  CHECK(shape_of("cells.0.preprocess0.op.1.weight") == "(4, 12, 1, 1)");
  CHECK(shape_of("cells.0._ops.0._ops.5.op.1.weight") == "(4, 1, 5, 5)");
  CHECK(shape_of("cells.0._ops.13._ops.4.op.6.weight") == "(4, 4, 1, 1)");
  CHECK(shape_of("cells.1._ops.1._ops.3.conv_2.weight") == "(4, 8, 1, 1)");
  CHECK(shape_of("cells.2.preprocess0.conv_1.weight") == "(8, 16, 1, 1)");
  CHECK(shape_of("classifier.weight") == "(10, 64)");
}

TEST_CASE("networks of any size run, and give one logit for each class") {
  for (auto [layers, channels, steps, multiplier, classes] :
       {std::tuple{1, 2, 1, 1, 2}, std::tuple{2, 6, 3, 2, 10}, std::tuple{6, 2, 2, 2, 7}}) {
    CAPTURE(layers, channels, steps, multiplier, classes);
    Network network({.classes = classes,
                     .layers = layers,
                     .channels = channels,
                     .steps = steps,
                     .multiplier = multiplier});
    initialise(network.named_parameters(), 1);
    const ArchParameters arch(make_space("darts-cnn", steps), {.seed = 1});
    const CellMixtures mixtures{softmax_mixture(arch.normal()), softmax_mixture(arch.reduce())};
    const Tensor logits = network.forward(random_batch(3, 16, 1).images, mixtures, {});
    CHECK(logits.shape() == Shape{3, classes});
    CHECK(all_finite(logits));
  }
}

TEST_CASE("images of any height, width and number of channels are searched on") {
  for (const Shape& image : {Shape{28, 28, 1}, {9, 7, 3}, {1, 1, 1}, {2, 3, 5}, {6, 1, 2}}) {
    CAPTURE(image);
    const Shape images{4, image[0], image[1], image[2]};
    SearchState s(tiny("exact-unrolled"), image[2], 10);
    const SearchState::StepResult result =
        s.step(random_batch(images, 1), random_batch(images, 2), 0.025, 0);
    CHECK(std::isfinite(result.train_loss));
    CHECK(std::isfinite(result.validation_loss));
    CHECK(result.gradient_norm > 0);
  }
}

TEST_CASE("a factorized reduction takes an odd side for one that ends with zeros") {
  FactorizedReduce reduce(3, 4, DType::kFloat64);
  initialise(reduce.named_parameters(), 1);
  const auto images = [](int64_t height, int64_t width) {
    return random_batch({2, height, width, 3}, 1, DType::kFloat64).images;
  };
  for (const auto& [x, even] : {std::pair{images(5, 6), pad(images(5, 6), 1, 0, 1)},
                                {images(4, 7), pad(images(4, 7), 2, 0, 1)},
                                {images(1, 1), pad(pad(images(1, 1), 1, 0, 1), 2, 0, 1)}}) {
    const Tensor y = reduce.forward(x, {}), expected = reduce.forward(even, {});
    CHECK(y.shape() == Shape{2, (x.size(1) + 1) / 2, (x.size(2) + 1) / 2, 4});
    CHECK(y.to_vector<double>() == expected.to_vector<double>());
  }
}

TEST_CASE("uniform alphas make an edge the mean of its eight candidates, none among them") {
  SearchConfig c = tiny();
  SearchState s(c, 3, 10);
  s.arch.normal().assign(Tensor::zeros(s.arch.normal().shape(), DType::kFloat32));
  for (float w : s.mixtures().normal.weights.to_vector<float>()) CHECK(w == 0.125f);
}

TEST_CASE("no estimator changes weights, statistics, alphas or moments by a bit") {
  for (std::string_view name : arch_gradient_names()) {
    CAPTURE(name);
    SearchState s(tiny(std::string(name)), 3, 10);
    const Batch train = random_batch(4, 16, 1), validation = random_batch(4, 16, 2);
    s.step(train, validation, 0.025, 0);  // so that moments and statistics are not zero
    const auto before = snapshot(s);
    const ArchGradientResult r =
        make_arch_gradient(name)->compute(s.bilevel(train, validation, 1), s.inner_step(0.025));
    CHECK(snapshot(s) == before);
    CHECK(r.gradients.size() == 2);
    for (const Tensor& t : s.network.weights().tensors()) CHECK(!t.grad());
  }
}

TEST_CASE("running statistics move once a step, in the weight step") {
  SearchState s(tiny("finite-difference"), 3, 10);
  const auto batches = [&] {
    for (const NamedBuffer& b : s.network.named_buffers()) {
      if (b.name == "stem.1.num_batches_tracked") return b.tensor.item();
    }
    return -1.0;
  };
  s.step(random_batch(4, 16, 1), random_batch(4, 16, 2), 0.025, 0);
  CHECK(batches() == 1);
}

TEST_CASE(
    "a search step leaves no tensor behind, and the memory that a dry run foretold is what it "
    "takes") {
  for (std::string_view name : arch_gradient_names()) {
    CAPTURE(name);
    const SearchConfig c = tiny(std::string(name));
    const Batch train = random_batch(4, 32, 1), validation = random_batch(4, 32, 2);
    SearchState s(c, 3, 10);
    const auto peak_of_step = [&](SearchState& state) {
      const int64_t live = memory_stats().live;
      reset_peak_memory();
      state.step(train, validation, 0.025, 0);
      CHECK(memory_stats().live == live);
      return memory_stats().peak - live;
    };
    const int64_t peak = peak_of_step(s);
    const DryRun dry_run;
    SearchState dry(c, 3, 10);
    CHECK(peak_of_step(dry) == peak);
  }
}

TEST_CASE("a step gives the same bits for any number of threads", "[cpu]") {
  const int threads = num_threads();
  std::vector<Snapshot> results;
  for (int n : {1, 2, 3, 8}) {
    set_num_threads(n);
    SearchState s(tiny("finite-difference"), 3, 10);
    for (int i = 0; i < 2; ++i)
      s.step(random_batch(4, 32, 2 * i), random_batch(4, 32, 2 * i + 1), 0.025, i);
    results.push_back(snapshot(s));
  }
  set_num_threads(threads);
  for (const auto& r : results) CHECK(r == results[0]);
}

TEST_CASE(
    "a NaN planted in a weight is named with step, cell, edge and op, before anything is updated") {
  SearchState s(tiny(), 3, 10);
  for (const auto& [name, p] : s.network.named_parameters()) {
    if (name == "cells.1._ops.2._ops.4.op.2.weight")
      p->value.assign(Tensor::full(p->value.shape(), NAN, DType::kFloat32));
  }
  const auto before = s.arch.normal().to_vector<float>();
  try {
    s.step(random_batch(4, 16, 1), random_batch(4, 16, 2), 0.025, 7);
    FAIL("no error");
  } catch (const NonFinite& e) {
    const std::string message = e.what();
    for (const char* part : {"step 7", "cell 1", "edge 2, sep_conv_3x3", "conv2d"}) {
      CAPTURE(message, part);
      CHECK(message.find(part) != std::string::npos);
    }
  }
  CHECK(s.arch.normal().to_vector<float>() == before);
}

TEST_CASE("the first loss of a fresh network is near log 10, and steps on one batch lower it") {
  SearchState s(tiny(), 3, 10);
  const Batch batch = random_batch(8, 16, 3);
  const double first = s.step(batch, batch, 0.1, 0).train_loss;
  CHECK(std::abs(first - std::log(10.0)) < 1.0);
  double last = first;
  for (int i = 1; i < 25; ++i) last = s.step(batch, batch, 0.1, i).train_loss;
  CHECK(last < 0.5 * first);
}

}  // namespace oche::nas
