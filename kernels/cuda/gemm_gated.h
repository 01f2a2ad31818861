// The matrix product that gemm and pointwise convolution share.
#pragma once

#include "kernels/cuda/context.h"
#include "kernels/gemm.h"

namespace oche::kernels::cuda {

// c = gated(op(gated(a)) op(b)), with the gate of kernels/conv2d.h for a and for c; nullptr: none.
// The depth K is cut into `splits` >= 1 ranges, of which each writes a matrix of its own to
// c + split * M * N (gated or not, their sum is the product).
template <typename T>
struct GatedGemm {
  GemmShape shape;
  const T *a, *gate_a, *b;
  T* c;
  const T* gate_c = nullptr;
  int64_t splits = 1;
};
template <typename T>
void gemm_gated(CudaContext&, const GatedGemm<T>&);

}  // namespace oche::kernels::cuda
