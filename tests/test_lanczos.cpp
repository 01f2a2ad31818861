// Eigenvalues: the dense solver against closed forms, Lanczos' iteration against it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "engine/error.h"
#include "engine/flat.h"
#include "engine/lanczos.h"
#include "engine/random.h"
#include "engine/spectral_density.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

Vector random_symmetric(int64_t n, uint64_t seed) {
  RandomWords words(random_key(seed, 1, Purpose::kPerturb), 0);
  Vector a(n * n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j)
      a[i * n + j] = a[j * n + i] = static_cast<double>(words.next()) / 2147483648.0 - 1;
  }
  return a;
}

Vector times(const Vector& a, const Vector& v) {
  const auto n = std::ssize(v);
  Vector y(n, 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) y[i] += a[i * n + j] * v[j];
  }
  return y;
}

double residual(const Vector& a, double value, const Vector& v) {
  const Vector y = times(a, v);
  double squares = 0;
  for (size_t i = 0; i < v.size(); ++i) squares += (y[i] - value * v[i]) * (y[i] - value * v[i]);
  return std::sqrt(squares);
}

SymmetricProduct by(const Vector& a) {
  return [&a](const Vector& v) { return times(a, v); };
}

}  // namespace

TEST_CASE("eigenvectors of a small symmetric matrix") {
  constexpr int64_t n = 12;
  Vector toeplitz(n * n, 0);  // 2 beside -1: 2 - 2 cos(k pi / (n + 1))
  for (int64_t i = 0; i < n; ++i) {
    toeplitz[i * n + i] = 2;
    if (i + 1 < n) toeplitz[i * n + i + 1] = toeplitz[(i + 1) * n + i] = -1;
  }
  const Eigenvectors e = symmetric_eigenvectors(toeplitz, n);
  for (int64_t k = 0; k < n; ++k) {
    const double angle = static_cast<double>(k + 1) * std::numbers::pi / (n + 1);
    CHECK(std::abs(e.values[k] - (2 - 2 * std::cos(angle))) < 1e-14);
  }
  const Vector a = random_symmetric(n, 1);
  const Eigenvectors r = symmetric_eigenvectors(a, n);
  for (int64_t i = 0; i < n; ++i) {
    CHECK(residual(a, r.values[i], r.vectors[i]) < 1e-13);
    for (int64_t j = 0; j < n; ++j)
      CHECK(std::abs(dot(r.vectors[i], r.vectors[j]) - (i == j ? 1 : 0)) < 1e-14);
  }
  CHECK(symmetric_eigenvectors({3, 0, 0, -5}, 2).values == Vector{-5, 3});
  CHECK(symmetric_eigenvectors({7}, 1).values == Vector{7});
  CHECK(symmetric_eigenvectors(Vector(9, 0), 3).values == Vector(3, 0));
}

TEST_CASE("lanczos finds the largest eigenvalue, and all of a small operator") {
  constexpr int64_t n = 60;
  const Vector a = random_symmetric(n, 2);
  const Vector exact = symmetric_eigenvectors(a, n).values;
  const LanczosResult r = lanczos(by(a), n, {.tolerance = 1e-10});
  CHECK(r.converged);
  CHECK(r.products < n);
  CHECK(std::abs(r.largest() - exact.back()) < 1e-12 * std::abs(exact.back()));
  for (size_t i = 0; i < r.values.size(); ++i) {  // what it says of its error holds
    CHECK(std::abs(residual(a, r.values[i], r.vectors[i]) - r.residuals[i]) < 1e-9);
    CHECK(std::abs(dot(r.vectors[i], r.vectors[i]) - 1) < 1e-12);
  }
  const LanczosResult all = lanczos(by(a), n, {.steps = 1000, .tolerance = 0});
  REQUIRE(std::ssize(all.values) == n);
  CHECK(all.products == n);
  for (int64_t i = 0; i < n; ++i) CHECK(std::abs(all.values[i] - exact[i]) < 1e-12);
  const LanczosResult few = lanczos(by(a), n, {.steps = 3});
  CHECK_FALSE(few.converged);
  CHECK(few.products == 3);
}

