// Unary and binary maps, fill, cast and strided copies on the CPU.
#include "kernels/elementwise.h"

#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/cpu/blocks.h"
#include "kernels/strided.h"

namespace oche::kernels {
namespace {

// visit(functor) with the scalar function that `f` names: the one place where an operation is
// spelled out.
template <typename T, typename Visit>
void with_functor(Unary f, const Visit& visit) {
  switch (f) {
    case Unary::kNegate:
      return visit([](T x) { return -x; });
    case Unary::kExp:
      return visit([](T x) { return std::exp(x); });
    case Unary::kLog:
      return visit([](T x) { return std::log(x); });
    case Unary::kSqrt:
      return visit([](T x) { return std::sqrt(x); });
    case Unary::kSigmoid:
      return visit([](T x) {
        const T e = std::exp(-std::abs(x));  // never overflows
        return (x >= 0 ? T(1) : e) / (1 + e);
      });
    case Unary::kTanh:
      return visit([](T x) { return std::tanh(x); });
    case Unary::kReciprocal:
      return visit([](T x) { return 1 / x; });
    case Unary::kAbs:
      return visit([](T x) { return std::abs(x); });
    case Unary::kSign:
      return visit([](T x) { return x > 0 ? T(1) : x < 0 ? T(-1) : x; });
  }
}

template <typename T, typename Visit>
void with_functor(Binary f, const Visit& visit) {
  switch (f) {
    case Binary::kAdd:
      return visit([](T a, T b) { return a + b; });
    case Binary::kSubtract:
      return visit([](T a, T b) { return a - b; });
    case Binary::kMultiply:
      return visit([](T a, T b) { return a * b; });
    case Binary::kDivide:
      return visit([](T a, T b) { return a / b; });
    case Binary::kGate:
      return visit([](T a, T b) { return b <= 0 ? T(0) : a; });
  }
}

// visit(step_a, step_b) with the common steps of a row as compile-time constants, the others as
// they are.
template <typename Visit>
void with_steps(int64_t a, int64_t b, const Visit& visit) {
  constexpr std::integral_constant<int64_t, 0> kRepeat{};
  constexpr std::integral_constant<int64_t, 1> kNext{};
  if (a == 1 && b == 1) return visit(kNext, kNext);
  if (a == 1 && b == 0) return visit(kNext, kRepeat);
  if (a == 0 && b == 1) return visit(kRepeat, kNext);
  visit(a, b);
}

// body(i, a, b, count) for the pieces of rows of `walk` that make up the elements [begin, end): the
// first is element i in row-major order and lies at offsets a and b.
template <typename Body>
void for_pieces(const Strided& walk, int64_t begin, int64_t end, const Body& body) {
  std::array<int64_t, 8> at;
  int64_t rest = begin, offset[2] = {0, 0};
  for (int d = walk.rank - 1; d >= 0; --d) {
    at[d] = rest % walk.dims[d].extent;
    rest /= walk.dims[d].extent;
    for (int s : {0, 1}) offset[s] += at[d] * walk.dims[d].step[s];
  }
  for (int64_t i = begin; i < end;) {
    const int64_t count = std::min(walk.row().extent - at[walk.rank - 1], end - i);
    body(i, offset[0], offset[1], count);
    i += count;
    for (int s : {0, 1}) offset[s] -= at[walk.rank - 1] * walk.row().step[s];
    at[walk.rank - 1] = 0;
    for (int d = walk.rank - 2; d >= 0; --d) {  // the next row
      for (int s : {0, 1}) offset[s] += walk.dims[d].step[s];
      if (++at[d] < walk.dims[d].extent) break;
      for (int s : {0, 1}) offset[s] -= walk.dims[d].extent * walk.dims[d].step[s];
      at[d] = 0;
    }
  }
}

}  // namespace

template <typename T>
void unary(CpuContext& ctx, Unary f, int64_t n, const T* x, T* y) {
  with_functor<T>(f, [&](auto map) {
    for_blocks(ctx, n, kTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = map(x[i]);
    });
  });
}

