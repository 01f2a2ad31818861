// The fused op of a cell of mixed ops, its fused backward, and the derivative of that by way of the
// composite.
#include "engine/mixed_cell.h"

#include <algorithm>

#include "engine/autograd.h"
#include "engine/ops/mixed_cell_op.h"

namespace oche {
namespace {

// (g, x0, x1, table, weights, y, mean, var, those of the kept tensors that are needed) -> gradients
// of x0, x1, table and weights.
struct MixedCellBackward final : Op {
  MixedCellBackward(CellPlanPtr plan, const Needs& wanted)
      : plan(std::move(plan)), demand(*this->plan, wanted) {}
  const CellPlanPtr plan;
  const CellDemand demand;

  size_t cell_size() const { return CellPlan::kWeights + plan->weights; }
  std::string_view name() const override { return "mixed_cell_backward"; }
  bool saves_input(size_t i, const Needs&) const override { return i <= cell_size(); }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    std::vector<TensorSpec> specs;
    for (size_t i = 0; i < cell_size(); ++i) {
      const bool wanted = demand.needs[i];
      specs.push_back({wanted ? in[1 + i].shape() : Shape{0}, in[0].dtype(), wanted});
    }
    return specs;
  }
  void forward(Inputs in, Outputs out) const override {
    CellTensors t = tensors_of(*plan, in.subspan(1));
    Inputs rest = in.subspan(1 + cell_size());
    t.y = rest[0];
    t.mean = rest[1];
    t.var = rest[2];
    size_t next = 3;
    const std::vector<bool> kept = demand.kept();
    for (size_t i = 0; i < kept.size(); ++i) {
      if (kept[i]) t.kept[i] = rest[next++];
    }
    const auto wanted = [&](size_t i) { return demand.needs[i] ? out[i] : Tensor(); };
    CellGradients grads{{wanted(0), wanted(1)}, wanted(CellPlan::kTable), {}};
    for (size_t i = CellPlan::kWeights; i < cell_size(); ++i) grads.weights.push_back(wanted(i));
    for_dtype(in[0], [&]<typename T>() { cell_backward<T>(*plan, demand, t, in[0], grads); });
  }
  // Each convolution once for what it reads and once for its weights.
  int64_t macs(Inputs in, Outputs) const override {
    const bool weights = std::any_of(
        demand.needs.begin() + CellPlan::kWeights, demand.needs.end(), [](bool n) { return n; });
    const int64_t forward = node_pixels(in[0]) * plan->macs(in[1].size(3));
    return weights ? 2 * forward : forward;
  }

  // The gradients are those of the composite, which is built anew from what this op saved,
  // differentiated twice, and gone when this returns, unless a further order wants it.
  Gradients backward(Inputs in, Outputs, const Gradients& u, const Needs& needs) const override {
    const bool record = grad_enabled();
    Needs differentiated = needs;
    for (size_t i = 0; i < cell_size(); ++i)
      differentiated[1 + i] = needs[1 + i] || demand.needs[i];
    // g, x0, x1, table, weights
    const std::vector<Tensor> local =
        inputs_of_twin(in.subspan(0, 1 + cell_size()), differentiated);
    const GradModeGuard twice(true);
    Gradients grads(in.size());
    const Tensor y = mixed_cell_composite(
        plan->spec,
        local[1],
        local[2],
        local[1 + CellPlan::kTable],
        std::span(local).subspan(1 + CellPlan::kWeights),
        {[&](int64_t, const Tensor& t) { return batch_norm(t, {}, {}, plan->spec.eps).y; }});
    if (!y.requires_grad()) return grads;

    std::vector<Tensor> first, second, d, cotangents;
    std::vector<size_t> places;
    for (size_t i = 0; i < cell_size(); ++i) {
      if (!u[i]) continue;
      first.push_back(local[1 + i]);
      cotangents.push_back(u[i]);
    }
    const std::vector<Tensor> all =
        grad(std::span(&y, 1), first, std::span(local.data(), 1), {.create_graph = true});
    std::vector<Tensor> v;
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i] || !all[i].requires_grad()) continue;  // constant in everything
      d.push_back(all[i]);
      v.push_back(cotangents[i]);
    }
    for (size_t i = 0; i <= cell_size(); ++i) {
      if (!needs[i]) continue;
      second.push_back(local[i]);
      places.push_back(i);
    }
    if (d.empty() || second.empty()) return grads;
    const std::vector<Tensor> result = grad(d, second, v, {.create_graph = record});
    for (size_t i = 0; i < places.size(); ++i) grads[places[i]] = result[i];
    return grads;
  }
};

