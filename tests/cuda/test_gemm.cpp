// Matrix products on a CUDA device against the CPU's in double.
#include <limits>

#include "kernels/gemm.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::CpuContext;
using kernels::CudaContext;
using kernels::GemmShape;

// Every tile, whole and with tails on each side, and depths around those of a slab.
const GemmShape kShapes[] = {
    {0, 3, 2},
    {3, 0, 2},
    {3, 2, 0},
    {1, 1, 1},
    {4, 16, 5},
    {16, 16, 64},
    {13, 9, 131},
    {37, 33, 17},
    {64, 10, 70},
    {32, 96, 33},
    {1100, 129, 8},   // enough tiles of 128x64
    {1093, 129, 35},  // likewise, no side a multiple of anything
    {16300, 20, 9},   // of 128x32
    {32600, 4, 6},    // of 256x16
    {32513, 5, 17},
};

std::vector<GemmShape> transposed_each_way(const GemmShape& s) {
  return {{s.M, s.N, s.K},
          {s.M, s.N, s.K, true},
          {s.M, s.N, s.K, false, true},
          {s.M, s.N, s.K, true, true}};
}

template <typename T>
std::vector<T> multiply(CudaContext& ctx,
                        const GemmShape& s,
                        const std::vector<T>& a,
                        const std::vector<T>& b) {
  const DeviceArray<T> left(ctx, a), right(ctx, b);
  DeviceArray<T> c(ctx, s.M * s.N);
  kernels::gemm<T>(ctx, s, left.data(), right.data(), c.data());
  return c.download();
}

template <typename T>
std::vector<double> judge(const GemmShape& s, const std::vector<T>& a, const std::vector<T>& b) {
  CpuContext cpu(1);
  std::vector<double> c(s.M * s.N);
  kernels::gemm<double>(cpu, s, converted<double>(a).data(), converted<double>(b).data(), c.data());
  return c;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: matrix product of integers", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const GemmShape& shape = GENERATE(from_range(std::begin(kShapes), std::end(kShapes)));
  for (const GemmShape& s : transposed_each_way(shape)) {
    CAPTURE(s.M, s.N, s.K, s.transpose_a, s.transpose_b);
    const auto a = integers<TestType>(s.M * s.K, -4, 4, 1);
    const auto b = integers<TestType>(s.K * s.N, -4, 4, 2);
    check_equal(multiply(ctx, s, a, b), judge(s, a, b));
  }
}

TEMPLATE_TEST_CASE("cuda: matrix product in every order of threads", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const GemmShape shape = GENERATE(GemmShape{13, 9, 131},
                                   GemmShape{37, 33, 70},
                                   GemmShape{1093, 65, 9},
                                   GemmShape{16300, 20, 4},
                                   GemmShape{32513, 3, 3});
  for (const GemmShape& s : transposed_each_way(shape)) {
    CAPTURE(s.M, s.N, s.K, s.transpose_a, s.transpose_b);
    auto a = integers<TestType>(s.M * s.K, -1000, 1000, 1);
    auto b = integers<TestType>(s.K * s.N, -1000, 1000, 2);
    for (TestType& v : a) v /= 999;
    for (TestType& v : b) v /= 777;
    const auto got = in_every_order([&] { return multiply(ctx, s, a, b); });
    check_close(got, judge(s, a, b), 2 * std::numeric_limits<TestType>::epsilon() * s.K);
  }
}

TEMPLATE_TEST_CASE("cuda: matrix product of misaligned views", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const GemmShape& s : transposed_each_way({20, 36, 24})) {
    CAPTURE(s.transpose_a, s.transpose_b);
    const auto a = integers<TestType>(s.M * s.K, -4, 4, 1);
    const auto b = integers<TestType>(s.K * s.N, -4, 4, 2);
    std::vector<TestType> shifted_a = a, shifted_b = b;
    shifted_a.insert(shifted_a.begin(), 99);
    shifted_b.insert(shifted_b.begin(), 99);
    const DeviceArray<TestType> left(ctx, shifted_a), right(ctx, shifted_b);
    DeviceArray<TestType> c(ctx, s.M * s.N + 2);
    kernels::gemm<TestType>(ctx, s, left.data() + 1, right.data() + 1, c.data() + 1);
    std::vector<TestType> got = c.download();
    CHECK(got.front() != got.front());
    CHECK(got.back() != got.back());
    check_equal(std::vector<TestType>(got.begin() + 1, got.end() - 1), judge(s, a, b));
  }
}

TEMPLATE_TEST_CASE("cuda: a NaN stays in its row and column", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const GemmShape s{.M = 21, .N = 19, .K = 18};
  auto a = integers<TestType>(s.M * s.K, -4, 4, 1);
  auto b = integers<TestType>(s.K * s.N, -4, 4, 2);
  a[20 * s.K + 17] = std::numeric_limits<TestType>::quiet_NaN();  // of the last row
  b[3 * s.N] = std::numeric_limits<TestType>::infinity();         // of the first column
  check_equal(multiply(ctx, s, a, b), judge(s, a, b));
}

}  // namespace oche
