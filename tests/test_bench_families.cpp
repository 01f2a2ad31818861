// Every family of `oche bench`: its names, its declared traffic, and its check, at a small size.
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "benchmarks/engine_case.h"
#include "benchmarks/families.h"
#include "tests/support/catch.h"

namespace oche::bench {
namespace {

// A size at which every family runs in a moment.
Row small_row(const Family& family) {
  static const std::map<std::string_view, int64_t> small = {{"n", 3},
                                                            {"h", 6},
                                                            {"w", 8},
                                                            {"c", 6},
                                                            {"out_c", 4},
                                                            {"outer", 5},
                                                            {"inner", 3},
                                                            {"m", 9},
                                                            {"k", 7},
                                                            {"elements", 1001},
                                                            {"bytes", 4096},
                                                            {"layers", 1},
                                                            {"channels", 2},
                                                            {"batch", 2},
                                                            {"backward", 1}};
  Row row{&family, Arguments(family.parameters)};
  for (const auto& [name, value] : small) {
    if (row.arguments.has(name)) row.arguments.set(name, value);
  }
  return row;
}

}  // namespace

TEST_CASE("every row has a name of its own, which names it") {
  const std::vector<Family> all = all_families();
  std::set<std::string> names;
  for (const Row& row : default_rows(all)) {
    CAPTURE(row.name());
    CHECK(names.insert(row.name()).second);
    CHECK(parse_row(row.name(), all).name() == row.name());
  }
  for (const Family& family : all) {
    CAPTURE(family.name);
    CHECK_FALSE(family.instances.empty());
  }
}

TEST_CASE("every family passes its check in both precisions") {
  const std::set<std::string> above_kernels = {"primitive", "cell", "network", "search step"};
  for (const Family& family : all_families()) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
      if (family.f32_only && dtype == DType::kFloat64) continue;
      // The execution model takes its time, and these hold either precision against the other.
      if (on_cuda() && above_kernels.contains(family.group) && dtype == DType::kFloat64) continue;
      const Row row = small_row(family);
      CAPTURE(row.name(), to_string(dtype));
      const Case c = family.make(row.arguments, dtype);
      c.run();
      const Check check = c.check();
      CAPTURE(check.error, check.tolerance, check.against);
      CHECK(check.passed());
      CHECK(check.tolerance < 0.6);
      CHECK(c.bytes > 0);
    }
  }
}

TEST_CASE("a check fails when the result is another") {
  // accumulate changes its result with every run, and is checked against the first.
  for (const Family& family : all_families()) {
    if (family.name != "accumulate") continue;
    const Case c = family.make(small_row(family).arguments, DType::kFloat32);
    c.run();
    CHECK(c.check().passed());
    c.run();
    CHECK_FALSE(c.check().passed());
  }
}

TEST_CASE("the difference of two precisions is that of the tensor that fares worst") {
  const auto tensor = [](const std::vector<double>& v) {
    return Tensor::from(v, {static_cast<int64_t>(v.size())});
  };
  const Tensor large = tensor({300, 400}), small = tensor({3, 4}), tiny = tensor({1e-9});
  CHECK(relative_difference({large, small}, {large, small}) == 0);
  CHECK(relative_difference({large, tensor({3, 5})}, {large, small}) == Approx(0.2));
  CHECK(relative_difference({large, tensor({2e-9})}, {large, tiny}) < 1e-8);  // next to nothing
  CHECK(std::isinf(relative_difference({large}, {large, small})));
  CHECK(std::isinf(relative_difference({tensor({1})}, {small})));
  CHECK(std::isinf(
      relative_difference({tensor({3, std::numeric_limits<double>::quiet_NaN()})}, {small})));
}

}  // namespace oche::bench
