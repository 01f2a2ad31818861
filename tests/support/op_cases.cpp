// The table of op cases: its parts joined, samples, and the rows of the elementwise ops.
#include "tests/support/op_cases.h"

#include <cmath>

#include "engine/autograd.h"
#include "tests/support/reference_ops.h"

namespace oche {
namespace {

using ref::Arrays;

// Shapes for maps of one input: odd tails, a size-1 and an empty one.
const std::vector<Shapes> kOne = {{{2, 5}}, {{3, 1, 7}}, {{1}}, {{}}, {{0, 3}}};
// For two inputs, broadcast either way.
const std::vector<Shapes> kTwo = {{{2, 5}, {2, 5}},
                                  {{2, 3, 5}, {3, 1}},
                                  {{4}, {3, 4}},
                                  {{}, {3}},
                                  {{2, 1, 3}, {2, 1}},
                                  {{0, 3}, {3}}};
const Shapes kLargeOne = {{37, 1009}};
const Shapes kLargeTwo = {{37, 1009}, {1009}};

OpCase unary(std::string op,
             Tensor (*fn)(const Tensor&),
             double (*f)(double),
             Domain domain = Domain::kSigned) {
  return {.op = std::move(op),
          .shapes = kOne,
          .fn = [fn](Args a) { return fn(a[0]); },
          .reference = [f](Arrays a) { return ref::map(a[0], f); },
          .domain = domain,
          .large = kLargeOne};
}

OpCase binary(std::string op,
              Tensor (*fn)(const Tensor&, const Tensor&),
              double (*f)(double, double)) {
  return {.op = std::move(op),
          .shapes = kTwo,
          .fn = [fn](Args a) { return fn(a[0], a[1]); },
          .reference = [f](Arrays a) { return ref::binary(a[0], a[1], f); },
          .large = kLargeTwo};
}

OpCase scalar(std::string variant, std::function<Tensor(const Tensor&)> fn, double (*f)(double)) {
  return {.op = "affine",
          .variant = std::move(variant),
          .shapes = kOne,
          .fn = [fn](Args a) { return fn(a[0]); },
          .reference = [f](Arrays a) { return ref::map(a[0], f); }};
}

double sign_of(double x) {
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  const RandomAddress address{random_key(1, module_id("op_cases"), Purpose::kDropout)};
  return {
      binary(
          "add", [](auto& a, auto& b) { return a + b; }, [](double a, double b) { return a + b; }),
      binary(
          "subtract",
          [](auto& a, auto& b) { return a - b; },
          [](double a, double b) { return a - b; }),
      binary(
          "multiply",
          [](auto& a, auto& b) { return a * b; },
          [](double a, double b) { return a * b; }),
      binary(
          "divide",
          [](auto& a, auto& b) { return a / b; },
          [](double a, double b) { return a / b; }),
      binary("gate", gate, [](double a, double b) { return b <= 0 ? 0 : a; }),
      {.op = "multiply",
       .variant = "x * x",
       .shapes = kOne,
       .fn = [](Args a) { return a[0] * a[0]; },
       .reference = [](Arrays a) { return ref::map(a[0], [](double x) { return x * x; }); }},
      {.op = "multiply",
       .variant = "dropout",
       .shapes = kOne,
       .fn = [address](Args a) { return dropout(a[0], 0.25, address); },
       .reference =
           [address](Arrays a) {
             const Tensor mask = dropout(Tensor::ones(a[0].shape, DType::kFloat64), 0.25, address);
             return ref::binary(a[0],
                                {a[0].shape, mask.to_vector<double>()},
                                [](double x, double m) { return x * m; });
           }},
      unary("gate", relu, [](double x) { return std::max(x, 0.0); }),
      scalar(
          "affine",
          [](auto& x) { return affine(x, 1.5, -0.25); },
          [](double x) { return 1.5 * x - 0.25; }),
      scalar(
          "x + c", [](auto& x) { return x + 0.5; }, [](double x) { return x + 0.5; }),
      scalar(
          "c + x", [](auto& x) { return 0.5 + x; }, [](double x) { return 0.5 + x; }),
      scalar(
          "x - c", [](auto& x) { return x - 0.5; }, [](double x) { return x - 0.5; }),
      scalar(
          "c - x", [](auto& x) { return 0.5 - x; }, [](double x) { return 0.5 - x; }),
      scalar(
          "x * c", [](auto& x) { return x * -3.0; }, [](double x) { return x * -3.0; }),
      scalar(
          "c * x", [](auto& x) { return -3.0 * x; }, [](double x) { return -3.0 * x; }),
      scalar(
          "x / c", [](auto& x) { return x / 4.0; }, [](double x) { return x / 4.0; }),
      unary(
          "negate", [](auto& x) { return -x; }, [](double x) { return -x; }),
      unary("exp", exp, std::exp),
      unary("log", log, std::log, Domain::kPositive),
      unary("sqrt", sqrt, std::sqrt, Domain::kPositive),
      unary("abs", abs, std::fabs),
      unary("sign", sign, sign_of),
      unary("reciprocal", reciprocal, [](double x) { return 1 / x; }),
      unary("sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }),
      unary("tanh", tanh, std::tanh),
      {.op = "cast",
       .variant = "there and back",
       .shapes = kOne,
       .fn = [](Args a) { return cast(cast(a[0], DType::kUInt8), a[0].dtype()); },
       .reference = [](Arrays a) { return ref::map(a[0], [](double x) { return std::trunc(x); }); },
       .domain = Domain::kPositive},
      {.op = "cast",
       .variant = "f64",
       .shapes = kOne,
       .fn = [](Args a) { return cast(a[0], DType::kFloat64); },
       .reference = [](Arrays a) { return a[0]; }},
  };
}

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> joined;
    for (auto part :
         {elementwise_cases, shape_cases, matrix_cases, image_cases, norm_cases, cell_cases}) {
      for (OpCase& c : part()) joined.push_back(std::move(c));
    }
    return joined;
  }();
  return all;
}

std::vector<ref::Array> samples(const OpCase& c, const Shapes& shapes) {
  std::vector<ref::Array> arrays;
  for (size_t k = 0; k < shapes.size(); ++k) {
    const int64_t n = numel(shapes[k]);
    const std::vector<int64_t> order =
        shuffled_indices(1, Purpose::kPerturb, static_cast<int64_t>(k), n);
    RandomWords words(random_key(1, module_id(c.op + c.variant), Purpose::kPerturb),
                      static_cast<int64_t>(k));
    ref::Array a{shapes[k], {}};
    for (int64_t place : order) {  // a grid of magnitudes, shuffled, with random signs
      const double magnitude =
          0.2 + 1.3 * (static_cast<double>(place) + 0.5) / static_cast<double>(n);
      const bool negative = c.domain == Domain::kSigned && words.next() % 2 == 0;
      a.values.push_back(static_cast<float>(negative ? -magnitude : magnitude));
    }
    arrays.push_back(std::move(a));
  }
  return arrays;
}

std::vector<Tensor> tensors(const OpCase& c, std::span<const ref::Array> samples, DType dtype) {
  std::vector<Tensor> ts;
  for (const ref::Array& a : samples) {
    const Tensor t = cast(Tensor::from(a.values, a.shape), dtype).clone();
    const bool constant =
        std::find(c.constants.begin(), c.constants.end(), ts.size()) != c.constants.end();
    ts.push_back(t.set_requires_grad(!constant && c.order > 0));
  }
  return ts;
}

Tensor flat(const std::vector<Tensor>& parts) {
  std::vector<Tensor> rows;
  for (const Tensor& t : parts) rows.push_back(reshape(t, {t.numel()}));
  return concat(rows, 0);
}

std::vector<Tensor> recorded_gradient(const Tensor& y,
                                      const Tensor& g,
                                      const std::vector<Tensor>& xs) {
  return defined_or_zeros(grad(std::span(&y, 1), xs, std::span(&g, 1), {.create_graph = true}), xs);
}

ref::Array sample_index_array(const Shape& shape, int64_t n) {
  ref::Array index{shape, {}};
  for (int64_t i = 0; i < numel(shape); ++i)
    index.values.push_back(static_cast<double>((5 * i + 2) % n));
  return index;
}

Tensor sample_index(const Shape& shape, int64_t n) {
  return cast(Tensor::from(sample_index_array(shape, n).values, shape), DType::kInt64);
}

}  // namespace oche
