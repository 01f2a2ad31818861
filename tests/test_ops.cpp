// Every row of the table of op cases: values, strides, threads, and derivatives against finite
// differences.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>

#include "engine/autograd.h"
#include "engine/gradcheck.h"
#include "engine/runtime.h"
#include "tests/support/catch.h"
#include "tests/support/op_cases.h"

using namespace oche;

namespace {

constexpr double kGradTolerance = 1e-7;

std::vector<double> as_doubles(const Tensor& t) {
  return cast(t, DType::kFloat64).to_vector<double>();
}

// The bytes of the values, so that -0 differs from 0 and NaN equals itself.
std::vector<uint64_t> bits(const Tensor& t) {
  std::vector<uint64_t> words;
  for (double v : as_doubles(t)) words.push_back(std::bit_cast<uint64_t>(v));
  return words;
}

// The same values behind strides that are not those of a contiguous tensor: every second element of
// a wider one.
Tensor scattered(const Tensor& t) {
  if (t.rank() == 0) return t;
  const NoGrad no_grad;
  const int dim = t.rank() - 1;
  const Tensor wide = embed(t, dim, 2 * t.size(dim) + 1, 1, 2);
  return slice(wide, dim, 1, 2 * t.size(dim) + 1, 2).detach().set_requires_grad(t.requires_grad());
}

// The value of a row, then its gradients: everything that must not depend on strides, threads or
// repetition.
std::vector<std::vector<uint64_t>> all_bits(const OpCase& c, std::span<const Tensor> inputs) {
  const Tensor y = c.fn(inputs);
  std::vector<std::vector<uint64_t>> result{bits(y)};
  if (!y.requires_grad()) return result;
  std::vector<Tensor> wanted;
  for (const Tensor& t : inputs) {
    if (t.requires_grad()) wanted.push_back(t);
  }
  const Tensor g = affine(y.detach(), 0.5, 1);
  for (const Tensor& d : grad(std::span(&y, 1), wanted, std::span(&g, 1), {.retain_graph = true})) {
    result.push_back(d ? bits(d) : std::vector<uint64_t>{});
  }
  return result;
}

Differentiable function_of(const OpCase& c) {
  return [&c](std::span<const Tensor> inputs) { return std::vector{c.fn(inputs)}; };
}

// Rounding of a sum of `terms` products, each at most `scale`, with room for a few operations
// around it.
double tolerance(DType dtype, double terms, double scale) {
  const double eps = dtype == DType::kFloat32 ? std::numeric_limits<float>::epsilon()
                                              : std::numeric_limits<double>::epsilon();
  return eps * (16 + 2 * std::sqrt(terms)) * std::max(1.0, scale);
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::abs(v));
  return most;
}

// Calls f(row, shapes) for every row and every alternative of shapes.
template <typename F>
void for_each_case(F&& f) {
  for (const OpCase& c : op_cases()) {
    for (const Shapes& shapes : c.shapes) {
      CAPTURE(c.op, c.variant, shapes);
      f(c, shapes);
    }
  }
}

struct ThreadsGuard {
  int before = num_threads();
  ~ThreadsGuard() { set_num_threads(before); }
};

}  // namespace

TEST_CASE("every op computes what its reference does") {
  for_each_case([](const OpCase& c, const Shapes& shapes) {
    const std::vector<ref::Array> x = samples(c, shapes);
    const ref::Array expected = c.reference(x);
    double elements = 1;
    for (const Shape& s : shapes) elements += static_cast<double>(numel(s));
    for (const DType dtype : {DType::kFloat64, DType::kFloat32}) {
      CAPTURE(to_string(dtype));
      const Tensor y = c.fn(tensors(c, x, dtype));
      REQUIRE(y.shape() == expected.shape);
      const std::vector<double> actual = as_doubles(y);
      const double bound = tolerance(dtype, elements, largest(expected.values));
      for (size_t i = 0; i < actual.size(); ++i) {
        CAPTURE(i, actual[i], expected.values[i]);
        REQUIRE(std::abs(actual[i] - expected.values[i]) <= bound);
      }
    }
  });
}

TEST_CASE("strides change neither values nor gradients") {
  for_each_case([](const OpCase& c, const Shapes& shapes) {
    const std::vector<Tensor> dense = tensors(c, samples(c, shapes), DType::kFloat32);
    std::vector<Tensor> strided;
    for (const Tensor& t : dense) strided.push_back(scattered(t));
    REQUIRE(all_bits(c, dense) == all_bits(c, strided));
  });
}

