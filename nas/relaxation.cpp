// From architecture parameters to the weights of the candidates.
#include "nas/relaxation.h"

#include "engine/ops.h"

namespace oche::nas {

Mixture softmax_mixture(const Tensor& alpha) {
  return {softmax(alpha, 1), std::vector<bool>(alpha.numel(), true)};
}

}  // namespace oche::nas
