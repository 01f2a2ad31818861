// The Hessians of a search: of the search loss by the alphas, of the train loss by the weights, by
// exact products.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/flat.h"
#include "nas/search_state.h"

namespace oche::nas {

// d2/dx2 of the mean of several losses, of tensors x that stay as they are. The losses are
// evaluated with batch statistics and in full precision; nothing moves.
class Hessian {
 public:
  // A product keeps nothing of a loss but, of a single one or with `keep`, the graph of its
  // gradient. Throws std::invalid_argument for no losses.
  Hessian(std::vector<Tensor> inputs, std::vector<std::function<Tensor()>> losses, bool keep);

  int64_t size() const { return size_; }
  const std::vector<Tensor>& inputs() const { return inputs_; }
  // The inputs one after the other, row-major. Adds decay * v, the Hessian of decay / 2 |x|^2.
  Vector product(const Vector& v, double decay = 0) const;
  // The mean loss at whatever values the network holds now (see Substitution).
  double loss() const;

 private:
  std::vector<Tensor> gradient_of(const std::function<Tensor()>& loss) const;

  std::vector<Tensor> inputs_;
  std::vector<std::function<Tensor()>> losses_;
  std::vector<std::vector<Tensor>> kept_;  // gradients in the graph, of each loss
  int64_t size_ = 0;
};

// The mean loss where the set's tensors, those of the Hessian, are moved by step * v; they are back
// to the bit when it returns.
template <typename Kind>
double loss_along(const Hessian& hessian,
                  const ParameterSet<Kind>& set,
                  const Vector& v,
                  double step);

// d2 L_val / dalpha2 at the present weights, which do not follow the alphas: alphas_normal,
// alphas_reduce and betas. `step` addresses the random numbers, if any. Throws
// std::invalid_argument for a relaxation whose gradient is nobody's derivative.
Hessian alpha_hessian(SearchState& state, const std::vector<Batch>& batches, int64_t step);
// d2 L_train / dw2 at the present alphas.
Hessian weight_hessian(SearchState& state, const std::vector<Batch>& batches, int64_t step);

}  // namespace oche::nas
