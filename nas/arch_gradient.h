// Estimators of the architecture gradient d L_val(w*(alpha), alpha) / d alpha.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/nn.h"
#include "engine/optim.h"

namespace oche::nas {

// A bilevel problem: choose alpha for the validation loss where the weights follow the train loss.
// Both losses are evaluated at whatever values the sets hold at the moment of the call (see
// Substitution), on fixed batches and with fixed random numbers; evaluating them changes nothing.
struct Bilevel {
  Weights weights;
  Alphas alphas;
  std::function<Tensor()> train_loss, validation_loss;
  // The train loss that the inner step t sees, of several from 0; empty: the same one in all.
  std::function<Tensor(int64_t t)> train_loss_of = {};

  Bilevel at_step(int64_t t) const;  // with that train loss
};

// The weight step that the unrolled estimators look ahead through, unclipped:
//   w' = w - rate * (d + momentum * buffer), d = dL_train/dw + weight_decay * w, or with nesterov
//   w' = w - rate * ((1 + momentum) * d + momentum^2 * buffer).
struct InnerStep {
  Tensor rate;  // shape (), of the weights' dtype
  double momentum = 0, weight_decay = 0;
  std::vector<Tensor> buffers = {};  // one for each weight; empty: zeros
  bool nesterov = false;

  // - dw' / d(dL_train/dw) / rate
  double gain() const { return nesterov ? 1 + momentum : 1; }
};

// What the step makes of weights and buffers with the gradient dL_train/dw, outside of any graph.
struct InnerState {
  std::vector<Tensor> weights, buffers;
};
InnerState advance(const InnerStep& step,
                   const std::vector<Tensor>& weights,
                   const std::vector<Tensor>& buffers,
                   const std::vector<Tensor>& gradient);

struct ArchGradientResult {
  std::vector<Tensor> gradients;  // one for each alpha
  Tensor validation_loss;         // where the estimator evaluated it
};

class ArchGradient {
 public:
  virtual ~ArchGradient() = default;
  virtual std::string_view name() const = 0;
  // Leaves weights, alphas, statistics and their gradients as they were, to the bit.
  virtual ArchGradientResult compute(const Bilevel& problem, const InnerStep& step) const = 0;
  // At weights that a step has moved, by a derivative along them.
  virtual bool looks_ahead() const { return false; }
  // The alphas follow the train loss, so one pass gives their gradient and that of the weights.
  virtual bool joint() const { return false; }
};

// The settings of all estimators (--set gradient.NAME=...).
struct ArchGradientOptions {
  // finite-difference: length of the probe along v, over all weights (DARTS sec. 2.3); relative: in
  // lengths of the weights.
  double radius = 0.01;
  bool relative = false;
  // 1: w + R v and w; 2: w +- R v; 4: also w +- 2 R v, with an error of O(R^4).
  int64_t points = 2;
};

//   first-order        dL_val(w, alpha)/dalpha
//   finite-difference  dL_val(w', alpha)/dalpha - rate * (dL_train(w+)/dalpha -
//   dL_train(w-)/dalpha) / (2R),
//                      v = dL_val/dw', w+- = w +- R v, R = radius / |v| (DARTS eq. 7 and 8)
//   exact-unrolled     the same with the mixed product d2L_train/(dalpha dw) v in place of the
//   difference
//   one-level          dL_train(w, alpha)/dalpha (DARTS sec. 3.3; joint)
// Throws std::invalid_argument naming them for another name.
std::unique_ptr<ArchGradient> make_arch_gradient(std::string_view name,
                                                 const ArchGradientOptions& options = {});
std::span<const std::string_view> arch_gradient_names();

}  // namespace oche::nas
