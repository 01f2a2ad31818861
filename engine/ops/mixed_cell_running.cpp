// The fused op of a cell that normalises by given moments: for passes that evaluate a network.
#include <fmt/format.h>

#include <stdexcept>

#include "engine/autograd.h"
#include "engine/ops/mixed_cell_op.h"

namespace oche {
namespace {

// (x0, x1, table, weights, mean and var of each normalisation) -> y
struct MixedCellRunning final : Op {
  explicit MixedCellRunning(CellPlanPtr plan) : plan(std::move(plan)) {}
  const CellPlanPtr plan;

  size_t first_moments() const { return CellPlan::kWeights + plan->weights; }
  std::string_view name() const override { return "mixed_cell_running"; }
  bool saves_input(size_t, const Needs&) const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check_cell_inputs(*plan, in);
    for (size_t i = first_moments(); i < in.size(); ++i) {
      if (in[i].shape() == Shape{in[0].size(3)} && in[i].dtype() == in[0].dtype()) continue;
      throw std::invalid_argument(fmt::format("{}: moments are {} {}; expected {} ({})",
                                              name(),
                                              to_string(in[i].dtype()),
                                              to_string(in[i].shape()),
                                              to_string(in[0].dtype()),
                                              in[0].size(3)));
    }
    return {{output_shape(*plan, in[0]), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    CellTensors t = tensors_of(*plan, in);
    t.y = out[0];
    for (size_t i = first_moments(); i < in.size(); i += 2) t.running.push_back({in[i], in[i + 1]});
    for_dtype(in[0], [&]<typename T>() { cell_forward<T>(*plan, t); });
  }
  int64_t macs(Inputs in, Outputs out) const override {
    return node_pixels(out[0]) * plan->macs(in[0].size(3));
  }
  // That of the composite, which is built anew: no search differentiates an evaluation, so it need
  // not be fast.
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs& needs) const override {
    const bool record = grad_enabled();
    const std::vector<Tensor> twin = inputs_of_twin(in.subspan(0, first_moments()), needs);
    const GradModeGuard recorded(true);
    const Tensor y = mixed_cell_composite(
        plan->spec,
        twin[0],
        twin[1],
        twin[CellPlan::kTable],
        std::span(twin).subspan(CellPlan::kWeights),
        {[&](int64_t i, const Tensor& t) {
          const size_t at = first_moments() + 2 * static_cast<size_t>(i);
          return batch_norm_running(t, in[at], in[at + 1], {}, {}, plan->spec.eps);
        }});
    std::vector<Tensor> wanted;
    for (size_t i = 0; i < twin.size(); ++i)
      if (needs[i]) wanted.push_back(twin[i]);
    Gradients grads(in.size());
    if (!y.requires_grad() || wanted.empty()) return grads;
    const std::vector<Tensor> d =
        grad(std::span(&y, 1), wanted, std::span(&g[0], 1), {.create_graph = record});
    size_t next = 0;
    for (size_t i = 0; i < twin.size(); ++i)
      if (needs[i]) grads[i] = d[next++];
    return grads;
  }
};

}  // namespace

Tensor mixed_cell_running(const MixedCellSpec& spec,
                          const Tensor& x0,
                          const Tensor& x1,
                          const Tensor& table,
                          std::span<const Tensor> weights,
                          std::span<const NormMoments> moments) {
  const CellPlanPtr plan = plan_for(spec, weights);
  if (std::ssize(moments) != norm_count(spec)) {
    throw std::invalid_argument(
        fmt::format("mixed_cell_running: moments of {} normalisations; expected {}",
                    moments.size(),
                    norm_count(spec)));
  }
  std::vector<Tensor> inputs = cell_inputs(x0, x1, table, weights);
  for (const NormMoments& m : moments)
    inputs.insert(inputs.end(), {m.mean.detach(), m.var.detach()});
  return apply_op<MixedCellRunning>(std::move(inputs), plan);
}

}  // namespace oche
