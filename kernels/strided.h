// Two strided readings of one shape, with the dimensions that need not be told apart merged.
#pragma once

#include <cstdint>
#include <span>

namespace oche::kernels {

struct Strided {
  struct Dim {
    int64_t extent, step[2];
  };
  Dim dims[8];  // outermost first; at least one
  int rank = 0;
  int64_t size = 1;

  Strided(std::span<const int64_t> shape, std::span<const int64_t> a, std::span<const int64_t> b) {
    for (size_t d = 0; d < shape.size(); ++d) {
      size *= shape[d];
      if (shape[d] == 1) continue;
      const Dim dim{shape[d], {a[d], b[d]}};
      Dim* outer = rank > 0 ? &dims[rank - 1] : nullptr;
      if (outer && outer->step[0] == dim.extent * dim.step[0] &&
          outer->step[1] == dim.extent * dim.step[1]) {
        *outer = {outer->extent * dim.extent, {dim.step[0], dim.step[1]}};
      } else {
        dims[rank++] = dim;
      }
    }
    if (rank == 0) dims[rank++] = {1, {1, 1}};
  }

  constexpr const Dim& row() const { return dims[rank - 1]; }
};

}  // namespace oche::kernels
