// Logarithm and sine with the same bits on every machine and device: IEEE +, *, / and fma only, no
// libm. A product is never added to anything but through an explicit fma, so that no compiler can
// contract what is written here into something else.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define OCHE_HOST_DEVICE __host__ __device__
#else
#define OCHE_HOST_DEVICE
#endif

namespace oche::kernels {

// ln x for a normal positive x; relative error below 1e-15.
// x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh(s), s = (m - 1) / (m + 1), by its power
// series 2 (s + s^3/3 + s^5/5 + ...) (Abramowitz & Stegun 4.1.27). s^2 < 0.0295, so the first term
// left out, s^22/23, is below 2e-18.
OCHE_HOST_DEVICE inline double portable_log(double x) {
  constexpr double kLn2 = 0.693147180559945309417;
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;  // the bits of sqrt(1/2)
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint64_t above = bits - kSqrtHalf;
  const auto e = static_cast<int64_t>(above) >> 52;
  bits = (above & 0x000fffffffffffff) + kSqrtHalf;
  double m;
  std::memcpy(&m, &bits, sizeof m);

  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  double p = 1.0 / 21;
  p = ::fma(p, z, 1.0 / 19);
  p = ::fma(p, z, 1.0 / 17);
  p = ::fma(p, z, 1.0 / 15);
  p = ::fma(p, z, 1.0 / 13);
  p = ::fma(p, z, 1.0 / 11);
  p = ::fma(p, z, 1.0 / 9);
  p = ::fma(p, z, 1.0 / 7);
  p = ::fma(p, z, 1.0 / 5);
  p = ::fma(p, z, 1.0 / 3);
  const double twice = s + s;
  return ::fma(static_cast<double>(e), kLn2, ::fma(twice * z, p, twice));
}

struct SinCos {
  double sin, cos;
};

// Sine and cosine of `turns` full turns (angle 2 pi turns), |turns| < 2^40; relative error below
// 1e-15, zeros exact. Counting in turns makes the reduction to the nearest quarter exact; on the
// eighth of a turn that is left, the Taylor series (Abramowitz & Stegun 4.3.65 and 4.3.66), whose
// first terms left out, x^17/17! and x^18/18!, are below 1e-16 of the result.
OCHE_HOST_DEVICE inline SinCos portable_sincos(double turns) {
  constexpr double kTwoPi = 6.28318530717958647693;
  const auto quarter = static_cast<int64_t>(::floor(::fma(turns, 4.0, 0.5)));
  const double x = kTwoPi * ::fma(static_cast<double>(quarter), -0.25, turns);
  const double z = x * x;

  double p = -1.0 / 1307674368000;
  p = ::fma(p, z, 1.0 / 6227020800);
  p = ::fma(p, z, -1.0 / 39916800);
  p = ::fma(p, z, 1.0 / 362880);
  p = ::fma(p, z, -1.0 / 5040);
  p = ::fma(p, z, 1.0 / 120);
  p = ::fma(p, z, -1.0 / 6);
  const double sin = ::fma(x * z, p, x);

  double q = 1.0 / 20922789888000;
  q = ::fma(q, z, -1.0 / 87178291200);
  q = ::fma(q, z, 1.0 / 479001600);
  q = ::fma(q, z, -1.0 / 3628800);
  q = ::fma(q, z, 1.0 / 40320);
  q = ::fma(q, z, -1.0 / 720);
  q = ::fma(q, z, 1.0 / 24);
  q = ::fma(q, z, -1.0 / 2);
  const double cos = ::fma(q, z, 1.0);

  switch (quarter & 3) {
    case 0:
      return {sin, cos};
    case 1:
      return {cos, -sin};
    case 2:
      return {-sin, -cos};
    default:
      return {-cos, sin};
  }
}

}  // namespace oche::kernels
