// Holds what kernels of a fused cell wrote against the reference.
#pragma once

#include "tests/support/catch.h"
#include "tests/support/mixed_cell_arrays.h"

namespace oche {

// CHECKs that each number of `got` is within rounding of `want`, relative to the largest of its
// array or 1, and that what lies beside the outputs was not written.
template <typename T>
void check_cell_outputs(const CellOutputs<T>& got, const CellOutputs<double>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i, got[i].name);
    CHECK(cell_error(got[i], want[i]) <= cell_tolerance<T>(want[i]));
  }
}

}  // namespace oche
