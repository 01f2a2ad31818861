// What the weights of candidates become for the weight half of a step, so that the network's
// weights suit a neighbourhood of them and not the one point (SmoothDARTS, arXiv:2002.05283).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/random.h"
#include "engine/tensor.h"

namespace oche::nas {

// The train loss of a step, shape (), from weights of candidates in place of those of the
// relaxation; to be differentiated by them, and of no consequence for anything else.
using WeightsLoss = std::function<Tensor(const std::vector<Tensor>& weights)>;

// What a perturbation may look at besides.
struct PerturbationInput {
  Tensor radius;                     // shape (), of the weights' dtype
  std::vector<RandomAddress> noise;  // of each table in this step
};

class Perturbation {
 public:
  virtual ~Perturbation() = default;
  virtual std::string_view name() const = 0;
  // `clean`: tables (edges, candidates) without negative entries, whose rows sum to 1. So are the
  // results, constants to autograd.
  virtual std::vector<Tensor> apply(const std::vector<Tensor>& clean,
                                    const WeightsLoss& loss,
                                    const PerturbationInput& input) const = 0;
};

inline constexpr int kAttackSteps = 7;

// p are the clean weights, r is the radius:
//   none         p
//   random       clip(p + U(-r, r))
//   adversarial  from p + U(-r, r), kAttackSteps times
//                A <- clip(A + (2r / kAttackSteps) sign(dL/dA), brought back to p - r .. p + r);
//                p itself where that ends with the smaller loss
// Both as in the paper's code. Throws std::invalid_argument naming them for another name.
std::unique_ptr<Perturbation> make_perturbation(std::string_view name);
std::span<const std::string_view> perturbation_names();

// The formulas by themselves, for tables x and p (edges, candidates) and r of shape ().
// Entries brought to 0 .. 1; a row of which nothing is left gets 1 at its first largest entry; rows
// divided by their sums, which may take an entry out of the neighbourhood again.
Tensor clip_to_simplex(const Tensor& x);
// p + U(-r, r), entry by entry.
Tensor random_neighbour(const Tensor& p, const Tensor& r, const RandomAddress& at);

}  // namespace oche::nas
