// c = op(a) op(b): op(a) is (M, K), op(b) is (K, N), c is (M, N), all row-major and contiguous; op
// transposes when asked.
#pragma once

#include <cstdint>

#include "kernels/context.h"

namespace oche::kernels {

struct GemmShape {
  int64_t M, N, K;
  bool transpose_a = false, transpose_b = false;
};

template <typename T>
void gemm(CpuContext&, const GemmShape&, const T* a, const T* b, T* c);
template <typename T>
void gemm(CudaContext&, const GemmShape&, const T* a, const T* b, T* c);

}  // namespace oche::kernels
