// Products of small matrices by a warp, on tensor cores: sum(16, 8) += a(16, kDepth) *
// b(kDepth, 8), of factors that are rounded already; sums are float.
//
// The 32 lanes hold the matrices in fragments, laid out as the PTX ISA says ("Matrix Fragments for
// mma.m16n8k8" and "... for mma.m16n8k16"). With lane = 4 g + t, and kPacked elements of
// neighbouring k in a register, the first in its lower bits:
//   a    register r: row g + 8 (r % 2), k from kPacked (t + 4 (r / 2)) on
//   b    register r: k from kPacked (t + 4 r) on, column g
//   sum  element i:  row g + 8 (i / 2), column 2 t + i % 2
// Where there are no such instructions, on the host and below compute capability 8.0, lanes shuffle
// the same fragments to where they are multiplied.
#pragma once

#include <bit>

#include "kernels/cuda/device.cuh"
#include "kernels/mixed_cell.h"

namespace oche::kernels::cuda {

template <CellProducts kProducts>
struct TensorCores {
  static_assert(kProducts != CellProducts::kExact);
  static constexpr int kPacked = kProducts == CellProducts::kBFloat16 ? 2 : 1;
  static constexpr int kRows = 16, kColumns = 8, kDepth = 8 * kPacked;

  struct A {
    uint32_t r[4];
  };
  struct B {
    uint32_t r[2];
  };
  using Sum = Vec<float>;

  // at(row, k).
  template <typename At>
  __device__ static A load_a(const At& at) {
    A a;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int row = group() + 8 * (r % 2), k = kPacked * (member() + 4 * (r / 2));
      a.r[r] = packed([&](int i) { return at(row, k + i); });
    }
    return a;
  }
  // at(k, column).
  template <typename At>
  __device__ static B load_b(const At& at) {
    B b;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int k = kPacked * (member() + 4 * r);
      b.r[r] = packed([&](int i) { return at(k + i, group()); });
    }
    return b;
  }
  // visit(row, column, element) for the lane's elements of a sum.
  template <typename Visit>
  __device__ static void visit_sum(const Sum& sum, const Visit& visit) {
#pragma unroll
    for (int i = 0; i < 4; ++i) visit(group() + 8 * (i / 2), 2 * member() + i % 2, sum[i]);
  }

  // All lanes take part.
  __device__ static void multiply_add(Sum& sum, const A& a, const B& b) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 800
    // What one lane holds of a row or a column moves at once.
    for (int t = 0; t < 4; ++t) {
      const uint64_t upper = __shfl_sync(kAllLanes, pair(a.r[0], a.r[2]), 4 * group() + t);
      const uint64_t lower = __shfl_sync(kAllLanes, pair(a.r[1], a.r[3]), 4 * group() + t);
      const uint64_t left = __shfl_sync(kAllLanes, pair(b.r[0], b.r[1]), 8 * member() + t);
      const uint64_t right = __shfl_sync(kAllLanes, pair(b.r[0], b.r[1]), 8 * member() + 4 + t);
      for (int i = 0; i < 2 * kPacked; ++i) {
        sum[0] = ::fma(element(upper, i), element(left, i), sum[0]);
        sum[1] = ::fma(element(upper, i), element(right, i), sum[1]);
        sum[2] = ::fma(element(lower, i), element(left, i), sum[2]);
        sum[3] = ::fma(element(lower, i), element(right, i), sum[3]);
      }
    }
#else
    if constexpr (kProducts == CellProducts::kTensorFloat32) {
      asm volatile(
          "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
          : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
    } else {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
          "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
          : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
    }
#endif
  }

 private:
  __device__ static int group() {
    return static_cast<int>(threadIdx.x) % kWarpSize / 4;
  }
  __device__ static int member() {
    return static_cast<int>(threadIdx.x) % 4;
  }

  // A register of the elements at(0) up to at(kPacked - 1); of bfloat16 the upper halves.
  template <typename At>
  __device__ static uint32_t packed(const At& at) {
    const auto first = std::bit_cast<uint32_t>(at(0));
    if constexpr (kPacked == 1) return first;
    return first >> 16 | (std::bit_cast<uint32_t>(at(1)) & 0xffff0000u);
  }
  __device__ static uint64_t pair(uint32_t first, uint32_t second) {
    return uint64_t{second} << 32 | first;
  }
  // Element i of two registers.
  __device__ static float element(uint64_t registers, int i) {
    if constexpr (kPacked == 1)
      return std::bit_cast<float>(static_cast<uint32_t>(registers >> 32 * i));
    return to_float(BFloat16{static_cast<uint16_t>(registers >> 16 * i)});
  }
};

}  // namespace oche::kernels::cuda
