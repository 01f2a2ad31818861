// What the fused ops of a cell share: inputs x0, x1, table, convolution weights.
#pragma once

#include <memory>
#include <vector>

#include "engine/ops/mixed_cell_views.h"

namespace oche {

using CellPlanPtr = std::shared_ptr<const CellPlan>;
// Throws std::invalid_argument when the description or the number of weights is wrong.
CellPlanPtr plan_for(MixedCellSpec spec, std::span<const Tensor> weights);

std::vector<Tensor> cell_inputs(const Tensor& x0,
                                const Tensor& x1,
                                const Tensor& table,
                                std::span<const Tensor> weights);
// Throws std::invalid_argument for shapes and dtypes that do not fit the plan.
void check_cell_inputs(const CellPlan& plan, Inputs in);
CellTensors tensors_of(const CellPlan& plan, Inputs in);

Shape node_shape(const CellPlan& plan, const Tensor& x0);
Shape output_shape(const CellPlan& plan, const Tensor& x0);
int64_t node_pixels(const Tensor& y);

// The inputs as the twin of a cell takes them, to differentiate it with respect to those that are
// `wanted`: handles of its own, so that derivatives are partial ones, since x1 may depend on x0.
// Where the present pass is recorded they lead to the inputs' own graph.
std::vector<Tensor> inputs_of_twin(Inputs in, const Needs& wanted);

// f.operator()<T>() for the element type of `t`, in a dry run too.
template <typename F>
void for_dtype(const Tensor& t, const F& f) {
  t.dtype() == DType::kFloat32 ? f.template operator()<float>() : f.template operator()<double>();
}

}  // namespace oche
