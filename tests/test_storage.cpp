// Storage: accounting, reuse, dry runs.
#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/storage.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

struct Usage {
  int64_t peak, macs,
      left;  // bytes above those held before, multiply-adds, bytes still held afterwards
};

// A step: convolution, batch normalisation, pooling, and their gradients.
Usage step(const Tensor& x, const Tensor& w, const Tensor& scale, const Tensor& bias) {
  const int64_t before = memory_stats().live, macs = mac_count();
  reset_peak_memory();
  {
    const Tensor h = batch_norm(relu_conv2d(x, w, {.padding = 1}), scale, bias).y;
    const Tensor loss = mean(max_pool2d(h, {.stride = 2}) + avg_pool2d(h, {.stride = 2}));
    const std::vector<Tensor> wanted{w, scale, bias};
    const std::vector<Tensor> gradients = grad(loss, wanted);
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i].assign(wanted[i] - gradients[i] * 0.1);
  }
  return {memory_stats().peak - before, mac_count() - macs, memory_stats().live - before};
}

}  // namespace

TEST_CASE("live and peak bytes follow the tensors") {
  const int64_t before = memory_stats().live;
  reset_peak_memory();
  {
    const Tensor a = Tensor::empty({100}, DType::kFloat64);
    CHECK(memory_stats().live == before + 800);
    { const Tensor b = Tensor::empty({10}, DType::kFloat32); }
    const Tensor view = slice(a, 0, 0, 1);
    CHECK(memory_stats().live == before + 800);
  }
  CHECK(memory_stats().live == before);
  CHECK(memory_stats().peak == before + 840);
  reset_peak_memory();
  CHECK(memory_stats().peak == before);
}

TEST_CASE("a freed buffer serves the next tensor of its size, until released") {
  release_cached_memory();
  CHECK(memory_stats().cached == 0);
  const std::byte* first = nullptr;
  {
    const Tensor a = Tensor::empty({1000}, DType::kFloat64);
    first = a.impl()->storage->data();
    CHECK(reinterpret_cast<uintptr_t>(first) % 64 == 0);
  }
  const int64_t cached = memory_stats().cached;
  if (cached == 0) return;  // built with a sanitizer, which must see every free
  CHECK(cached >= 8000);
  CHECK(cached <= 8000 + 8000 / 8);
  {
    const Tensor b = Tensor::empty({999}, DType::kFloat64);
    CHECK(b.impl()->storage->data() == first);
    CHECK(memory_stats().cached == 0);
  }
  release_cached_memory();
  CHECK(memory_stats().cached == 0);
}

TEST_CASE("out of memory names the op, what was asked and what is held") {
#ifdef __SANITIZE_ADDRESS__
  SKIP("the sanitizer ends the process instead");
#endif
  const Tensor x = Tensor::ones({1}, DType::kFloat32);
  const std::string held = std::to_string(memory_stats().live);
  const int64_t huge = int64_t{1} << 50;
  try {
    pad(x, 0, 0, huge);
    FAIL("the allocation succeeded");
  } catch (const OutOfMemory& e) {
    const std::string said = e.what();
    CAPTURE(said);
    CHECK(said.find("embed: out of memory: 4503599627370500 bytes asked while " + held) == 0);
  }
  CHECK(std::to_string(memory_stats().live) == held);
}

TEST_CASE("a dry run walks a step without touching data, with the same peak and multiply-adds") {
  const auto ones = [](const Shape& s) {
    return Tensor::ones(s, DType::kFloat32).set_requires_grad(true);
  };
  const Shape x{4, 32, 32, 16}, w{3, 3, 16, 24}, c{24};
  const Usage real = step(Tensor::ones(x, DType::kFloat32), ones(w), ones(c), ones(c));
  const int64_t before = memory_stats().live;
  release_cached_memory();
  Usage dry{};
  {
    const DryRun guard;
    dry = step(Tensor::ones(x, DType::kFloat32), ones(w), ones(c), ones(c));
  }
  CHECK(memory_stats().cached == 0);  // nothing was allocated
  CHECK(memory_stats().live == before);
  CHECK(real.macs == 2 * 4 * 32 * 32 * 24 * 16 * 9);  // forward and weight gradient
  CHECK(dry.macs == real.macs);
  CHECK(dry.peak == real.peak);
  CHECK(real.left == 0);
  CHECK(dry.left == 0);
}

TEST_CASE("a dry run leaves existing tensors as they are, and its own have no data afterwards") {
  const Tensor w = Tensor::full({3}, 2, DType::kFloat64);
  Tensor y;
  {
    const DryRun guard;
    y = w * 5.0;
    w.assign(y);
    CHECK(y.to_vector<double>() == std::vector<double>(3, 0));
    CHECK(y.impl()->storage->data() == nullptr);
  }
  CHECK(w.to_vector<double>() == std::vector<double>(3, 2));
  CHECK_THROWS_WITH(y.to_vector<double>(), "a tensor made in a dry run has no data");
}
