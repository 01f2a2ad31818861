// Extents, strides and the rules of broadcasting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oche {

using Shape = std::vector<int64_t>;    // logical extents, outermost first; images are NHWC
using Strides = std::vector<int64_t>;  // in elements

int64_t numel(const Shape& shape);
Strides contiguous_strides(const Shape& shape);
std::string to_string(const Shape& shape);  // "(2, 5)"; of many dimensions, the first few

// `dim` counted from the front; negative values count from the back. Throws naming `op` when out of
// range.
int normalize_dim(std::string_view op, int dim, const Shape& shape);

// The shape both broadcast to (NumPy rules). Throws naming `op` when there is none.
Shape broadcast_shapes(std::string_view op, const Shape& a, const Shape& b);

// A tensor seen as (outer, n, inner) around one of its dimensions.
struct Split {
  int64_t outer = 1, n = 1, inner = 1;
};
Split split_at(const Shape& shape, int dim);

}  // namespace oche
