// What rows above the kernels are made of: computations on the engine, held against the same
// computation in the other precision.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmarks/row.h"
#include "engine/mixed_cell.h"
#include "engine/nn.h"
#include "engine/tensor.h"

namespace oche::bench {

// What is computed, from fixed inputs: each call gives the same tensors.
using Compute = std::function<std::vector<Tensor>()>;

// Of the relative 2-norm of the difference between precisions. Where rounding decides a sign before
// a relu or the winner of a maximum, a forward pass hardly changes, but one pixel's gradient does
// entirely, and with it the gradients that sum over it.
inline constexpr double kForwardTolerance = 1e-3, kBackwardTolerance = 0.1;

// In reduced precision most relus and maxima near their kinks go either way.
inline constexpr double kReducedTolerance = 0.5;

// The last parameter of rows with fused cells, 0 fp32, 1 tf32, 2 bf16; f64 rows have all bits.
inline constexpr Parameter kPrecisionParameter = {"precision", 0, 0};
// Throws std::invalid_argument for others.
Precision row_precision(const Arguments& a);
inline bool is_reduced(const Arguments& a) {
  return a.has("precision") && a["precision"] != 0;
}

// `build` sets the computation up for a row, which has a parameter `backward`, in one precision.
// The row is checked against the other. `elements`: how many are read and written at least.
using Build = std::function<Compute(const Arguments&, DType)>;
std::function<Case(const Arguments&, DType)> engine_case(
    Build build, std::function<double(const Arguments&)> elements);

// max_i |a_i - b_i| / |b_i| in 2-norms; a norm below a thousandth of the largest counts as that.
double relative_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b);

// Samples in [low, high], the same for both precisions up to rounding.
Tensor sample(const Shape& shape, DType dtype, double low = -1, double high = 1, uint32_t seed = 1);
Tensor sample_labels(int64_t n, int64_t classes, uint32_t seed);

// y, and the gradients of <y, g> with respect to `inputs`.
std::vector<Tensor> with_gradients(const Tensor& y,
                                   const Tensor& g,
                                   const std::vector<Tensor>& inputs);

template <typename T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

// The module's parameters, drawn from a fixed seed.
std::vector<Tensor> initialised(Module& module);

// Two for each multiply-add of convolutions and matrix products that `run` applies.
double count_flops(const std::function<void()>& run);

}  // namespace oche::bench
