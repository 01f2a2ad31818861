// How the eigenvalues of a symmetric operator are spread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/lanczos.h"

namespace oche {

struct DensityOptions {
  int64_t probes = 4;   // random directions
  int64_t steps = 40;   // Lanczos steps from each
  double width = 0.01;  // deviation of the Gaussians, in lengths of the range of eigenvalues
  int64_t points = 256;
  uint64_t seed = 0;
};
struct SpectralDensity {
  std::vector<double> at, density;  // over the range of eigenvalues and a little beyond; of mass 1
  // The share of eigenvalues below 0 by more than the width: of a cluster around 0 Ritz values do
  // not tell the sign.
  double negative = 0;
  double mean = 0;  // of the eigenvalues: the trace over the dimension
};

// Stochastic Lanczos quadrature: the Ritz values seen from random directions, with their weights,
// as Gaussians (Ghorbani, Krishnan, Xiao, arXiv:1901.10159). Throws std::invalid_argument for
// numbers below 1, or a width that is not positive.
SpectralDensity spectral_density(const SymmetricProduct& product,
                                 int64_t dimension,
                                 const DensityOptions& options = {});
// The same where all eigenvalues are known, in any order; there are no probes and steps.
SpectralDensity spectral_density(const std::vector<double>& eigenvalues,
                                 const DensityOptions& options = {});

// All eigenvalues, rising, of an operator small enough to be built: a product for each row, made
// symmetric. Throws std::invalid_argument for a dimension below 1, NonFinite as lanczos() does.
std::vector<double> all_eigenvalues(const SymmetricProduct& product, int64_t dimension);

// How many of all eigenvalues lie below 0, and how many are 0, to within `rounding` of the largest
// |value|.
struct Signs {
  int64_t negative = 0, zero = 0;
};
Signs signs_of(const std::vector<double>& eigenvalues, double rounding);

}  // namespace oche
