// Terms of the loss that trains the alphas, besides that of the task.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "nas/costs.h"

namespace oche::nas {

// What a regulariser may look at.
struct RegulariserInput {
  // Of the candidates, (edges, candidates), as they were run; undefined for a type of cell that is
  // not searched.
  Tensor normal, reduce;
  std::span<const CellCosts> costs = {};  // of each cell, where costs() holds
};

class Regulariser {
 public:
  virtual ~Regulariser() = default;
  virtual std::string_view name() const = 0;
  // The loss that is differentiated, from that of the task; both of shape ().
  virtual Tensor apply(const Tensor& task, const RegulariserInput& input) const = 0;
  virtual bool costs() const { return false; }
  // Defined on gates that do not depend on each other, all of which run.
  virtual bool gates() const { return false; }
};

//   none
//   zero-one      task - weight * mean((p - 1/2)^2) over all gates p, which are sigmoid weights: it
//                 pushes them to 0 or 1 (Fair DARTS, arXiv:1911.12126, eq. 6)
//   zero-one-abs  task - weight * mean(|p - 1/2|), which the paper shows to decide too early (L'01,
//                 eq. 7)
//   parameters    task + weight * the weights that a network of such mixtures is expected to have,
//   in
//                 millions, of its candidates alone
//   operations    the same of operations a million a image, see costs.h
//   resource      task + weight * (mean over normal cells + mean over reduction cells) of the sum
//   over
//                 edges of the mean logarithm of expected parameters, operations and memory, each
//                 at least 1 (SNAS, arXiv:1812.09926, as in its code)
// Throws std::invalid_argument naming them for another name.
std::unique_ptr<Regulariser> make_regulariser(std::string_view name, double weight);
std::span<const std::string_view> regulariser_names();

}  // namespace oche::nas
