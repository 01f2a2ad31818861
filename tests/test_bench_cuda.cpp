// Times on a CUDA device: copies of a row, how they are launched, what stands beside them.
#include <vector>

#include "benchmarks/device_timing.h"
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "kernels/elementwise.h"
#include "tests/support/catch.h"

namespace oche::bench {
namespace {

constexpr MeasureOptions kQuick{.repetitions = 3, .min_seconds = 1e-9};

// Adds ones to `n` zeros.
Case counting(int64_t n, std::vector<Buffer<float>>& made) {
  const Buffer<float> one(std::vector<float>(n, 1)), y(std::vector<float>(n, 0));
  made.push_back(y);
  return {
      .run = launch([=](auto& ctx) { kernels::accumulate<float>(ctx, n, one.data(), y.data()); }),
      .check = [] { return Check{}; },
      .bytes = 3 * y.bytes()};
}

}  // namespace

TEST_CASE("cuda: copies of a row are run alike, each on data of its own", "[cuda]") {
  if (!on_cuda()) SKIP("the default device is the CPU");
  for (const Launches launches : {Launches::kRecorded, Launches::kOneByOne}) {
    for (const int64_t most : {1, 5, 64}) {
      std::vector<Buffer<float>> made;
      const auto make = [&] {
        Case c = counting(100, made);
        c.launches = launches;
        c.most_copies = most;
        return c;
      };
      const Case first = make();
      first.run();
      const DeviceTimes times = time_on_device("counting", first, make, kQuick);
      CAPTURE(times.launches, most);
      CHECK(times.copies == most);
      CHECK((times.launches == "graph") == (launches == Launches::kRecorded));
      REQUIRE(times.seconds.size() == 3);
      for (const double s : times.seconds) CHECK(s > 0);
      REQUIRE(static_cast<int64_t>(made.size()) == most);
      // One run of each, the warm-up, and at least one round of each repetition.
      const std::vector<float> counted = made.front().values();
      CHECK(counted.front() >= 1 + 1 + 3);
      for (const Buffer<float>& y : made) CHECK(y.values() == counted);
    }
  }
}

TEST_CASE("cuda: what is larger than the cache needs few copies", "[cuda]") {
  if (!on_cuda()) SKIP("the default device is the CPU");
  std::vector<Buffer<float>> made;
  const auto make = [&] {
    Case c = counting(1, made);
    c.bytes = 1e8;
    return c;
  };
  CHECK(time_on_device("large", make(), make, kQuick).copies == 2);
}

TEST_CASE("cuda: what a graph cannot hold is launched, with the reason", "[cuda]") {
  if (!on_cuda()) SKIP("the default device is the CPU");
  const auto make = [] {
    return Case{.run = [] { synchronize(default_device()); },
                .check = [] { return Check{}; },
                .bytes = 8,
                .most_copies = 2};
  };
  const DeviceTimes times = time_on_device("waiting", make(), make, kQuick);
  CAPTURE(times.launches);
  CHECK(times.launches.starts_with("one by one: "));
  CHECK(times.launches.size() > 20);
  CHECK(times.seconds.size() == 3);
}

TEST_CASE("cuda: a copy of a size is measured once", "[cuda]") {
  if (!on_cuda()) SKIP("the default device is the CPU");
  CopyTimes copies(kQuick);
  const double seconds = copies.seconds(4096);
  CHECK(seconds > 0);
  CHECK(copies.seconds(4096) == seconds);
  const Measurement m{.row = "row",
                      .short_name = "row",
                      .family = "row",
                      .group = "",
                      .arguments = {},
                      .seconds = {2, 4, 3},
                      .copy_seconds = 1.5};
  CHECK(m.percent_of_copy() == 50);
}

TEST_CASE("cuda: baselines are those of the device", "[cuda]") {
  if (!on_cuda()) SKIP("the default device is the CPU");
  bool copy = false;
  for (const Family& family : all_families()) {
    CHECK_FALSE(family.name.starts_with("onednn/"));
    CHECK_FALSE(family.name.starts_with("openblas/"));
    copy = copy || family.name == "copy";
    if (!family.name.starts_with("cudnn/")) continue;
    const Row row{&family, Arguments(family.parameters)};
    CHECK_FALSE(row.arguments.has("relu"));
    CHECK_FALSE(row.arguments.has("groups"));
  }
  CHECK(copy);
}

}  // namespace oche::bench
