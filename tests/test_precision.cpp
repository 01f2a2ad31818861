// Fused cells with fewer bits than f32 has: how far values and gradients move, what stays as it is,
// what memory is saved. What exactly is rounded, the tests of the kernels check.
#include <cmath>

#include "engine/autograd.h"
#include "nas/search_state.h"
#include "tests/support/catch.h"
#include "tests/support/mixed_cell_sample.h"
#include "tests/support/step.h"

using namespace oche;

namespace {

MixedCellSpec with(MixedCellSpec spec, Precision precision) {
  spec.precision = precision;
  return spec;
}

// y, then the gradients of all inputs.
std::vector<Tensor> values_and_gradients(const MixedCellSpec& spec, const CellSample& s) {
  const Tensor y = fused(spec, s.inputs);
  std::vector<Tensor> all = grad(sum(y * y * y), s.inputs);
  all.insert(all.begin(), y.detach());
  return all;
}

// |got - want| / |want|, of all tensors together.
double relative_error(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const std::vector<double> a = doubles(got[i]), b = doubles(want[i]);
    for (size_t k = 0; k < b.size(); ++k) {
      error += (a[k] - b[k]) * (a[k] - b[k]);
      norm += b[k] * b[k];
    }
  }
  return std::sqrt(error / norm);
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (doubles(a[i]) != doubles(b[i])) return false;
  }
  return a.size() == b.size();
}

nas::SearchConfig search_config(const std::string& precision, const std::string& gradient) {
  nas::SearchConfig c;
  c.layers = 2;
  c.channels = 4;
  c.steps = c.multiplier = 2;
  c.alpha_init = 0.5;
  c.gradient = gradient;
  c.precision = precision;
  return c;
}

}  // namespace

TEST_CASE("precision: values and gradients move by what the bits say") {
  for (const int64_t stride : {1, 2}) {
    const MixedCellSpec spec = cell_spec(3, 2, stride);
    const CellSample s(spec, {4, 8, 8, 16}, DType::kFloat32);
    const std::vector<Tensor> full = values_and_gradients(spec, s);
    const auto error = [&](Precision p, size_t first, size_t count) {
      const std::vector<Tensor> reduced = values_and_gradients(with(spec, p), s);
      const auto part = [&](const std::vector<Tensor>& all) {
        return std::vector<Tensor>(all.begin() + first, all.begin() + first + count);
      };
      return relative_error(part(reduced), part(full));
    };
    CAPTURE(stride);
    const double tf32 = error(Precision::kTensorFloat32, 0, 1);
    const double bf16 = error(Precision::kBFloat16, 0, 1);
    CHECK(tf32 > 1e-5);
    CHECK(tf32 < 5e-3);
    CHECK(bf16 > 4 * tf32);
    CHECK(bf16 < 4e-2);
    CHECK(error(Precision::kTensorFloat32, 1, s.inputs.size()) < 5e-2);
    CHECK(error(Precision::kBFloat16, 1, s.inputs.size()) < 0.2);
  }
}

TEST_CASE("precision: where all bits are wanted they are there") {
  const MixedCellSpec spec = cell_spec(2, 1, 1);
  const MixedCellSpec reduced = with(spec, Precision::kBFloat16);
  const CellSample exact(spec, {2, 5, 6, 4}), s(spec, {2, 5, 6, 4}, DType::kFloat32);
  CHECK(same_bits(values_and_gradients(reduced, exact), values_and_gradients(spec, exact)));
  const std::vector<Tensor> full = values_and_gradients(spec, s);
  CHECK(!same_bits(values_and_gradients(reduced, s), full));
  {
    const FullPrecision all_bits;
    CHECK(same_bits(values_and_gradients(reduced, s), full));
  }
  CHECK(!same_bits(values_and_gradients(reduced, s), full));
}

TEST_CASE("precision: bf16 keeps results in half the memory") {
  const CellSample s(cell_spec(4, 4, 2), {2, 16, 16, 8}, DType::kFloat32);
  const auto kept = [&](Precision p) {
    const int64_t before = memory_stats().live;
    const Tensor y = fused(with(s.spec, p), s.inputs);
    const int64_t moments = 2 * 4 * y.size(3) / 4 * norm_count(s.spec);
    return memory_stats().live - before - y.numel() * 4 - moments;
  };
  const double full = static_cast<double>(kept(Precision::kFloat32));
  CHECK(static_cast<double>(kept(Precision::kBFloat16)) < 0.52 * full);
  CHECK(kept(Precision::kTensorFloat32) == kept(Precision::kFloat32));
}

// The probes of a finite difference differ by little: rounding would be all that is left of them.
TEST_CASE("precision: differences and mixed products are those of fp32") {
  const nas::Batch train = test::random_batch(4, 16, 1), validation = test::random_batch(4, 16, 2);
  for (const std::string gradient : {"finite-difference", "exact-unrolled"}) {
    // With all that comes before the probes in fp32, so that these are at the same places.
    const auto compute = [&](const std::string& precision) {
      nas::SearchState state(search_config(precision, gradient), 3, 10);
      nas::Bilevel problem = state.bilevel(train, validation, 0);
      const auto in_fp32 = [](const std::function<Tensor()>& loss) {
        const FullPrecision all_bits;
        return loss();
      };
      bool first = true;
      problem.train_loss = [&, loss = problem.train_loss] {
        return std::exchange(first, false) ? in_fp32(loss) : loss();
      };
      problem.validation_loss = [&, loss = problem.validation_loss] { return in_fp32(loss); };
      return nas::make_arch_gradient(gradient)->compute(problem, state.inner_step(0.5)).gradients;
    };
    CAPTURE(gradient);
    CHECK(same_bits(compute("bf16"), compute("fp32")));
  }
}

TEST_CASE("precision: a search step in each") {
  const nas::Batch train = test::random_batch(8, 16, 1), validation = test::random_batch(8, 16, 2);
  const auto losses = [&](const std::string& precision) {
    nas::SearchState state(search_config(precision, "first-order"), 3, 10);
    nas::SearchState::StepResult r{};
    for (int64_t i = 0; i < 3; ++i) r = state.step(train, validation, 0.025, i);
    return std::pair(r.train_loss, r.validation_loss);
  };
  const auto full = losses("fp32");
  for (const char* precision : {"tf32", "bf16"}) {
    const auto reduced = losses(precision);
    CAPTURE(precision, full, reduced);
    CHECK(reduced != full);
    CHECK(std::abs(reduced.first - full.first) < 0.05 * full.first);
    CHECK(std::abs(reduced.second - full.second) < 0.05 * full.second);
  }
}

TEST_CASE("precision: what cannot be is refused") {
  nas::SearchConfig c = search_config("bf16", "first-order");
  CHECK_NOTHROW(nas::validate(c));
  c.dtype = DType::kFloat64;
  CHECK_THROWS_WITH(nas::validate(c),
                    "--precision: bf16 is not allowed; expected fp32 with --dtype f64");
  c.dtype = DType::kFloat32;
  c.fuse = false;
  CHECK_THROWS_WITH(
      nas::validate(c),
      "--precision: bf16 is not allowed; expected fp32 with --no-fuse: only fused cells round");
  c = search_config("fp16", "first-order");
  CHECK_THROWS_WITH(nas::validate(c),
                    "--precision: fp16 is not allowed; expected one of fp32, tf32, bf16");
}
