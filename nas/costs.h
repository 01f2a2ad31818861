// What the candidates of a network cost, as tables that a mixture of them can be weighed with.
#pragma once

#include <cstdint>
#include <vector>

#include "nas/network.h"

namespace oche::nas {

// Of one cell, (edges, candidates) each. Of one image; `none` and noise cost nothing.
//   parameters  weights of convolutions
//   operations  multiply-adds of convolutions, and the 9 additions of each pixel of a pool
//   memory      elements that each convolution reads and writes, weights included; of pools and
//               identities what goes in and out
// A pool and an identity count as in SNAS (arXiv:1812.09926, its code): 2 elements a pixel, of a
// pool of stride 2 5 elements a pixel of its result.
struct CellCosts {
  bool reduction;
  Tensor parameters, operations, memory;
};
// Of all searched cells in order, for images of height x width. Tensors of o.dtype on the default
// device.
std::vector<CellCosts> costs_of(const NetworkOptions& o, int64_t height, int64_t width);

}  // namespace oche::nas