// The weights are those of a quadrature: sum_i w_i theta_i^k = v' A^k v, v the first direction.
TEST_CASE("lanczos' weights give the moments of the first direction") {
  constexpr int64_t n = 30;
  const Vector a = random_symmetric(n, 3);
  Vector v;
  const auto product = [&](const Vector& x) {
    if (v.empty()) v = x;
    return times(a, x);
  };
  const LanczosResult r = lanczos(product, n, {.steps = 6, .tolerance = 0});
  Vector power = v;
  for (int k = 0; k < 12; ++k) {  // exact up to degree 2 * 6 - 1
    double moment = 0;
    for (size_t i = 0; i < r.values.size(); ++i) moment += r.weights[i] * std::pow(r.values[i], k);
    CAPTURE(k);
    CHECK(std::abs(moment - dot(v, power)) < 1e-10 * std::max(1.0, std::abs(moment)));
    power = times(a, power);
  }
}

TEST_CASE("lanczos ends in an invariant space") {
  const auto scaled = [](const Vector& v) {
    Vector y = v;
    for (double& x : y) x *= 4;
    return y;
  };
  const LanczosResult r = lanczos(scaled, 10);
  CHECK(r.products == 1);
  CHECK(r.converged);
  CHECK(r.values.size() == 1);
  CHECK(std::abs(r.largest() - 4) < 1e-14);
  const LanczosResult zero = lanczos([](const Vector& v) { return Vector(v.size(), 0); }, 10);
  CHECK(zero.values == Vector{0});
  CHECK(lanczos(scaled, 1).values.size() == 1);
  CHECK_THROWS_AS(lanczos(scaled, 0), std::invalid_argument);
  CHECK_THROWS_AS(lanczos(scaled, 3, {.steps = 0}), std::invalid_argument);
}

TEST_CASE("lanczos goes on until as many of the largest have converged as are wanted") {
  constexpr int64_t n = 60, kWanted = 4;
  const Vector a = random_symmetric(n, 5);
  const Eigenvectors exact = symmetric_eigenvectors(a, n);
  const LanczosResult one = lanczos(by(a), n, {.steps = n}),
                      more = lanczos(by(a), n, {.steps = n, .count = kWanted});
  CHECK(more.converged);
  CHECK(more.products > one.products);
  const auto found = std::ssize(more.values);
  for (int64_t k = 1; k <= kWanted; ++k)
    CHECK(more.values[found - k] == Approx(exact.values[n - k]).epsilon(1e-9));
  CHECK_FALSE(lanczos(by(a), n, {.steps = 3, .count = kWanted}).converged);
}

// Nothing waits for it, so that its residual alone says how near it is.
TEST_CASE("lanczos sees the least eigenvalue on the way, as near as its residual says") {
  constexpr int64_t n = 60;
  const double apart = GENERATE(0.0, -30.0);  // the least one among the others; alone
  CAPTURE(apart);
  Vector a = random_symmetric(n, 7);
  a[0] += apart;
  const Vector exact = symmetric_eigenvectors(a, n).values;
  for (const int64_t steps : {3, 12, 60}) {
    CAPTURE(steps);
    const LanczosResult r = lanczos(by(a), n, {.steps = steps, .tolerance = 1e-10});
    double nearest = std::numeric_limits<double>::infinity();
    for (const double value : exact)
      nearest = std::min(nearest, std::abs(value - r.values.front()));
    CHECK(nearest <= r.residuals.front() + 1e-12);
    CHECK(r.values.front() >= exact.front() - 1e-12);
    if (apart < 0 && steps > 3) CHECK(std::abs(r.values.front() - exact.front()) < 1e-9);
    if (steps == 60) CHECK(std::abs(r.values.front() - exact.front()) < 1e-3);
  }
}