// (x0, x1, table, weights) -> (y, mean, var, kept tensors if `keeps`)
struct MixedCell final : Op {
  MixedCell(CellPlanPtr plan, bool keeps) : plan(std::move(plan)), keeps(keeps) {}
  const CellPlanPtr plan;
  const bool keeps;

  std::string_view name() const override { return "mixed_cell"; }
  bool saves_input(size_t, const Needs&) const override { return true; }
  bool saves_output(size_t i, const Needs& needs) const override {
    return i < 3 || CellDemand(*plan, needs).kept()[i - 3];
  }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check_cell_inputs(*plan, in);
    const DType dtype = in[0].dtype();
    const Shape node = node_shape(*plan, in[0]), y = output_shape(*plan, in[0]);
    const Shape moments{plan->rows, node[3]};
    std::vector<TensorSpec> specs{{y, dtype}, {moments, dtype, false}, {moments, dtype, false}};
    for (int64_t i = 0; keeps && i < plan->kept; ++i)
      specs.push_back({node, plan->kept_dtype(i, dtype), false});
    return specs;
  }
  void forward(Inputs in, Outputs out) const override {
    CellTensors t = tensors_of(*plan, in);
    t.y = out[0];
    t.mean = out[1];
    t.var = out[2];
    if (keeps) t.kept.assign(out.begin() + 3, out.end());
    for_dtype(in[0], [&]<typename T>() { cell_forward<T>(*plan, t); });
  }
  int64_t macs(Inputs in, Outputs out) const override {
    return node_pixels(out[0]) * plan->macs(in[0].size(3));
  }
  Gradients backward(Inputs in,
                     Outputs out,
                     const Gradients& g,
                     const Needs& needs) const override {
    Needs wanted = plan->reached();
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = wanted[i] && needs[i];
    if (std::ranges::none_of(wanted, [](bool w) { return w; })) return Gradients(in.size());
    std::vector<Tensor> inputs{g[0]};
    inputs.insert(inputs.end(), in.begin(), in.end());
    inputs.insert(inputs.end(), {out[0].detach(), out[1], out[2]});
    const std::vector<bool> kept = CellDemand(*plan, wanted).kept();
    for (size_t i = 0; i < kept.size(); ++i) {
      if (kept[i]) inputs.push_back(out[3 + i]);
    }
    Gradients grads = apply_multi<MixedCellBackward>(std::move(inputs), plan, wanted);
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (!wanted[i]) grads[i] = {};
    }
    return grads;
  }
};

}  // namespace

MixedCellResult mixed_cell(const MixedCellSpec& spec,
                           const Tensor& x0,
                           const Tensor& x1,
                           const Tensor& table,
                           std::span<const Tensor> weights) {
  const CellPlanPtr plan = plan_for(spec, weights);
  std::vector<Tensor> inputs = cell_inputs(x0, x1, table, weights);
  const bool keeps = grad_enabled() && std::ranges::any_of(inputs, [](const Tensor& t) {
                       return t.defined() && t.requires_grad();
                     });
  const std::vector<Tensor> out = apply_multi<MixedCell>(std::move(inputs), plan, keeps);
  return {out[0], out[1], out[2], plan->norm_rows};
}

}  // namespace oche
