// Estimators of the hypergradient by differences. Where rounding leaves nothing of a difference,
// that is their fault.
#pragma once

#include "nas/hypergradient.h"

namespace oche::nas {

// One step ahead, the mixed product as a difference of gradients (DARTS eq. 8).
Hypergradient finite_difference(const Bilevel&, const InnerStep&, const EstimatorNumbers&);
// Differences of the validation loss after some steps, along random directions.
Hypergradient zero_order(const Bilevel&, const InnerStep&, const EstimatorNumbers&);
// A central difference of L_val(w*(alpha), alpha), the inner problem solved on both sides.
Hypergradient bilevel_difference(const Bilevel&, const InnerStep&, const EstimatorNumbers&);

}  // namespace oche::nas
