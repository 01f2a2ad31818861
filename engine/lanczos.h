// Extreme eigenvalues of a symmetric operator of which only products are known.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace oche {

using SymmetricProduct = std::function<std::vector<double>(const std::vector<double>&)>;

struct LanczosOptions {
  int64_t steps = 50;       // at most; no more than the dimension are taken
  int64_t count = 1;        // how many of the largest Ritz values are to converge
  double tolerance = 1e-8;  // of their residuals, relative to the largest |value|
  uint64_t seed = 0;        // of the first direction
  // Of how many of the largest values there are vectors, each as long as a direction; else of all.
  std::optional<int64_t> vectors = {};
};

// Ritz values in rising order. A value theta comes with a unit vector v, the bound |A v - theta v|,
// and its weight in the quadrature of the spectral density seen from the first direction (the
// squared first component; they sum to 1: Golub and Meurant, "Matrices, Moments and Quadrature").
struct LanczosResult {
  std::vector<double> values, residuals, weights;
  std::vector<std::vector<double>> vectors;  // of the last ones, see LanczosOptions
  int64_t products = 0;
  // True iff the largest `count` are within the tolerance. An eigenvalue that the operator has more
  // than once is found once.
  bool converged = false;

  double largest() const { return values.back(); }
  // Of the spectrum that was seen: what residuals are relative to.
  double scale() const;
};

// Lanczos' iteration with full reorthogonalisation, in double (Golub and Van Loan, "Matrix
// Computations", sec. 10.3.5). Ends early when the largest ones have converged or the directions
// span an invariant space. All directions are kept: `steps` times the dimension. Throws
// std::invalid_argument for a dimension or number of steps below 1, NonFinite for a product that is
// not finite.
LanczosResult lanczos(const SymmetricProduct& product,
                      int64_t dimension,
                      const LanczosOptions& options = {});

// All eigenvalues, rising, with their vectors, of a symmetric matrix of n rows, row-major: cyclic
// Jacobi rotations (Golub and Van Loan, sec. 8.5). For small n.
struct Eigenvectors {
  std::vector<double> values;
  std::vector<std::vector<double>> vectors;
};
Eigenvectors symmetric_eigenvectors(std::vector<double> matrix, int64_t n);

}  // namespace oche
