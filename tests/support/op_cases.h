// The table of op cases: for every op, what it computes, on which shapes, and how smooth it is.
// Value tests, gradient checks and benchmarks walk over it; `op_records` fails when an op has no
// row.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/ops.h"
#include "tests/support/array.h"

namespace oche {

using Args = std::span<const Tensor>;
using Shapes = std::vector<Shape>;  // of all inputs

// All samples have magnitudes from 0.2 to 1.5, distinct within a tensor: away from kinks, poles and
// ties by more than the step of a difference quotient.
enum class Domain { kSigned, kPositive };

struct OpCase {
  std::string op;  // the Op's name()
  std::string variant = {};
  std::vector<Shapes> shapes;
  std::function<Tensor(Args)> fn;
  std::function<ref::Array(ref::Arrays)> reference;
  Domain domain = Domain::kSigned;
  std::vector<size_t> constants = {};  // the inputs in which the op is constant by contract
  int order = 2;                       // how often it is differentiated: 0, 1 or 2
  Shapes large = {};                   // shapes that several threads share; empty: none
};

const std::vector<OpCase>& op_cases();

// The tables that op_cases() joins.
std::vector<OpCase> elementwise_cases();
std::vector<OpCase> shape_cases();   // views, copies, reductions
std::vector<OpCase> matrix_cases();  // products, softmax, losses, mixed sums
std::vector<OpCase> image_cases();   // convolutions, pools
std::vector<OpCase> norm_cases();    // batch normalisation
std::vector<OpCase> cell_cases();    // fused cells

// Fixed samples of a row, the same at every call; representable in f32.
std::vector<ref::Array> samples(const OpCase& c, const Shapes& shapes);
std::vector<Tensor> tensors(const OpCase& c, std::span<const ref::Array> samples, DType dtype);

// All elements of `parts` in one row, for rows about functions with several results.
Tensor flat(const std::vector<Tensor>& parts);
// d <g, y> / d xs, recorded: how rows reach the backward ops.
std::vector<Tensor> recorded_gradient(const Tensor& y,
                                      const Tensor& g,
                                      const std::vector<Tensor>& xs);
// An index tensor for gather and scatter_add, and its double: entry i of the row-major order is (5
// i + 2) mod n.
Tensor sample_index(const Shape& shape, int64_t n);
ref::Array sample_index_array(const Shape& shape, int64_t n);

}  // namespace oche
