// A plain array in double precision, in which references are written as equations over indices.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/shape.h"

namespace oche::ref {

using Index = std::vector<int64_t>;

struct Array {
  Shape shape;
  std::vector<double> values;  // row-major

  double operator()(const Index& i) const {
    int64_t at = 0;
    for (size_t d = 0; d < shape.size(); ++d) at = at * shape[d] + i[d];
    return values[static_cast<size_t>(at)];
  }
};
using Arrays = std::span<const Array>;

// y[i] = f(i) for every index i of `shape`.
template <typename F>
Array generate(const Shape& shape, F&& f) {
  Array y{shape, {}};
  Index i(shape.size(), 0);
  for (int64_t left = numel(shape); left > 0; --left) {
    y.values.push_back(f(i));
    for (size_t d = shape.size(); d-- > 0;) {
      if (++i[d] < shape[d]) break;
      i[d] = 0;
    }
  }
  return y;
}

// `i` with component `dim` replaced by `value`.
inline Index with(Index i, int dim, int64_t value) {
  i[static_cast<size_t>(dim)] = value;
  return i;
}

// sum over 0 <= k < n of f(k).
template <typename F>
double sum_over(int64_t n, F&& f) {
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += f(k);
  return sum;
}

// y[i] = f(x[i])
template <typename F>
Array map(const Array& x, F&& f) {
  Array y = x;
  for (double& v : y.values) v = f(v);
  return y;
}

// Row-major elements of all `parts`, one after the other.
inline Array flat(std::span<const Array> parts) {
  Array y{{0}, {}};
  for (const Array& p : parts) y.values.insert(y.values.end(), p.values.begin(), p.values.end());
  y.shape[0] = static_cast<int64_t>(y.values.size());
  return y;
}

}  // namespace oche::ref
