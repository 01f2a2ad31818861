// Second derivatives of a train loss, as products.
#pragma once

#include <vector>

#include "engine/flat.h"
#include "nas/arch_gradient.h"

namespace oche::nas {

// Of L_train + decay / 2 |w|^2, at weights of its own, on the problem's batch: H = d2/dw2 and the
// mixed A = d2/(dalpha dw), of shape (alphas, weights). It keeps the graph of one gradient, in full
// precision; a product is exact, and costs about two passes forward and backward.
class Curvature {
 public:
  Curvature(const Bilevel& problem, const std::vector<Tensor>& weights, double decay);

  // dL_train/dw + decay * w.
  const std::vector<Tensor>& gradient() const { return gradient_; }

  struct Products {
    std::vector<Tensor> weights, alphas;  // H u, A u
  };
  Products both(const std::vector<Tensor>& u) const;
  std::vector<Tensor> mixed(const std::vector<Tensor>& u) const;  // A u
  Vector hessian(const Vector& u) const;                          // H u
  // H u + A^T e: how the gradient moves where the weights move by u and the alphas by e.
  std::vector<Tensor> along(const std::vector<Tensor>& u, const std::vector<Tensor>& e) const;

 private:
  std::vector<Tensor> product(const std::vector<Tensor>& of,
                              const std::vector<Tensor>& along,
                              const std::vector<Tensor>& inputs) const;

  const double decay_;
  std::vector<Tensor> weights_, alphas_;      // leaves; the alphas are the problem's
  std::vector<Tensor> raw_, alpha_gradient_;  // in the graph: of the train loss alone
  std::vector<Tensor> gradient_;
};

// The validation loss at `weights`, which require a gradient, its gradient with respect to alpha
// (the direct part) and to them (the direction v).
struct ValidationGradient {
  Tensor loss;
  std::vector<Tensor> direct, v;
};
ValidationGradient validation_gradient(const Bilevel& problem, const std::vector<Tensor>& weights);

}  // namespace oche::nas
