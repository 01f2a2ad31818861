// Approximate solutions of symmetric systems.
#include "engine/linear_solve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "engine/random.h"

namespace oche {
namespace {

// Counts, and adds the damping.
class Operator {
 public:
  Operator(const SymmetricProduct& product, double damping, int64_t& products)
      : product_(product), damping_(damping), products_(products) {}
  Vector operator()(const Vector& v) const {
    ++products_;
    Vector w = product_(v);
    if (damping_ != 0) add(w, damping_, v);
    return w;
  }

 private:
  const SymmetricProduct& product_;
  const double damping_;
  int64_t& products_;
};

// x of a x = b for a dense matrix of b.size() rows, row-major, by elimination with row exchanges
// (Golub and Van Loan, sec. 3.4); empty where a pivot vanishes.
Vector eliminate(Vector a, Vector b) {
  const auto n = std::ssize(b);
  double scale = 0;
  for (const double x : a) scale = std::max(scale, std::abs(x));
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    if (!(std::abs(a[pivot * n + k]) > 1e-15 * scale)) return {};
    if (pivot != k) {
      std::swap_ranges(&a[k * n], &a[k * n] + n, &a[pivot * n]);
      std::swap(b[k], b[pivot]);
    }
    for (int64_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      if (factor == 0) continue;
      for (int64_t j = k + 1; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      b[i] -= factor * b[k];
    }
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    for (int64_t j = i + 1; j < n; ++j) b[i] -= a[i * n + j] * b[j];
    b[i] /= a[i * n + i];
  }
  return b;
}

double relative_residual(const Operator& a, const Vector& x, const Vector& b) {
  Vector r = a(x);
  add(r, -1, b);
  const double size = norm(b);
  return size == 0 ? norm(r) : norm(r) / size;
}

}  // namespace

Solution neumann(const SymmetricProduct& product, const Vector& b, double rate, int64_t terms) {
  Solution s{.x = Vector(b.size(), 0)};
  const Operator a(product, 0, s.products);
  Vector term = b;
  const double start = norm(b);
  if (start == 0) return s;
  double curvature = 0;
  for (int64_t k = 0; k <= terms; ++k) {
    add(s.x, rate, term);
    if (k > 0) s.residuals.push_back(norm(term) / start);
    if (k == terms) break;
    const Vector along = a(term);
    curvature = dot(term, along) / dot(term, term);
    add(term, -rate, along);
  }
  // The logarithm of |(I - rate A)^k b| is convex in k for a symmetric A, so of a series that
  // converges no term ever grows. What is allowed is the rounding of products in f32.
  const double last = s.residuals.empty() ? 1 : s.residuals.back();
  const double before = s.residuals.size() < 2 ? 1 : s.residuals[s.residuals.size() - 2];
  if (!(last <= before * (1 + 1e-5)))
    s.fault = fmt::format(
        "diverges: |(I - rate H)^{} v| is {:.6g} |v| after {:.6g}, with rate {:.4g} and curvature "
        "{:.4g} along it",
        terms,
        last,
        before,
        rate,
        curvature);
  return s;
}

Solution conjugate_gradients(const SymmetricProduct& product,
                             const Vector& b,
                             const SolveOptions& o) {
  Solution s{.x = Vector(b.size(), 0)};
  const Operator a(product, o.damping, s.products);
  Vector r = b, p = b;
  double squares = dot(r, r);
  const double start = std::sqrt(squares);
  for (int64_t k = 0; k < o.iterations && std::sqrt(squares) > o.tolerance * start; ++k) {
    const Vector ap = a(p);
    const double curvature = dot(p, ap);
    if (!(curvature > 0)) {
      s.fault = fmt::format(
          "indefinite: p^T H p / p^T p = {:.4g} in iteration {}", curvature / dot(p, p), k + 1);
      return s;
    }
    const double length = squares / curvature;
    add(s.x, length, p);
    add(r, -length, ap);
    const double next = dot(r, r), share = next / squares;
    for (size_t i = 0; i < p.size(); ++i) p[i] = r[i] + share * p[i];
    squares = next;
    s.residuals.push_back(std::sqrt(squares) / start);
  }
  return s;
}

Solution minres(const SymmetricProduct& product, const Vector& b, const SolveOptions& o) {
  Solution s{.x = Vector(b.size(), 0)};
  const Operator a(product, o.damping, s.products);
  const double start = norm(b);
  if (start == 0) return s;
  // Lanczos vectors, and the directions of x: present and last ones.
  Vector v = b, v_last(b.size(), 0), d_last(b.size(), 0), d_before(b.size(), 0);
  for (double& x : v) x /= start;
  double beta = 0, left = start;  // beside the diagonal; the residual, with its sign
  double c = 1, c_last = 1, sine = 0, sine_last = 0;  // the last two rotations
  for (int64_t k = 0; k < o.iterations && std::abs(left) > o.tolerance * start; ++k) {
    Vector w = a(v);
    const double alpha = dot(v, w);
    add(w, -alpha, v);
    add(w, -beta, v_last);
    const double next = norm(w);
    const double delta = c * alpha - c_last * sine * beta;
    const double diagonal = std::hypot(delta, next);
    if (!(diagonal > 1e-14 * (std::abs(alpha) + beta + next))) {
      s.fault = fmt::format("singular: the residual stays at {:.4g} |v|", std::abs(left) / start);
      return s;
    }
    const double first = sine * alpha + c_last * c * beta, second = sine_last * beta;
    Vector d = v;
    add(d, -first, d_last);
    add(d, -second, d_before);
    for (double& x : d) x /= diagonal;
    c_last = std::exchange(c, delta / diagonal);
    sine_last = std::exchange(sine, next / diagonal);
    add(s.x, c * left, d);
    left *= -sine;
    s.residuals.push_back(std::abs(left) / start);
    d_before = std::exchange(d_last, std::move(d));
    v_last = std::exchange(v, std::move(w));
    beta = next;
    if (beta == 0) break;
    for (double& x : v) x /= beta;
  }
  return s;
}

Solution nystrom(const SymmetricProduct& product, const Vector& b, const SolveOptions& o) {
  if (!(o.damping > 0))
    throw std::invalid_argument(
        fmt::format("nystrom: damping {}; expected a positive number", o.damping));
  Solution s;
  const auto n = std::ssize(b);
  const int64_t rank = std::min(o.iterations, n);
  // Distinct places, as a shuffle would bring them to the front.
  RandomWords words(random_key(o.seed, module_id("nystrom"), Purpose::kPerturb), 0);
  std::vector<int64_t> places(n);
  for (int64_t i = 0; i < n; ++i) places[i] = i;
  for (int64_t i = 0; i < rank; ++i)
    std::swap(places[i], places[i + words.below(static_cast<uint32_t>(n - i))]);
  const Operator plain(product, 0, s.products), damped(product, o.damping, s.products);
  std::vector<Vector> columns;
  for (int64_t i = 0; i < rank; ++i) {
    Vector unit(n, 0);
    unit[places[i]] = 1;
    columns.push_back(plain(unit));
  }
  Vector small(rank * rank), right(rank);  // W + C^T C / damping, C^T b
  for (int64_t i = 0; i < rank; ++i) {
    right[i] = dot(columns[i], b);
    for (int64_t j = 0; j < rank; ++j)
      small[i * rank + j] = columns[j][places[i]] + dot(columns[i], columns[j]) / o.damping;
  }
  const Vector y = eliminate(std::move(small), std::move(right));
  s.x = b;
  for (double& x : s.x) x /= o.damping;
  if (y.empty()) {
    s.fault = fmt::format("singular: the system of {} columns has a vanishing pivot", rank);
    return s;
  }
  for (int64_t i = 0; i < rank; ++i) add(s.x, -y[i] / (o.damping * o.damping), columns[i]);
  s.residuals.push_back(relative_residual(damped, s.x, b));
  return s;
}

Solution dense_solve(const SymmetricProduct& product, const Vector& b, const SolveOptions& o) {
  const auto n = std::ssize(b);
  if (n > kDenseLimit)
    throw std::invalid_argument(
        fmt::format("dense solution: {} unknowns; expected at most {}", n, kDenseLimit));
  Solution s;
  const Operator a(product, o.damping, s.products);
  Vector matrix(n * n);
  for (int64_t i = 0; i < n; ++i) {
    Vector unit(n, 0);
    unit[i] = 1;
    const Vector row = a(unit);
    std::ranges::copy(row, &matrix[i * n]);
  }
  s.x = eliminate(std::move(matrix), b);
  if (s.x.empty()) {
    s.x.assign(n, 0);
    s.fault = "singular: a pivot vanishes";
    return s;
  }
  s.residuals.push_back(relative_residual(a, s.x, b));
  return s;
}

}  // namespace oche