template <typename T>
void binary(CpuContext& ctx,
            Binary f,
            Extents shape,
            const T* a,
            Extents a_strides,
            const T* b,
            Extents b_strides,
            T* y) {
  const Strided walk(shape, a_strides, b_strides);
  with_functor<T>(f, [&](auto map) {
    with_steps(walk.row().step[0], walk.row().step[1], [&](auto step_a, auto step_b) {
      for_blocks(ctx, walk.size, kTask, [&](int64_t begin, int64_t end) {
        for_pieces(walk, begin, end, [&](int64_t i, int64_t at_a, int64_t at_b, int64_t count) {
          const T *row_a = a + at_a, *row_b = b + at_b;
          T* row_y = y + i;
          for (int64_t j = 0; j < count; ++j) row_y[j] = map(row_a[j * step_a], row_b[j * step_b]);
        });
      });
    });
  });
}

template <typename T>
void affine(CpuContext& ctx, int64_t n, double scale, double shift, const T* x, T* y) {
  const T k = static_cast<T>(scale), c = static_cast<T>(shift);
  for_blocks(ctx, n, kTask, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = k * x[i] + c;
  });
}

template <typename T>
void accumulate(CpuContext& ctx, int64_t n, const T* x, T* y) {
  for_blocks(ctx, n, kTask, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] += x[i];
  });
}

template <typename T>
void fill(CpuContext& ctx, int64_t n, T value, T* y) {
  for_blocks(
      ctx, n, kTask, [=](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
}

template <typename From, typename To>
void cast(CpuContext& ctx, int64_t n, const From* x, To* y) {
  for_blocks(ctx, n, kTask, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = static_cast<To>(x[i]);
  });
}

template <typename T>
void copy_strided(
    CpuContext& ctx, Extents shape, const T* x, Extents x_strides, T* y, Extents y_strides) {
  const Strided walk(shape, x_strides, y_strides);
  with_steps(walk.row().step[0], walk.row().step[1], [&](auto step_x, auto step_y) {
    for_blocks(ctx, walk.size, kTask, [&](int64_t begin, int64_t end) {
      for_pieces(walk, begin, end, [&](int64_t, int64_t at_x, int64_t at_y, int64_t count) {
        const T* row_x = x + at_x;
        T* row_y = y + at_y;
        for (int64_t j = 0; j < count; ++j) row_y[j * step_y] = row_x[j * step_x];
      });
    });
  });
}

template <typename T>
bool all_finite(CpuContext& ctx, int64_t n, const T* x) {
  std::atomic<bool> finite = true;
  for_blocks(ctx, n, kTask, [&](int64_t begin, int64_t end) {
    if (!finite.load(std::memory_order_relaxed)) return;
    int bad = 0;
    for (int64_t i = begin; i < end; ++i) {
      bad |= !(std::abs(x[i]) <= std::numeric_limits<T>::max());
    }
    if (bad) finite.store(false, std::memory_order_relaxed);
  });
  return finite;
}

#define OCHE_INSTANTIATE_COPIES(T)                              \
  template void fill(CpuContext&, int64_t, T, T*);              \
  template void cast(CpuContext&, int64_t, const T*, float*);   \
  template void cast(CpuContext&, int64_t, const T*, double*);  \
  template void cast(CpuContext&, int64_t, const T*, int64_t*); \
  template void cast(CpuContext&, int64_t, const T*, uint8_t*); \
  template void copy_strided(CpuContext&, Extents, const T*, Extents, T*, Extents);
OCHE_INSTANTIATE_COPIES(float)
OCHE_INSTANTIATE_COPIES(double)
OCHE_INSTANTIATE_COPIES(int64_t)
OCHE_INSTANTIATE_COPIES(uint8_t)
#undef OCHE_INSTANTIATE_COPIES

#define OCHE_INSTANTIATE_MAPS(T)                                                                \
  template void unary(CpuContext&, Unary, int64_t, const T*, T*);                               \
  template void binary(CpuContext&, Binary, Extents, const T*, Extents, const T*, Extents, T*); \
  template void affine(CpuContext&, int64_t, double, double, const T*, T*);                     \
  template void accumulate(CpuContext&, int64_t, const T*, T*);                                 \
  template bool all_finite(CpuContext&, int64_t, const T*);
OCHE_INSTANTIATE_MAPS(float)
OCHE_INSTANTIATE_MAPS(double)
#undef OCHE_INSTANTIATE_MAPS

}  // namespace oche::kernels
