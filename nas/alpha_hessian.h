// The Hessian of the search loss with respect to the alphas, by exact products.
#pragma once

#include <cstdint>
#include <vector>

#include "nas/search_state.h"

namespace oche::nas {

// d2 L_val / dalpha2 at the present weights, which do not follow the alphas: the mean over a fixed
// set of batches, with batch statistics; alphas_normal, alphas_reduce and betas one after the
// other, row-major. Nothing moves. It holds the graph of a gradient for each batch, in full
// precision.
class AlphaHessian {
 public:
  // `step` addresses the random numbers, if any. Throws std::invalid_argument for a relaxation
  // whose gradient is nobody's derivative, and for no batches.
  AlphaHessian(SearchState& state, const std::vector<Batch>& batches, int64_t step);

  int64_t size() const { return size_; }
  // Adds decay * v, the Hessian of the penalty on the alphas.
  std::vector<double> product(const std::vector<double>& v, double decay = 0) const;

 private:
  std::vector<Tensor> alphas_;
  std::vector<std::vector<Tensor>> gradients_;  // of each batch
  int64_t size_ = 0;
};

}  // namespace oche::nas
