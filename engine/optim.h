// Optimisers, schedule and clipping. SGD takes weights and Adam takes alphas; neither accepts the
// other's parameters.
#pragma once

#include <array>
#include <vector>

#include "engine/nn.h"
#include "kernels/optimizer.h"

namespace oche {

struct SgdOptions {
  double momentum = 0.9, weight_decay = 3e-4;
  bool nesterov = false;
};

// d = scale * g + weight_decay * w;  buf = momentum * buf + d;  w -= lr * buf, or with nesterov
// lr * (d + momentum * buf).
class Sgd {
 public:
  Sgd(Weights weights, SgdOptions options);
  // One gradient for each weight, in order; an undefined one counts as zero. `scale`: see
  // clip_factor().
  void step(const std::vector<Tensor>& gradients, double lr, double scale = 1);
  // The same with numbers that lie on the device of the weights, f64 of one element each; nothing
  // moves where `gate`, i64 of one element, is not 0. Reads nothing back.
  void step(const std::vector<Tensor>& gradients,
            const Tensor& lr,
            const Tensor& scale,
            const Tensor& gate);

  const SgdOptions& options() const { return options_; }
  const std::vector<Tensor>& momentum_buffers() const {
    return buffers_;
  }  // zeros before the first step

 private:
  void update(const std::vector<Tensor>& gradients, const kernels::SgdStep& step);

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
  // The same with the corrections() of the step and a gate on the device, as for Sgd; that the step
  // was taken is for the caller to count, with set_steps().
  void step(const std::vector<Tensor>& gradients, const Tensor& corrections, const Tensor& gate);
  // 1 - beta1^t and 1 - beta2^t of the next step, f64.
  std::array<double, 2> corrections() const;

  const std::vector<Tensor>& first_moments() const { return m_; }
  const std::vector<Tensor>& second_moments() const { return v_; }
  int64_t steps() const { return steps_; }
  // Together with writing into the moments: goes on where another Adam was.
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  kernels::AdamStep next() const;
  void update(const std::vector<Tensor>& gradients, const kernels::AdamStep& step);

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
// Its square, f64 of shape (1), where the weights are.
Tensor squared_norm(const Weights& weights, const std::vector<Tensor>& tensors);
Tensor squared_norm(const Alphas& alphas, const std::vector<Tensor>& tensors);
// The factor that brings a norm down to `limit`: min(1, limit / (norm + 1e-6)); 1 when limit is 0
// (no clipping).
double clip_factor(double norm, double limit);
// The same of a squared_norm(), where that is.
Tensor clip_factor(const Tensor& squares, double limit);

}  // namespace oche
