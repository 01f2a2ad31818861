// Extents, strides and the rules of broadcasting.
#include "engine/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <stdexcept>

namespace oche {

int64_t numel(const Shape& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0; step *= shape[i]) strides[i] = step;
  return strides;
}

std::string to_string(const Shape& shape) {
  constexpr ptrdiff_t kMost = 16;
  const std::span first(shape.begin(), std::min(kMost, std::ssize(shape)));
  const std::string rest =
      std::ssize(shape) > kMost ? fmt::format(", ... {} dimensions", shape.size()) : "";
  return fmt::format("({}{})", fmt::join(first, ", "), rest);
}

int normalize_dim(std::string_view op, int dim, const Shape& shape) {
  const int rank = static_cast<int>(shape.size());
  if (dim < -rank || dim >= rank) {
    throw std::invalid_argument(
        fmt::format("{}: dim {} is out of range for shape {}; expected {} <= dim < {}",
                    op,
                    dim,
                    to_string(shape),
                    -rank,
                    rank));
  }
  return dim < 0 ? dim + rank : dim;
}

Shape broadcast_shapes(std::string_view op, const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {  // i counts from the innermost dimension
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) {
      throw std::invalid_argument(
          fmt::format("{}: shapes {} and {} do not broadcast", op, to_string(a), to_string(b)));
    }
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

Split split_at(const Shape& shape, int dim) {
  Split s;
  for (int i = 0; i < dim; ++i) s.outer *= shape[i];
  s.n = shape[dim];
  for (size_t i = dim + 1; i < shape.size(); ++i) s.inner *= shape[i];
  return s;
}

}  // namespace oche
