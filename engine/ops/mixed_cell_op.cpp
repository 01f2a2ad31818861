// What the fused ops of a cell share.
#include "engine/ops/mixed_cell_op.h"

#include <fmt/format.h>

#include <numeric>
#include <stdexcept>

namespace oche {
namespace {

// Another handle on the same elements, a node later in the graph.
Tensor alias(const Tensor& t) {
  std::vector<int> dims(t.rank());
  std::iota(dims.begin(), dims.end(), 0);
  return permute(t, dims);
}

std::string text(const Tensor& t) {
  return fmt::format("{} {}", to_string(t.dtype()), to_string(t.shape()));
}

void expect(const char* what, const Tensor& t, const Shape& shape, DType dtype) {
  if (t.shape() == shape && t.dtype() == dtype) return;
  throw std::invalid_argument(fmt::format(
      "mixed_cell: {} is {}; expected {} {}", what, text(t), to_string(dtype), to_string(shape)));
}

thread_local int full_precision = 0;

}  // namespace

FullPrecision::FullPrecision() {
  ++full_precision;
}
FullPrecision::~FullPrecision() {
  --full_precision;
}
bool FullPrecision::active() {
  return full_precision > 0;
}

CellPlanPtr plan_for(MixedCellSpec spec, std::span<const Tensor> weights) {
  if (FullPrecision::active()) spec.precision = Precision::kFloat32;
  auto plan = std::make_shared<const CellPlan>(std::move(spec));
  if (std::ssize(weights) != plan->weights) {
    throw std::invalid_argument(fmt::format(
        "mixed_cell: {} convolution weights; expected {}", weights.size(), plan->weights));
  }
  return plan;
}

std::vector<Tensor> cell_inputs(const Tensor& x0,
                                const Tensor& x1,
                                const Tensor& table,
                                std::span<const Tensor> weights) {
  std::vector<Tensor> inputs{x0, x1, table};
  inputs.insert(inputs.end(), weights.begin(), weights.end());
  return inputs;
}

void check_cell_inputs(const CellPlan& plan, Inputs in) {
  const Tensor &x = in[0], &table = in[CellPlan::kTable];
  const DType dtype = x.dtype();
  if (!is_floating(dtype) || x.rank() != 4 || x.numel() == 0) {
    throw std::invalid_argument(
        fmt::format("mixed_cell: x0 is {}; expected f32 or f64 (N, H, W, C), not empty", text(x)));
  }
  expect("x1", in[1], x.shape(), dtype);
  expect("the table", table, table.shape(), dtype);
  const int64_t C = x.size(3);
  for (const CellPlan::Term& t : plan.terms) {
    const Branch& b = t.branch;
    if (b.place < 0 || b.place >= table.numel()) {
      throw std::invalid_argument(
          fmt::format("mixed_cell: weight {} of a table of {}", b.place, table.numel()));
    }
    const auto weight = [&](int64_t i) { return in[CellPlan::kWeights + t.weight + i]; };
    for (int64_t i = 0; t.separable() && i < b.blocks; ++i) {
      expect("a depthwise weight", weight(2 * i), {b.kernel, b.kernel, 1, C}, dtype);
      expect("a pointwise weight", weight(2 * i + 1), {1, 1, C, C}, dtype);
    }
    for (int64_t h = 0; t.reduces() && h < 2; ++h) {
      const int64_t out = h == 0 ? C / 2 : C - C / 2;
      expect("half of a factorized reduce", weight(h), {1, 1, C, out}, dtype);
    }
  }
}

CellTensors tensors_of(const CellPlan& plan, Inputs in) {
  CellTensors t{{in[0], in[1]}, in[CellPlan::kTable], {}, {}, {}, {}, {}};
  const Inputs weights = in.subspan(CellPlan::kWeights, plan.weights);
  t.weights.assign(weights.begin(), weights.end());
  t.kept.resize(plan.kept);
  return t;
}

Shape node_shape(const CellPlan& plan, const Tensor& x0) {
  Shape node = x0.shape();
  for (const int dim : {1, 2}) node[dim] = (node[dim] + plan.stride - 1) / plan.stride;
  return node;
}

Shape output_shape(const CellPlan& plan, const Tensor& x0) {
  Shape y = node_shape(plan, x0);
  y[3] *= plan.spec.multiplier;
  return y;
}

int64_t node_pixels(const Tensor& y) {
  return y.numel() / y.size(3);
}

std::vector<Tensor> inputs_of_twin(Inputs in, const Needs& wanted) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < in.size(); ++i) {
    inputs.push_back(grad_enabled() && in[i].requires_grad()
                         ? alias(in[i])
                         : in[i].detach().set_requires_grad(wanted[i]));
  }
  return inputs;
}

}  // namespace oche
