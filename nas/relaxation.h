// From architecture parameters to the weights of the candidates.
#pragma once

#include <vector>

#include "engine/tensor.h"

namespace oche::nas {

// What a mixed op multiplies its candidates with. A candidate outside the mask is not run and gets
// no gradient; a weight that happens to be 0 means nothing special.
struct Mixture {
  Tensor weights;         // (edges, candidates)
  std::vector<bool> run;  // the mask, same order
};

// softmax over the candidates of each edge, all of them run (DARTS eq. 2).
Mixture softmax_mixture(const Tensor& alpha);

}  // namespace oche::nas
