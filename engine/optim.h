// Optimisers, schedule and clipping. SGD takes weights and Adam takes alphas; neither accepts the
// other's parameters.
#pragma once

#include <vector>

#include "engine/nn.h"

namespace oche {

struct SgdOptions {
  double momentum = 0.9, weight_decay = 3e-4;
};

// d = scale * g + weight_decay * w;  buf = momentum * buf + d;  w -= lr * buf.
class Sgd {
 public:
  Sgd(Weights weights, SgdOptions options);
  // One gradient for each weight, in order; an undefined one counts as zero. `scale`: see
  // clip_factor().
  void step(const std::vector<Tensor>& gradients, double lr, double scale = 1);

  const SgdOptions& options() const { return options_; }
  const std::vector<Tensor>& momentum_buffers() const {
    return buffers_;
  }  // zeros before the first step

 private:
  Weights weights_;
  SgdOptions options_;
  std::vector<Tensor> buffers_;
};

struct AdamOptions {
  double lr = 3e-4, beta1 = 0.5, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 1e-3;  // added to the gradient, not decoupled
};

// Kingma and Ba 2015, algorithm 1.
class Adam {
 public:
  Adam(Alphas alphas, AdamOptions options);
  void step(const std::vector<Tensor>& gradients);

  const std::vector<Tensor>& first_moments() const { return m_; }
  const std::vector<Tensor>& second_moments() const { return v_; }
  int64_t steps() const { return steps_; }
  // Together with writing into the moments: goes on where another Adam was.
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  Alphas alphas_;
  AdamOptions options_;
  std::vector<Tensor> m_, v_;
  int64_t steps_ = 0;
};

// The rate of `epoch` = 0 .. epochs-1: from `high` towards `low`, which is never reached (DARTS
// steps it once an epoch).
double cosine_rate(double high, double low, int64_t epoch, int64_t epochs);

// The 2-norm of all tensors together, summed in double, tensor by tensor, in file order (see
// Layout).
double global_norm(const Weights& weights, const std::vector<Tensor>& tensors);
// The factor that brings a norm down to `limit`: min(1, limit / (norm + 1e-6)); 1 when limit is 0
// (no clipping).
double clip_factor(double norm, double limit);

}  // namespace oche
