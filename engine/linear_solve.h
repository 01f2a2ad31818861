// Approximate solutions of A x = b for a symmetric operator of which only products are known.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/flat.h"
#include "engine/lanczos.h"

namespace oche {

struct Solution {
  Vector x = {};
  // |b - A x| / |b| as the method knows it, after each iteration; of Nystrom's and the dense
  // solution by one product at the end. Of the damped operator where there is damping. Of a Neumann
  // series entry k - 1 is |(I - rate A)^k b| / |b|, the residual of the sum up to k - 1.
  std::vector<double> residuals = {};
  int64_t products = 0;
  // What makes x no solution, with the number that shows it; empty where nothing was seen.
  std::string fault = {};
};

struct SolveOptions {
  int64_t iterations = 20;   // at most; Nystrom: columns
  double tolerance = 1e-10;  // of the relative residual
  double damping = 0;        // delta: A + delta * I is solved
  uint64_t seed = 0;         // of Nystrom's columns
};

// rate * sum over k = 0 ... terms of (I - rate * A)^k b: converges for 0 < rate < 2 / lambda_max
// where A is positive definite (Lorraine, Vicol, Duvenaud, arXiv:1911.02590). Fault: the last term
// is longer than the one before.
Solution neumann(const SymmetricProduct& product, const Vector& b, double rate, int64_t terms);
// Conjugate gradients (Golub and Van Loan, "Matrix Computations", sec. 11.3). Fault: p^T A p <= 0;
// x is then what was reached before.
Solution conjugate_gradients(const SymmetricProduct& product,
                             const Vector& b,
                             const SolveOptions& options);
// Paige and Saunders, "Solution of sparse indefinite systems of linear equations", 1975. Takes
// indefinite operators. Fault: a singular one.
Solution minres(const SymmetricProduct& product, const Vector& b, const SolveOptions& options);
// (C W^-1 C^T + damping * I)^-1 b by Woodbury's identity, with C random columns of A and W their
// rows (Hataya, Yamada, arXiv:2302.09726). Throws std::invalid_argument for damping <= 0. Fault: W
// or the small system is singular.
Solution nystrom(const SymmetricProduct& product, const Vector& b, const SolveOptions& options);
// Builds A column by column and eliminates. Throws std::invalid_argument for more than
// kDenseLimit unknowns. Fault: a singular matrix.
inline constexpr int64_t kDenseLimit = 4096;
Solution dense_solve(const SymmetricProduct& product, const Vector& b, const SolveOptions& options);

}  // namespace oche
