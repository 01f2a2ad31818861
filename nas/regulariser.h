// Terms of the loss that trains the alphas, besides that of the task.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace oche::nas {

// What a regulariser may look at.
struct RegulariserInput {
  std::span<const Tensor>
      weights;  // of the candidates, a table (edges, candidates) for each cell type
};

class Regulariser {
 public:
  virtual ~Regulariser() = default;
  virtual std::string_view name() const = 0;
  // The loss that is differentiated, from that of the task; both of shape ().
  virtual Tensor apply(const Tensor& task, const RegulariserInput& input) const = 0;
};

//   none
//   zero-one      task - weight * mean((p - 1/2)^2) over all gates p, which are sigmoid weights: it
//                 pushes them to 0 or 1 (Fair DARTS, arXiv:1911.12126, eq. 6)
//   zero-one-abs  task - weight * mean(|p - 1/2|), which the paper shows to decide too early (L'01,
//                 eq. 7)
// Throws std::invalid_argument naming them for another name.
std::unique_ptr<Regulariser> make_regulariser(std::string_view name, double weight);
std::span<const std::string_view> regulariser_names();

}  // namespace oche::nas