TEST_CASE("spectral density: its mass, mean and negative share are those of the eigenvalues") {
  constexpr int64_t n = 40;
  Vector a = random_symmetric(n, 9);
  for (int64_t i = 0; i < n; ++i) a[i * n + i] += 3;
  const Eigenvectors exact = symmetric_eigenvectors(a, n);
  double trace = 0, negative = 0;
  const double width = 0.01 * (exact.values.back() - exact.values.front());
  for (const double value : exact.values) {
    trace += value;
    negative += value < -width ? 1 : 0;
  }
  REQUIRE(negative > 4);
  const SpectralDensity d = spectral_density(by(a), n, {.probes = 400, .steps = n});
  CHECK(d.mean == Approx(trace / n).epsilon(0.05));
  CHECK(d.negative == Approx(negative / n).epsilon(0.1));
  double mass = 0, first = 0;
  for (size_t i = 0; i + 1 < d.at.size(); ++i) {
    const double part = (d.density[i] + d.density[i + 1]) / 2 * (d.at[i + 1] - d.at[i]);
    mass += part;
    first += part * d.at[i];
  }
  CHECK(mass == Approx(1).epsilon(1e-3));
  CHECK(first == Approx(d.mean).epsilon(0.02));
  CHECK(d.at.front() < exact.values.front());
  CHECK(d.at.back() > exact.values.back());
  CHECK_THROWS_AS(spectral_density(by(a), n, {.width = 0}), std::invalid_argument);
}

TEST_CASE("spectral density of all eigenvalues: exact counts, mean and mass; equal values") {
  constexpr int64_t n = 20;
  Vector a = random_symmetric(n, 4);
  const Vector exact = symmetric_eigenvectors(a, n).values, all = all_eigenvalues(by(a), n);
  double trace = 0;
  int64_t negative = 0;
  for (int64_t i = 0; i < n; ++i) {
    CHECK(std::abs(all[i] - exact[i]) < 1e-13);
    trace += a[i * n + i];
    negative += exact[i] < 0 ? 1 : 0;
  }
  REQUIRE(negative > 4);
  CHECK(signs_of(all, 1e-12).negative == negative);
  CHECK(signs_of(all, 1e-12).zero == 0);
  // -1e-9 is 0 only where rounding says so.
  CHECK(signs_of({-4, -1e-9, 0, 1e-9, 2}, 1e-8).zero == 3);
  CHECK(signs_of({-4, -1e-9, 0, 1e-9, 2}, 1e-8).negative == 1);
  CHECK(signs_of({-4, -1e-9, 0, 1e-9, 2}, 1e-12).negative == 2);
  CHECK(signs_of({0, 0}, 1e-12).zero == 2);

  const auto mass_of = [](const SpectralDensity& d) {
    double mass = 0;
    for (size_t i = 0; i + 1 < d.at.size(); ++i)
      mass += (d.density[i] + d.density[i + 1]) / 2 * (d.at[i + 1] - d.at[i]);
    return mass;
  };
  const SpectralDensity d = spectral_density(all);
  CHECK(d.mean == Approx(trace / n).epsilon(1e-12));
  CHECK(mass_of(d) == Approx(1).epsilon(1e-3));
  for (const double value : {0.0, 3.0, -1e-4}) {  // a spectrum of one point has a width, too
    CAPTURE(value);
    const SpectralDensity one = spectral_density(Vector(5, value));
    CHECK(mass_of(one) == Approx(1).epsilon(1e-3));
    CHECK(one.mean == Approx(value).epsilon(1e-12));
    CHECK(one.negative == Approx(value < 0 ? 1 : 0));
  }
  CHECK_THROWS_AS(spectral_density(Vector()), std::invalid_argument);
  CHECK_THROWS_AS(all_eigenvalues(by(a), 0), std::invalid_argument);
}

TEST_CASE("lanczos makes as many vectors as are wanted, and names what is not finite") {
  constexpr int64_t n = 30;
  const Vector a = random_symmetric(n, 6);
  const LanczosResult all = lanczos(by(a), n), two = lanczos(by(a), n, {.vectors = 2}),
                      none = lanczos(by(a), n, {.vectors = 0});
  CHECK(all.vectors.size() == all.values.size());
  CHECK(none.vectors.empty());
  CHECK(none.values == all.values);
  REQUIRE(two.vectors.size() == 2);
  CHECK(two.vectors[1] == all.vectors.back());
  CHECK(two.vectors[0] == all.vectors[all.vectors.size() - 2]);
  CHECK(all.scale() == std::max(-all.values.front(), all.values.back()));

  const auto broken = [](const Vector& v) { return Vector(v.size(), std::nan("")); };
  CHECK_THROWS_AS(lanczos(broken, n), NonFinite);
  CHECK_THROWS_AS(all_eigenvalues(broken, n), NonFinite);
}
