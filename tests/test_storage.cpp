// Storage: accounting, reuse, dry runs.
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "engine/address_space.h"
#include "engine/autograd.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "engine/storage.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

struct Usage {
  int64_t peak, extent;  // above those before: bytes, addresses
  int64_t macs, left;    // multiply-adds, bytes still held afterwards
};

// A step: convolution, batch normalisation, pooling, and their gradients.
Usage step(const Tensor& x, const Tensor& w, const Tensor& scale, const Tensor& bias) {
  const int64_t macs = mac_count();
  reset_peak_memory();
  const MemoryStats before = memory_stats();
  {
    const Tensor h = batch_norm(relu_conv2d(x, w, {.padding = 1}), scale, bias).y;
    const Tensor loss = mean(max_pool2d(h, {.stride = 2}) + avg_pool2d(h, {.stride = 2}));
    const std::vector<Tensor> wanted{w, scale, bias};
    const std::vector<Tensor> gradients = grad(loss, wanted);
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i].assign(wanted[i] - gradients[i] * 0.1);
  }
  const MemoryStats after = memory_stats();
  return {after.peak - before.peak,
          after.peak_extent - before.peak_extent,
          mac_count() - macs,
          after.live - before.live};
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

TEST_CASE("addresses: the smallest gap that fits, neighbours joined, no gap at the end") {
  AddressSpace space;
  CHECK(space.allocate(100) == 0);
  CHECK(space.allocate(30) == 100);
  CHECK(space.allocate(50) == 130);
  CHECK(space.allocate(10) == 180);
  space.free(0, 100);
  space.free(130, 50);
  CHECK(space.gaps() == std::map<int64_t, int64_t>{{0, 100}, {130, 50}});
  CHECK(space.allocate(40) == 130);
  CHECK(space.allocate(10) == 170);  // exactly
  CHECK(space.allocate(101) == 190);
  space.free(100, 30);
  CHECK(space.gaps() == std::map<int64_t, int64_t>{{0, 130}});
  space.free(180, 10);
  space.free(190, 101);
  CHECK(space.end() == 180);
  space.free(170, 10);
  space.free(130, 40);
  CHECK(space.end() == 0);
  CHECK(space.gaps().empty());
}

TEST_CASE("addresses: ranges in use never overlap, whatever the order") {
  AddressSpace space;
  std::map<int64_t, int64_t> used;  // address -> bytes
  uint32_t random = 1;
  for (int i = 0; i < 5000; ++i) {
    random = random * 1664525 + 1013904223;
    const uint32_t draw = random >> 8;
    if (used.empty() || draw % 5 < 3) {
      const int64_t bytes = 1 + draw / 5 % 97, address = space.allocate(bytes);
      const auto next = used.lower_bound(address);
      CHECK((next == used.end() || address + bytes <= next->first));
      CHECK((next == used.begin() || std::prev(next)->first + std::prev(next)->second <= address));
      used[address] = bytes;
    } else {
      const auto victim = std::next(used.begin(), static_cast<int64_t>(draw / 5 % used.size()));
      space.free(victim->first, victim->second);
      used.erase(victim);
    }
    int64_t total = 0;
    for (const auto& ranges : {used, space.gaps()}) {
      for (const auto& [address, bytes] : ranges) total += bytes;
    }
    REQUIRE(total == space.end());
  }
}

TEST_CASE("freed memory serves tensors of any size, and can be given back") {
  const auto extent = [](const auto& body) {
    reset_peak_memory();
    const int64_t before = memory_stats().peak_extent;
    body();
    return memory_stats().peak_extent - before;
  };
  const auto hold = [](int64_t n) { return Tensor::ones({n}, DType::kFloat64); };
  const int64_t large = extent([&] { hold(100'000); });
  CHECK(large >= 800'000);
  CHECK(large < 810'000);
  const int64_t small = extent([&] {
    { const Tensor a = hold(100'000); }
    const Tensor b = hold(40'000), c = hold(50'000);
    CHECK(reinterpret_cast<uintptr_t>(c.data<double>()) % 64 == 0);
  });
  CHECK(small == large);
  release_unused_memory();
  CHECK(hold(1000).to_vector<double>() == std::vector<double>(1000, 1));
}

TEST_CASE("out of memory names the op, what was asked and what is held") {
  const Tensor x = Tensor::ones({1}, DType::kFloat32);
  const std::string held = std::to_string(memory_stats().live);
  const auto refusal = [&](int64_t elements) {
    try {
      pad(x, 0, 0, elements - 1);
    } catch (const OutOfMemory& e) {
      return std::string(e.what());
    }
    return std::string("the allocation succeeded");
  };
  const int64_t huge = int64_t{1} << 50;
  CHECK(refusal(huge).find("embed: out of memory: 4503599627370496 bytes asked while " + held) ==
        0);
  const int64_t limit = memory_limit(), asked = int64_t{1} << 20;
  set_memory_limit(2 << 20);
  CHECK(refusal(asked).find("embed: out of memory: 4194304 bytes asked") == 0);
  set_memory_limit(limit);
  CHECK(refusal(asked) == "the allocation succeeded");
  CHECK(std::to_string(memory_stats().live) == held);
}

TEST_CASE("a dry run walks a step without touching data, with the same peak and multiply-adds") {
  const auto ones = [](const Shape& s) {
    return Tensor::ones(s, DType::kFloat32).set_requires_grad(true);
  };
  const Shape x{4, 32, 32, 16}, w{3, 3, 16, 24}, c{24};
  const Usage real = step(Tensor::ones(x, DType::kFloat32), ones(w), ones(c), ones(c));
  const int64_t before = memory_stats().live;
  Usage dry{};
  {
    const DryRun guard;
    dry = step(Tensor::ones(x, DType::kFloat32), ones(w), ones(c), ones(c));
  }
  CHECK(memory_stats().live == before);
  CHECK(real.macs == 2 * 4 * 32 * 32 * 24 * 16 * 9);  // forward and weight gradient
  CHECK(dry.macs == real.macs);
  CHECK(dry.peak == real.peak);
  CHECK(dry.extent == real.extent);
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
