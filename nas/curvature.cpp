// Products with second derivatives of a train loss.
#include "nas/curvature.h"

#include "engine/autograd.h"
#include "engine/mixed_cell.h"
#include "engine/ops.h"

namespace oche::nas {

Curvature::Curvature(const Bilevel& p, const std::vector<Tensor>& weights, double decay)
    : decay_(decay), weights_(detached_leaves(weights)), alphas_(p.alphas.tensors()) {
  const GradModeGuard recording(true);
  const FullPrecision full;
  const Substitution at(p.weights, weights_);
  std::vector<Tensor> inputs = weights_;
  inputs.insert(inputs.end(), alphas_.begin(), alphas_.end());
  const std::vector<Tensor> g =
      defined_or_zeros(grad(p.train_loss(), inputs, {.create_graph = true}), inputs);
  const auto n = std::ssize(weights_);
  raw_.assign(g.begin(), g.begin() + n);
  alpha_gradient_.assign(g.begin() + n, g.end());
  const NoGrad no_grad;
  for (size_t i = 0; i < raw_.size(); ++i) {
    const Tensor own = raw_[i].detach();
    gradient_.push_back(decay_ == 0 ? own : own + weights_[i].detach() * decay_);
  }
}

std::vector<Tensor> Curvature::product(const std::vector<Tensor>& of,
                                       const std::vector<Tensor>& along,
                                       const std::vector<Tensor>& inputs) const {
  const FullPrecision full;
  std::vector<Tensor> outputs, directions;
  for (size_t i = 0; i < of.size(); ++i) {
    if (!of[i].requires_grad()) continue;  // constant
    outputs.push_back(of[i]);
    directions.push_back(along[i]);
  }
  if (outputs.empty()) return defined_or_zeros(std::vector<Tensor>(inputs.size()), inputs);
  return defined_or_zeros(grad(outputs, inputs, directions, {.retain_graph = true}), inputs);
}

Curvature::Products Curvature::both(const std::vector<Tensor>& u) const {
  std::vector<Tensor> inputs = weights_;
  inputs.insert(inputs.end(), alphas_.begin(), alphas_.end());
  const std::vector<Tensor> all = product(raw_, u, inputs);
  const auto n = std::ssize(weights_);
  Products p{{all.begin(), all.begin() + n}, {all.begin() + n, all.end()}};
  const NoGrad no_grad;
  for (size_t i = 0; i < u.size() && decay_ != 0; ++i) p.weights[i] = p.weights[i] + u[i] * decay_;
  return p;
}

std::vector<Tensor> Curvature::mixed(const std::vector<Tensor>& u) const {
  return product(raw_, u, alphas_);
}

Vector Curvature::hessian(const Vector& u) const {
  Vector h = flatten(product(raw_, unflatten(u, weights_), weights_));
  add(h, decay_, u);
  return h;
}

std::vector<Tensor> Curvature::along(const std::vector<Tensor>& u,
                                     const std::vector<Tensor>& e) const {
  std::vector<Tensor> of = raw_, directions = u;
  of.insert(of.end(), alpha_gradient_.begin(), alpha_gradient_.end());
  directions.insert(directions.end(), e.begin(), e.end());
  std::vector<Tensor> h = product(of, directions, weights_);
  const NoGrad no_grad;
  for (size_t i = 0; i < u.size() && decay_ != 0; ++i) h[i] = h[i] + u[i] * decay_;
  return h;
}

ValidationGradient validation_gradient(const Bilevel& p, const std::vector<Tensor>& weights) {
  const GradModeGuard recording(true);
  const Substitution at(p.weights, weights);
  std::vector<Tensor> inputs = p.alphas.tensors();
  const auto alphas = std::ssize(inputs);
  inputs.insert(inputs.end(), weights.begin(), weights.end());
  const Tensor loss = p.validation_loss();
  const std::vector<Tensor> g = defined_or_zeros(grad(loss, inputs), inputs);
  return {loss.detach(), {g.begin(), g.begin() + alphas}, {g.begin() + alphas, g.end()}};
}

}  // namespace oche::nas
