// Approximate solutions of symmetric systems, by their residuals and faults.
#include <cmath>

#include "engine/linear_solve.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

SymmetricProduct diagonal(const Vector& d) {
  return [d](Vector v) {
    for (size_t i = 0; i < v.size(); ++i) v[i] *= d[i];
    return v;
  };
}

double residual(const Vector& d, const Vector& x, const Vector& b) {
  Vector r = b;
  add(r, -1, diagonal(d)(x));
  return norm(r) / norm(b);
}

}  // namespace

TEST_CASE("neumann: a series whose terms have begun to grow diverges, however short they still are",
          "[cpu]") {
  const Vector h = {30, 1};  // I - 0.1 H = diag(-2, 0.9)
  const Vector b = {1e-6, 1};
  const Solution grown = neumann(diagonal(h), b, 0.1, 19);
  CHECK(grown.residuals.back() < 1);
  CHECK(grown.fault.find("diverges: |(I - rate H)^19 v| is 0.54") == 0);
  CHECK(neumann(diagonal(h), {std::nan(""), 1}, 0.1, 3).fault.find("diverges") == 0);
}

TEST_CASE("neumann: a series that converges has no fault, and the residuals of its sums", "[cpu]") {
  const Vector h = {10, 1, 0.1, 0}, b = {1, 1, 1, 1};
  Vector residuals;
  for (int64_t terms = 0; terms < 20; ++terms) {
    CAPTURE(terms);
    const Solution s = neumann(diagonal(h), b, 0.19, terms);
    CHECK(s.fault.empty());
    CHECK(s.products == terms);
    REQUIRE(std::ssize(s.residuals) == terms);
    for (int64_t k = 0; k < terms; ++k) CHECK(s.residuals[k] == Approx(residuals[k]));
    residuals.push_back(residual(h, s.x, b));
  }
}

TEST_CASE("nystrom: all columns are the damped inverse, whatever their order", "[cpu]") {
  const Vector h = {3, 2, 1, 0.5, 0.1}, b = {1, -1, 2, 0, 1};
  for (const uint64_t seed : {0, 1, 2}) {
    const Solution s = nystrom(diagonal(h), b, {.iterations = 5, .damping = 1e-3, .seed = seed});
    CHECK(s.fault.empty());
    CHECK(s.products == 6);
    CHECK(s.residuals.back() < 1e-9);
  }
}
