// The same search on the CPU and on a CUDA device: the same random numbers to the bit, the same
// steps within rounding, and checkpoints that move from one to the other.
#include <cmath>
#include <string>
#include <vector>

#include "engine/device.h"
#include "engine/ops.h"
#include "nas/checkpoint.h"
#include "nas/data/patterns.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/step.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

constexpr Device kCpu{}, kCuda{DeviceType::kCuda, 0};

struct OnDevice {
  explicit OnDevice(Device device) { set_default_device(device); }
  ~OnDevice() { set_default_device(before); }
  Device before = default_device();
};

SearchConfig tiny(std::string_view gradient, DType dtype) {
  SearchConfig c;
  c.layers = 3;
  c.channels = 4;
  c.steps = c.multiplier = 2;
  c.batch = 4;
  c.epochs = 1;
  c.train_size = 16;
  c.gradient = gradient;
  c.dtype = dtype;
  return c;
}

using Values = std::vector<std::vector<double>>;

// Everything that a step changes, by tensor.
Values state_of(SearchState& s) {
  Values all;
  const auto add = [&](const Tensor& t) {
    all.push_back(cast(t.detach(), DType::kFloat64).to_vector<double>());
  };
  for (const auto& [name, p] : s.network.named_parameters()) add(p->value);
  for (const auto& b : s.network.named_buffers()) add(b.tensor);
  for (const Tensor& t : s.arch.alphas().tensors()) add(t);
  for (const Tensor& t : s.sgd.momentum_buffers()) add(t);
  for (const Tensor& t : s.adam.first_moments()) add(t);
  for (const Tensor& t : s.adam.second_moments()) add(t);
  return all;
}

// The largest difference of a tensor, relative to its largest entry.
double worst_difference(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    REQUIRE(a[t].size() == b[t].size());
    double scale = 1e-30, difference = 0;
    for (size_t i = 0; i < a[t].size(); ++i) {
      scale = std::max(scale, std::abs(a[t][i]));
      difference = std::max(difference, std::abs(a[t][i] - b[t][i]));
    }
    worst = std::max(worst, difference / scale);
  }
  return worst;
}

struct Steps {
  Values start, gradients, losses, end;
};

// A gradient of the alphas and two steps.
Steps steps_on(Device device, std::string_view gradient, DType dtype) {
  const OnDevice scope(device);
  SearchState s(tiny(gradient, dtype), 3, 10);
  REQUIRE(s.arch.normal().device() == device);
  Steps result;
  result.start = state_of(s);
  const auto batch = [&](uint64_t seed) { return random_batch(4, 12, seed, dtype); };
  const ArchGradientResult g =
      make_arch_gradient(gradient)->compute(s.bilevel(batch(1), batch(2), 0), s.inner_step(0.025));
  for (const Tensor& t : g.gradients) {
    result.gradients.push_back(cast(t, DType::kFloat64).to_vector<double>());
  }
  for (int64_t i = 0; i < 2; ++i) {
    const SearchState::StepResult r = s.step(batch(2 * i + 1), batch(2 * i + 2), 0.025, i);
    result.losses.push_back({r.train_loss, r.validation_loss, r.gradient_norm});
  }
  result.end = state_of(s);
  return result;
}

}  // namespace

TEST_CASE("steps on a CUDA device agree with those on the CPU") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  struct Bounds {
    DType dtype;
    double gradients, losses, end;
  };
  for (const Bounds& bounds :
       {Bounds{DType::kFloat64, 1e-9, 1e-12, 1e-8}, Bounds{DType::kFloat32, 1e-3, 1e-5, 1e-3}}) {
    for (const std::string_view gradient : arch_gradient_names()) {
      if (bounds.dtype == DType::kFloat32 && gradient != "first-order") continue;
      CAPTURE(to_string(bounds.dtype), gradient);
      const Steps cpu = steps_on(kCpu, gradient, bounds.dtype);
      const Steps cuda = steps_on(kCuda, gradient, bounds.dtype);
      CHECK(cpu.start == cuda.start);  // drawn there, to the bit
      CHECK(worst_difference(cpu.gradients, cuda.gradients) <= bounds.gradients);
      CHECK(worst_difference(cpu.losses, cuda.losses) <= bounds.losses);
      CHECK(worst_difference(cpu.end, cuda.end) <= bounds.end);
    }
  }
}

TEST_CASE("a checkpoint moves between devices without the change of a bit") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const Dataset images = make_patterns({.train = 40, .test = 10}).train;
  const SearchConfig config = tiny("first-order", DType::kFloat32);
  const TemporaryDirectory directory;
  const auto path = directory.path() / "checkpoint.safetensors";
  struct Quiet : SearchObserver {
    bool keep_going() override { return false; }
  };
  for (const auto& [from, to] : {std::pair{kCpu, kCuda}, std::pair{kCuda, kCpu}}) {
    CAPTURE(to_string(from), to_string(to));
    Values saved;
    {
      const OnDevice scope(from);
      Search search(config, images);
      Quiet one_step;
      search.run(one_step);
      save_checkpoint(path, search, "");
      saved = state_of(search.state());
    }
    const OnDevice scope(to);
    Search search(config, images);
    load_checkpoint(search, open_checkpoint(path));
    CHECK(search.progress().steps == 1);
    CHECK(state_of(search.state()) == saved);
    Quiet one_step;
    search.run(one_step);
    CHECK(search.progress().steps == 2);
  }
}

TEST_CASE("tensors move between devices, views among them") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const int64_t live = memory_stats(kCuda).live;
  {
    const Tensor t = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {2, 3}, kCpu);
    const Tensor there = permute(t, {1, 0}).to(kCuda);
    CHECK(there.device() == kCuda);
    CHECK(memory_stats(kCuda).live == live + 48);
    CHECK(slice(there, 0, 1, 3).to(kCpu).to_vector<double>() == std::vector<double>{2, 5, 3, 6});
    CHECK(slice(there, 1, 1, 2).to_vector<double>() == std::vector<double>{4, 5, 6});
    CHECK(sum(there).item() == 21);
    CHECK_THROWS_WITH(t + permute(there, {1, 0}), "add: input 1 is on cuda, input 0 on cpu");
  }
  CHECK(memory_stats(kCuda).live == live);
}
