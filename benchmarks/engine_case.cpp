// Computations on the engine as rows.
#include "benchmarks/engine_case.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "engine/autograd.h"
#include "engine/op.h"
#include "engine/ops.h"
#include "tests/support/values.h"

namespace oche::bench {
namespace {

constexpr uint64_t kSeed = 1;

std::vector<double> values_of(const Tensor& t) {
  return cast(t.detach(), DType::kFloat64).to_vector<double>();
}

double norm(const std::vector<double>& v) {
  return std::sqrt(ref::dot(v, v));
}

}  // namespace

std::function<Case(const Arguments&, DType)> engine_case(
    Build build, std::function<double(const Arguments&)> elements) {
  return [=](const Arguments& a, DType dtype) -> Case {
    const Compute compute = build(a, dtype);
    const auto result = std::make_shared<std::vector<Tensor>>();
    const double flops = count_flops(compute);
    return {.run =
                [=] {
                  result->clear();  // so that two results are never held at once
                  *result = compute();
                },
            .check = [=]() -> Check {
              const bool single = dtype == DType::kFloat32;
              const std::vector<Tensor> other =
                  build(a, single ? DType::kFloat64 : DType::kFloat32)();
              return {relative_difference(*result, other),
                      is_reduced(a)        ? kReducedTolerance
                      : a["backward"] == 0 ? kForwardTolerance
                                           : kBackwardTolerance,
                      single ? "the same in float64" : "the same in float32"};
            },
            .bytes = elements(a) * static_cast<double>(size_of(dtype)),
            .flops = flops,
            .repeat = [=] { compute(); },
            .most_copies = 8};
  };
}

Precision row_precision(const Arguments& a) {
  const int64_t precision = a["precision"];
  if (precision >= std::ssize(kPrecisionNames))
    throw std::invalid_argument("precision: expected 0 (fp32), 1 (tf32) or 2 (bf16)");
  return static_cast<Precision>(precision);
}

double relative_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  std::vector<double> differences, norms;
  for (size_t i = 0; i < a.size(); ++i) {
    std::vector<double> u = values_of(a[i]), v = values_of(b[i]);
    if (u.size() != v.size()) return std::numeric_limits<double>::infinity();
    norms.push_back(norm(v));
    for (size_t j = 0; j < v.size(); ++j) v[j] -= u[j];
    differences.push_back(norm(v));
  }
  const double least = norms.empty() ? 0 : *std::ranges::max_element(norms) * 1e-3;
  double worst = 0;
  for (size_t i = 0; i < norms.size(); ++i) {
    const double d = differences[i] / std::max(norms[i], least);
    worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(worst, d);
  }
  return worst;
}

Tensor sample(const Shape& shape, DType dtype, double low, double high, uint32_t seed) {
  int64_t n = 1;
  for (const int64_t extent : shape) n = volume({n, extent});
  const ref::Values values = random_values(n, low, high, seed);
  return dtype == DType::kFloat32 ? Tensor::from(as<float>(values), shape)
                                  : Tensor::from(values, shape);
}

Tensor sample_labels(int64_t n, int64_t classes, uint32_t seed) {
  std::vector<int64_t> labels = random_indices(n + seed, classes);
  labels.erase(labels.begin(), labels.begin() + seed);
  return Tensor::from(labels, {n});
}

std::vector<Tensor> with_gradients(const Tensor& y,
                                   const Tensor& g,
                                   const std::vector<Tensor>& inputs) {
  std::vector<Tensor> results =
      defined_or_zeros(grad(std::vector{y}, inputs, std::vector{g}), inputs);
  results.insert(results.begin(), y.detach());
  return results;
}

std::vector<Tensor> initialised(Module& module) {
  const std::vector<NamedParameter> parameters = module.named_parameters();
  initialise(parameters, kSeed);
  std::vector<Tensor> values;
  for (const NamedParameter& p : parameters) values.push_back(p.parameter->value);
  return values;
}

double count_flops(const std::function<void()>& run) {
  const DryRun dry_run;
  const int64_t before = mac_count();
  run();
  return 2.0 * static_cast<double>(mac_count() - before);
}

}  // namespace oche::bench
