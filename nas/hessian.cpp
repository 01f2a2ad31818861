// Hessians by exact products.
#include "nas/hessian.h"

#include <stdexcept>
#include <utility>

#include "engine/autograd.h"
#include "engine/mixed_cell.h"

namespace oche::nas {

Hessian::Hessian(std::vector<Tensor> inputs, std::vector<std::function<Tensor()>> losses, bool keep)
    : inputs_(std::move(inputs)), losses_(std::move(losses)) {
  if (losses_.empty()) throw std::invalid_argument("hessian: no batches");
  for (const Tensor& x : inputs_) size_ += x.numel();
  if (!keep && losses_.size() > 1) return;
  for (const auto& loss : losses_) kept_.push_back(gradient_of(loss));
}

std::vector<Tensor> Hessian::gradient_of(const std::function<Tensor()>& loss) const {
  const GradModeGuard recording(true);
  const FullPrecision full;
  return defined_or_zeros(grad(loss(), inputs_, {.create_graph = true}), inputs_);
}

Vector Hessian::product(const Vector& v, double decay) const {
  const FullPrecision full;
  const std::vector<Tensor> directions = unflatten(v, inputs_);
  Vector sum(v.size(), 0);
  add(sum, decay, v);
  for (size_t k = 0; k < losses_.size(); ++k) {
    const std::vector<Tensor> gradient = kept_.empty() ? gradient_of(losses_[k]) : kept_[k];
    std::vector<Tensor> outputs, along;
    for (size_t i = 0; i < gradient.size(); ++i) {
      if (!gradient[i].requires_grad()) continue;  // constant
      outputs.push_back(gradient[i]);
      along.push_back(directions[i]);
    }
    if (outputs.empty()) continue;
    const std::vector<Tensor> parts =
        grad(outputs, inputs_, along, {.retain_graph = !kept_.empty()});
    add(sum, 1.0 / static_cast<double>(losses_.size()), flatten(defined_or_zeros(parts, inputs_)));
  }
  return sum;
}

double Hessian::loss() const {
  const NoGrad no_grad;
  const FullPrecision full;
  double sum = 0;
  for (const auto& loss : losses_) sum += loss().item();
  return sum / static_cast<double>(losses_.size());
}

template <typename Kind>
double loss_along(const Hessian& hessian,
                  const ParameterSet<Kind>& set,
                  const Vector& v,
                  double step) {
  Vector moved = flatten(set.tensors());
  add(moved, step, v);
  const Substitution at(set, unflatten(moved, set.tensors()));
  return hessian.loss();
}
template double loss_along(const Hessian&, const Weights&, const Vector&, double);
template double loss_along(const Hessian&, const Alphas&, const Vector&, double);

Hessian alpha_hessian(SearchState& state, const std::vector<Batch>& batches, int64_t step) {
  if (state.relaxation().straight_through())
    throw std::invalid_argument(
        "alpha hessian: the gradient of straight-through weights is nobody's "
        "derivative, so it has none");
  std::vector<std::function<Tensor()>> losses;
  for (const Batch& batch : batches) {
    losses.push_back([&state, batch, step] {
      const Frozen frozen(state.network.weights());
      return state.search_loss(batch, step);
    });
  }
  return {state.arch.alphas().tensors(), std::move(losses), true};
}

Hessian weight_hessian(SearchState& state, const std::vector<Batch>& batches, int64_t step) {
  std::vector<std::function<Tensor()>> losses;
  for (const Batch& batch : batches) {
    losses.push_back([&state, batch, step] {
      const Frozen frozen(state.arch.alphas());
      return state.bilevel(batch, {}, step).train_loss();
    });
  }
  return {state.network.weights().tensors(), std::move(losses), false};
}

}  // namespace oche::nas
