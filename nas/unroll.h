// Several inner steps, and derivatives through them.
#pragma once

#include <vector>

#include "nas/arch_gradient.h"

namespace oche::nas {

// Where the weights are now.
InnerState inner_start(const Bilevel& problem, const InnerStep& step);
// `steps` steps from there, each on the train loss of its number from 0; outside of any graph.
InnerState inner_steps(const Bilevel& problem,
                       const InnerStep& step,
                       InnerState from,
                       int64_t steps);

// How the validation loss at the end of `steps` inner steps depends on alpha, with the starting
// weights and buffers held fixed.
struct Unrolled {
  std::vector<Tensor> gradients;  // one for each alpha
  int64_t passes;                 // forward and backward; a product counts as two
};
// In reverse through the `last` of the steps (Franceschi et al., arXiv:1703.01785; truncated:
// Shaban et al., arXiv:1810.10667). One step's graph is held at a time, and weights and buffers of
// about 2 sqrt(last) steps: those in between are computed again.
Unrolled unroll_reverse(const Bilevel& problem, const InnerStep& step, int64_t steps, int64_t last);
// Forwards, a product of each step for each entry of the alphas (Franceschi et al.). The same
// value.
Unrolled unroll_forward(const Bilevel& problem, const InnerStep& step, int64_t steps);

}  // namespace oche::nas
