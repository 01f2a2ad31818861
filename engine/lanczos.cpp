// Extreme eigenvalues of a symmetric operator.
#include "engine/lanczos.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "engine/error.h"
#include "engine/flat.h"
#include "engine/random.h"

namespace oche {
namespace {

Vector random_direction(int64_t n, uint64_t seed) {
  RandomWords words(random_key(seed, module_id("lanczos"), Purpose::kPerturb), 0);
  Vector v(n);
  for (double& x : v) x = static_cast<double>(words.next()) / 2147483648.0 - 1;
  const double length = norm(v);
  for (double& x : v) x /= length;
  return v;
}

// Turns rows and columns p and q of the symmetric a, and of the vectors, so that a[p][q] is 0.
void rotate(Vector& a, std::vector<Vector>& vectors, int64_t n, int64_t p, int64_t q) {
  const double apq = a[p * n + q];
  if (apq == 0) return;
  const double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
  const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::hypot(theta, 1.0));
  const double c = 1 / std::hypot(t, 1.0), s = t * c;
  const auto turn = [&](double& x, double& y) {
    const double u = c * x - s * y;
    y = s * x + c * y;
    x = u;
  };
  for (int64_t k = 0; k < n; ++k) turn(a[k * n + p], a[k * n + q]);
  for (int64_t k = 0; k < n; ++k) turn(a[p * n + k], a[q * n + k]);
  for (int64_t k = 0; k < n; ++k) turn(vectors[p][k], vectors[q][k]);
}

// Of the tridiagonal matrix with these numbers beside its diagonal.
Eigenvectors tridiagonal_eigenvectors(const Vector& diagonal, const Vector& beside) {
  const auto n = std::ssize(diagonal);
  Vector matrix(n * n, 0);
  for (int64_t i = 0; i < n; ++i) {
    matrix[i * n + i] = diagonal[i];
    if (i + 1 < n) matrix[i * n + i + 1] = matrix[(i + 1) * n + i] = beside[i];
  }
  return symmetric_eigenvectors(std::move(matrix), n);
}

}  // namespace

Eigenvectors symmetric_eigenvectors(std::vector<double> a, int64_t n) {
  std::vector<Vector> vectors(n, Vector(n, 0));
  for (int64_t i = 0; i < n; ++i) vectors[i][i] = 1;
  const double scale = norm(a);
  constexpr int kSweeps = 60;  // it takes about ten
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double beside = 0;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) beside += a[p * n + q] * a[p * n + q];
    }
    if (!(std::sqrt(beside) > 1e-16 * scale)) break;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) rotate(a, vectors, n, p, q);
    }
  }
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int64_t i) { return a[i * n + i]; });
  Eigenvectors result;
  for (const int64_t i : order) {
    result.values.push_back(a[i * n + i]);
    result.vectors.push_back(std::move(vectors[i]));
  }
  return result;
}

double LanczosResult::scale() const {
  return std::max(std::abs(values.front()), std::abs(values.back()));
}

LanczosResult lanczos(const SymmetricProduct& product, int64_t n, const LanczosOptions& o) {
  if (n < 1 || o.steps < 1) {
    throw std::invalid_argument(
        fmt::format("lanczos: dimension {}, {} steps; expected 1 or more of either", n, o.steps));
  }
  LanczosResult result;
  std::vector<Vector> basis{random_direction(n, o.seed)};
  Vector diagonal, beside;
  Eigenvectors ritz;
  double left = 0;  // how far the last product leads out of the basis
  while (true) {
    const Vector& q = basis.back();
    Vector w = product(q);
    ++result.products;
    diagonal.push_back(dot(q, w));
    const double length = norm(w);
    if (!std::isfinite(length)) throw NonFinite("lanczos", "a product");
    for (int pass = 0; pass < 2; ++pass) {  // twice is enough
      for (const Vector& b : basis) add(w, -dot(b, w), b);
    }
    left = norm(w);
    ritz = tridiagonal_eigenvectors(diagonal, beside);
    const double largest = std::max(std::abs(ritz.values.front()), std::abs(ritz.values.back()));
    if (left <= 1e-13 * std::max(length, largest)) left = 0;  // an invariant space
    const auto found = std::ssize(ritz.values);
    double residual = found < std::min(o.count, n) ? largest : 0;
    for (int64_t i = std::max<int64_t>(0, found - o.count); i < found; ++i)
      residual = std::max(residual, left * std::abs(ritz.vectors[i].back()));
    result.converged = left == 0 || residual <= o.tolerance * largest;
    if (result.converged || left == 0 || std::ssize(basis) == std::min(n, o.steps)) break;
    for (double& x : w) x /= left;
    beside.push_back(left);
    basis.push_back(std::move(w));
  }
  result.values = ritz.values;
  const auto found = std::ssize(ritz.vectors);
  for (int64_t k = 0; k < found; ++k) {
    const Vector& s = ritz.vectors[k];
    result.residuals.push_back(left * std::abs(s.back()));
    result.weights.push_back(s.front() * s.front());
    if (o.vectors && k < found - *o.vectors) continue;
    Vector v(n, 0);
    for (size_t i = 0; i < basis.size(); ++i) add(v, s[i], basis[i]);
    result.vectors.push_back(std::move(v));
  }
  return result;
}

}  // namespace oche
