// From architecture parameters to a genotype, and back to a mixture that runs only what the
// genotype kept.
#pragma once

#include "nas/genotype.h"
#include "nas/network.h"

namespace oche::nas {

// The DARTS rule (sec. 2.4). An edge has the largest score among its candidates other than `none`;
// each node keeps its two best edges, best first, each with that candidate. Ties go to the lower
// predecessor and to the candidate that comes first. alpha: (edges, candidates).
CellGenotype top2(const Relaxation& relaxation,
                  const Tensor& alpha,
                  int64_t steps,
                  int64_t multiplier);

struct AlphaTables {
  Tensor normal, reduce;
};
Genotype top2(const Relaxation& relaxation,
              const AlphaTables& alphas,
              int64_t steps,
              int64_t multiplier);

// Weight 1 for what the genotype kept; nothing else is run.
CellMixtures discrete_mixtures(const Genotype& genotype, int64_t steps, DType dtype);

}  // namespace oche::nas
