// The Hessian of the search loss with respect to the alphas.
#include "nas/alpha_hessian.h"

#include <stdexcept>

#include "engine/autograd.h"
#include "engine/ops.h"

namespace oche::nas {

AlphaHessian::AlphaHessian(SearchState& state, const std::vector<Batch>& batches, int64_t step)
    : alphas_(state.arch.alphas().tensors()) {
  if (state.relaxation().straight_through())
    throw std::invalid_argument(
        "alpha hessian: the gradient of straight-through weights is nobody's "
        "derivative, so it has none");
  if (batches.empty()) throw std::invalid_argument("alpha hessian: no batches");
  for (const Tensor& alpha : alphas_) size_ += alpha.numel();
  const FullPrecision full;
  const Frozen frozen(state.network.weights());
  for (const Batch& batch : batches) {
    const Tensor loss = state.search_loss(batch, step);
    gradients_.push_back(defined_or_zeros(grad(loss, alphas_, {.create_graph = true}), alphas_));
  }
}

std::vector<double> AlphaHessian::product(const std::vector<double>& v, double decay) const {
  const FullPrecision full;
  std::vector<Tensor> directions;
  int64_t at = 0;
  for (const Tensor& alpha : alphas_) {
    const std::vector<double> part(v.begin() + at, v.begin() + at + alpha.numel());
    directions.push_back(cast(Tensor::from(part, alpha.shape()), alpha.dtype()));
    at += alpha.numel();
  }
  std::vector<double> sum(size_);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = decay * v[i];
  const double share = 1.0 / static_cast<double>(gradients_.size());
  for (const std::vector<Tensor>& gradient : gradients_) {
    std::vector<Tensor> outputs, along;
    for (size_t i = 0; i < gradient.size(); ++i) {
      if (!gradient[i].requires_grad()) continue;  // constant in the alphas
      outputs.push_back(gradient[i]);
      along.push_back(directions[i]);
    }
    if (outputs.empty()) continue;
    const std::vector<Tensor> parts =
        defined_or_zeros(grad(outputs, alphas_, along, {.retain_graph = true}), alphas_);
    at = 0;
    for (const Tensor& part : parts) {
      for (const double x : cast(part.detach(), DType::kFloat64).to_vector<double>())
        sum[at++] += share * x;
    }
  }
  return sum;
}

}  // namespace oche::nas
