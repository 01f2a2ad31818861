// The blocks that reductions of both back ends cut their data into. They follow from the shape
// alone, so that neither the threads of a processor nor the size of a device can change a result.
#pragma once

#include <cstdint>

namespace oche::kernels {

constexpr int64_t kSumBlock = 4096;  // elements whose sum is kept in the element type
constexpr int64_t kSumRows = 256;    // rows whose column sums are kept in the element type

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace oche::kernels