TEST_CASE("values and gradients have the same bits for any number of threads, and when repeated") {
  const ThreadsGuard restore;
  for (const OpCase& c : op_cases()) {
    std::vector<Shapes> alternatives{c.shapes[0]};
    if (!c.large.empty()) alternatives.push_back(c.large);
    for (const Shapes& shapes : alternatives) {
      CAPTURE(c.op, c.variant, shapes);
      const std::vector<Tensor> inputs = tensors(c, samples(c, shapes), DType::kFloat32);
      set_num_threads(1);
      const auto alone = all_bits(c, inputs);
      REQUIRE(alone == all_bits(c, inputs));
      for (const int threads : {2, 3}) {
        CAPTURE(threads);
        set_num_threads(threads);
        REQUIRE(alone == all_bits(c, inputs));
      }
    }
  }
}

TEST_CASE("first derivatives agree with finite differences") {
  for_each_case([](const OpCase& c, const Shapes& shapes) {
    const GradcheckReport r =
        gradcheck(function_of(c), tensors(c, samples(c, shapes), DType::kFloat64));
    CAPTURE(to_string(r));
    REQUIRE(r.worst_error <= kGradTolerance);
  });
}

TEST_CASE("second derivatives agree with finite differences of the first") {
  for_each_case([](const OpCase& c, const Shapes& shapes) {
    if (c.order < 2) return;
    const GradcheckReport r =
        gradgradcheck(function_of(c), tensors(c, samples(c, shapes), DType::kFloat64));
    CAPTURE(to_string(r));
    REQUIRE(r.worst_error <= kGradTolerance);
  });
}

TEST_CASE("gradcheck notices a wrong rule, a missing term and a NaN") {
  const Tensor x = Tensor::from(std::vector{0.5, -1.5}, {2}).set_requires_grad(true);
  const auto worst = [&](auto fn) {
    return gradcheck([&](std::span<const Tensor> a) { return std::vector<Tensor>{fn(a[0])}; },
                     std::vector{x})
        .worst_error;
  };
  CHECK(worst([](const Tensor& a) { return a * a; }) <= kGradTolerance);
  CHECK(worst([](const Tensor& a) { return a * a.detach(); }) == Approx(0.5));
  CHECK(worst([](const Tensor& a) { return a * 1.000001 + (a * -1e-6).detach(); }) ==
        Approx(1e-6).epsilon(1e-3));
  CHECK(worst([](const Tensor& a) { return a.detach(); }) == Approx(1));
  CHECK(std::isnan(worst([](const Tensor& a) { return a * std::nan(""); })));

  const auto cube = [](std::span<const Tensor> a) { return std::vector{a[0] * a[0] * a[0]}; };
  const auto broken = [](std::span<const Tensor> a) {
    return std::vector{a[0] * a[0] * a[0].detach() * 1.5};
  };
  CHECK(gradgradcheck(cube, std::vector{x}).worst_error <= kGradTolerance);
  CHECK(gradgradcheck(broken, std::vector{x}).worst_error > 0.1);
  CHECK_THROWS_AS(gradcheck(cube, std::vector{cast(x, DType::kFloat32)}), std::invalid_argument);
}

// The table of docs/gradients.md.
TEST_CASE("table of worst gradient errors", "[.table]") {
  struct Worst {
    double first = 0, second = 0;
    int64_t entries = 0, rows = 0;
  };
  std::map<std::string, Worst> table;
  for (const OpCase& c : op_cases()) ++table[c.op].rows;
  for_each_case([&](const OpCase& c, const Shapes& shapes) {
    const std::vector<Tensor> inputs = tensors(c, samples(c, shapes), DType::kFloat64);
    Worst& w = table[c.op];
    const GradcheckReport first = gradcheck(function_of(c), inputs);
    w.first = std::max(w.first, first.worst_error);
    w.entries += first.checked;
    if (c.order < 2) return;
    const GradcheckReport second = gradgradcheck(function_of(c), inputs);
    w.second = std::max(w.second, second.worst_error);
    w.entries += second.checked;
  });
  fmt::print("| op | rows | entries | first order | second order |\n|---|---:|---:|---:|---:|\n");
  for (const auto& [op, w] : table) {
    fmt::print("| `{}` | {} | {} | {:.1e} | {:.1e} |\n", op, w.rows, w.entries, w.first, w.second);
  }
}
