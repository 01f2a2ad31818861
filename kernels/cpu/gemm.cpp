// Matrix products: fixed blocks of rows in parallel, a transposed right operand by panels.
#include "kernels/gemm.h"

#include <algorithm>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/gemm_tile.h"

namespace oche::kernels {

namespace {

constexpr int64_t kPanelDepth = 256, kPanelColumns = 32;  // of a transposed b, on the stack
constexpr int64_t kTaskWork = 256 * 1024;                 // multiply-adds
constexpr int64_t kRowGroup = 24;                         // a multiple of both heights of a tile

// `rows` rows of c = a * b^T, for b of (N, K).
template <typename T>
void multiply_transposed(int64_t rows, int64_t N, int64_t K, StridedMatrix<T> a, const T* b, T* c) {
  alignas(64) T panel[kPanelDepth * kPanelColumns];
  for (int64_t j = 0; j < N; j += kPanelColumns) {
    const int64_t columns = std::min(kPanelColumns, N - j);
    for (int64_t k = 0; k < K; k += kPanelDepth) {
      const int64_t depth = std::min(kPanelDepth, K - k);
      transpose_block(depth, columns, b + j * K + k, K, panel, columns);
      const StridedMatrix<T> slab{a.data + k * a.column, a.row, a.column};
      gemm_block(rows, columns, depth, slab, panel, columns, StoreRows<T>{c + j, N, k > 0});
    }
  }
}

}  // namespace

template <typename T>
void gemm(CpuContext& ctx, const GemmShape& s, const T* a, const T* b, T* c) {
  if (s.K == 0) {
    std::fill_n(c, s.M * s.N, T(0));
    return;
  }
  const int64_t row = s.transpose_a ? 1 : s.K, column = s.transpose_a ? s.M : 1;
  const int64_t groups = ceil_div(kTaskWork, kRowGroup * std::max<int64_t>(1, s.N * s.K));
  for_blocks(ctx, s.M, groups * kRowGroup, [&](int64_t begin, int64_t end) {
    const StridedMatrix<T> rows{a + begin * row, row, column};
    T* target = c + begin * s.N;
    if (s.transpose_b) {
      multiply_transposed(end - begin, s.N, s.K, rows, b, target);
    } else {
      gemm_block(end - begin, s.N, s.K, rows, b, s.N, StoreRows<T>{target, s.N});
    }
  });
}

template void gemm(CpuContext&, const GemmShape&, const float*, const float*, float*);
template void gemm(CpuContext&, const GemmShape&, const double*, const double*, double*);

}  // namespace oche::kernels
