// The fragments of kernels/cuda/tensor_cores.cuh: who holds what, as the PTX ISA says it, and that
// their product is one.
#include <utility>
#include <vector>

#include "kernels/cuda/tensor_cores.cuh"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using namespace kernels::cuda;
using kernels::CellProducts;
using kernels::CudaContext;

// Of each lane, the 6 registers of a (16, kDepth) and b (kDepth, 8), and the 4 elements of sum +
// a * b, of which the lane also says where they lie.
struct LaneView {
  uint32_t a[4], b[2];
  int row[4], column[4];
  float sum[4];
};

template <CellProducts kProducts>
__global__ void product_kernel(const float* a, const float* b, const float* sum, LaneView* y) {
  using Cores = TensorCores<kProducts>;
  const auto of_a = Cores::load_a([&](int row, int k) { return a[row * Cores::kDepth + k]; });
  const auto of_b = Cores::load_b([&](int k, int column) { return b[k * 8 + column]; });
  typename Cores::Sum total{};
  LaneView& mine = y[threadIdx.x];
  int i = 0;
  Cores::visit_sum(total, [&](int row, int column, float) {
    mine.row[i] = row;
    mine.column[i] = column;
    total[i++] = sum[row * 8 + column];
  });
  Cores::multiply_add(total, of_a, of_b);
  std::copy(of_a.r, of_a.r + 4, mine.a);
  std::copy(of_b.r, of_b.r + 2, mine.b);
  std::copy(total.value, total.value + 4, mine.sum);
}

template <CellProducts kProducts>
std::vector<LaneView> product(const std::vector<float>& a,
                              const std::vector<float>& b,
                              const std::vector<float>& sum) {
  CudaContext ctx(0);
  DeviceArray<float> of_a(ctx, a), of_b(ctx, b), of_sum(ctx, sum);
  return in_every_order([&] {
    DeviceArray<LaneView> y(ctx, 32);
    CU_LAUNCH((product_kernel<kProducts>),
              1,
              32,
              0,
              ctx.stream(),
              of_a.data(),
              of_b.data(),
              of_sum.data(),
              y.data());
    return y.download();
  });
}

// Element i of what the registers hold, the lower half of one first.
float element(const uint32_t* registers, int i, int packed) {
  if (packed == 1) return std::bit_cast<float>(registers[i]);
  return std::bit_cast<float>(registers[i / 2] >> 16 * (i % 2) << 16);
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("tensor cores: fragments of a product",
                       "",
                       ((CellProducts kProducts), kProducts),
                       CellProducts::kTensorFloat32,
                       CellProducts::kBFloat16) {
  constexpr int kDepth = TensorCores<kProducts>::kDepth, kPacked = TensorCores<kProducts>::kPacked;
  REQUIRE(kDepth == (kProducts == CellProducts::kTensorFloat32 ? 8 : 16));
  // No two elements of a matrix are the same, and a sum of products is exact.
  std::vector<float> a(16 * kDepth), b(kDepth * 8);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i) - 64;
  const auto sum = integers<float>(16 * 8, -100, 100);
  const std::vector<LaneView> lanes = product<kProducts>(a, b, sum);
  for (int lane = 0; lane < 32; ++lane) {
    const LaneView& got = lanes[lane];
    const int group = lane / 4, member = lane % 4;
    CAPTURE(lane);
    for (int i = 0; i < 4 * kPacked; ++i) {
      const int r = i / kPacked, row = r % 2 == 0 ? group : group + 8;
      const int k =
          kPacked == 1 ? member + (r >= 2 ? 4 : 0) : member * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      CHECK(element(got.a, i, kPacked) == a[row * kDepth + k]);
    }
    for (int i = 0; i < 2 * kPacked; ++i) {
      const int k =
          kPacked == 1 ? member + (i == 1 ? 4 : 0) : member * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      CHECK(element(got.b, i, kPacked) == b[k * 8 + group]);
    }
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? group : group + 8, column = member * 2 + (i & 1);
      CHECK(std::pair(got.row[i], got.column[i]) == std::pair(row, column));
      double want = sum[row * 8 + column];
      for (int k = 0; k < kDepth; ++k) want += a[row * kDepth + k] * b[k * 8 + column];
      CHECK(got.sum[i] == want);
    }
  }
}

}  // namespace oche
