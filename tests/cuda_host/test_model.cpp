// The execution model against the programming model of CUDA.
#include <numeric>
#include <vector>

#include "kernels/cuda/device.cuh"
#include "tests/cuda/device.h"
#include "tests/cuda_host/limits.h"
#include "tests/cuda_host/memory.h"

namespace oche {
namespace {

using namespace kernels::cuda;
using kernels::CudaContext;

// y: 8 numbers of every thread of a warp.
__global__ void warp_kernel(int* y) {
  const int t = static_cast<int>(threadIdx.x);
  int* mine = y + 8 * t;
  mine[0] = __shfl_sync(kAllLanes, t, 5);
  mine[1] = __shfl_down_sync(kAllLanes, t, 3);
  mine[2] = __shfl_up_sync(kAllLanes, t, 3);
  mine[3] = __shfl_xor_sync(kAllLanes, t, 6);
  mine[4] = __shfl_down_sync(kAllLanes, t, 3, 8);
  mine[5] = static_cast<int>(__ballot_sync(kAllLanes, t % 3 == 0));
  mine[6] = __reduce_add_sync(kAllLanes, t);
  // Two groups of lanes, each among itself.
  mine[7] = t < 8 ? __reduce_max_sync(0xffu, t) : __reduce_min_sync(~0xffu, t);
}

__global__ void count_kernel(unsigned long long* counts) {
  atomicAdd(&counts[0], 1);
  atomicMax(&counts[1], threadIdx.x + 1000 * blockIdx.z);
  if (__syncthreads_or(threadIdx.x == 3)) atomicAdd(&counts[2], 1);
  if (__syncthreads_and(threadIdx.x > 0)) atomicAdd(&counts[3], 1);
  atomicAdd(&counts[4], __syncthreads_count(threadIdx.y == 1));
}

struct Moments {
  float first, last;
  double sum;
};
__global__ void merge_kernel(const float* x, Moments* y) {
  const float mine = x[threadIdx.x];
  const auto merge = [](const Moments& a, const Moments& b) {
    return Moments{a.first, b.last, a.sum + b.sum};
  };
  Moments total{};
  for (int round = 0; round < 2; ++round) total = block_merge(Moments{mine, mine, mine}, merge);
  y[threadIdx.x] = total;
}

__global__ void order_kernel(int* next, int* order) {
  order[atomicAdd(next, 1)] = static_cast<int>(grid_index());
}

__global__ void shared_kernel(int* y) {
  int* dynamic = dynamic_shared<int>();
  CU_SHARED(int, fixed, 32);
  y[grid_index()] = fixed[threadIdx.x] & dynamic[threadIdx.x];  // all bits set
  fixed[threadIdx.x] = dynamic[threadIdx.x] = 0;                // the next block has its own
}

constexpr int kFixed = 40 << 10;  // bytes
__global__ void large_shared_kernel(unsigned char* y) {
  CU_SHARED(unsigned char, fixed, kFixed);
  auto* const dynamic = dynamic_shared<unsigned char>();
  fixed[kFixed - 1 - threadIdx.x] = 0x0f;
  dynamic[threadIdx.x] = 0xf0;
  __syncthreads();
  y[threadIdx.x] = fixed[kFixed - blockDim.x + threadIdx.x] | dynamic[blockDim.x - 1 - threadIdx.x];
}

}  // namespace

TEST_CASE("model: warp functions") {
  CudaContext ctx(0);
  const auto y = in_every_order([&] {
    DeviceArray<int> out(ctx, 8 * 32);
    CU_LAUNCH(warp_kernel, 1, 32, 0, ctx.stream(), out.data());
    return out.download();
  });
  unsigned thirds = 0;
  for (int t = 0; t < 32; t += 3) thirds |= 1u << t;
  for (int t = 0; t < 32; ++t) {
    const std::vector<int> got(y.begin() + 8 * t, y.begin() + 8 * (t + 1));
    const std::vector<int> want = {5,
                                   t + 3 < 32 ? t + 3 : t,
                                   t >= 3 ? t - 3 : t,
                                   t ^ 6,
                                   t % 8 + 3 < 8 ? t + 3 : t,
                                   static_cast<int>(thirds),
                                   31 * 16,
                                   t < 8 ? 7 : 8};
    CAPTURE(t);
    CHECK(got == want);
  }
}

TEST_CASE("model: indices, atomics and barriers that count") {
  CudaContext ctx(0);
  const auto counts = in_every_order([&] {
    DeviceArray<unsigned long long> out(ctx, std::vector<unsigned long long>(5));
    CU_LAUNCH(count_kernel, dim3(2, 3, 4), dim3(8, 5), 0, ctx.stream(), out.data());
    return out.download();
  });
  CHECK(counts == std::vector<unsigned long long>{24 * 40, 3007, 24 * 40, 0, 24 * 40 * 8});
}

TEST_CASE("model: block_merge keeps the order of threads") {
  CudaContext ctx(0);
  for (int threads : {32, 96, 256}) {
    std::vector<float> x(threads);
    std::iota(x.begin(), x.end(), 1.0f);
    const DeviceArray<float> in(ctx, x);
    DeviceArray<Moments> out(ctx, threads);
    CU_LAUNCH(merge_kernel, 1, threads, 0, ctx.stream(), in.data(), out.data());
    for (const Moments& m : out.download()) {
      REQUIRE(m.first == 1);
      REQUIRE(m.last == threads);
      REQUIRE(m.sum == threads * (threads + 1) / 2);
    }
  }
}

TEST_CASE("model: orders of threads and blocks") {
  CudaContext ctx(0);
  const auto run = [&](cuda_host::Order order, uint64_t seed) {
    cuda_host::set_order(order, seed);
    DeviceArray<int> next(ctx, std::vector<int>{0}), out(ctx, 12);
    CU_LAUNCH(order_kernel, 3, 4, 0, ctx.stream(), next.data(), out.data());
    cuda_host::set_order(cuda_host::Order::kForward);
    return out.download();
  };
  std::vector<int> forward(12);
  std::iota(forward.begin(), forward.end(), 0);
  CHECK(run(cuda_host::Order::kForward, 0) == forward);
  CHECK(run(cuda_host::Order::kReverse, 0) == std::vector<int>(forward.rbegin(), forward.rend()));
  auto random = run(cuda_host::Order::kRandom, 1);
  CHECK(random != forward);
  CHECK(random == run(cuda_host::Order::kRandom, 1));
  CHECK(random != run(cuda_host::Order::kRandom, 2));
  std::sort(random.begin(), random.end());
  CHECK(random == forward);
}

TEST_CASE("model: shared memory is new for each block") {
  CudaContext ctx(0);
  DeviceArray<int> out(ctx, std::vector<int>(5 * 32));
  CU_LAUNCH(shared_kernel, 5, 32, 32 * sizeof(int), ctx.stream(), out.data());
  CHECK(out.download() == std::vector<int>(5 * 32, -1));
}

TEST_CASE("model: launches that no device takes") {
  CudaContext ctx(0);
  DeviceArray<int> next(ctx, std::vector<int>{0}), out(ctx, 32);
  const auto launch = [&](dim3 grid, dim3 block, size_t shared_bytes) {
    CU_LAUNCH(order_kernel, grid, block, shared_bytes, ctx.stream(), next.data(), out.data());
  };
  launch(0, 32, 0);  // nothing to do
  launch(dim3(1, 0), 32, 0);
  CHECK(next.download() == std::vector<int>{0});
  CHECK_THROWS_AS(launch(1, 0, 0), Error);
  CHECK_THROWS_AS(launch(1, 1025, 0), Error);
  CHECK_THROWS_AS(launch(dim3(1, 1 << 16), 32, 0), Error);
  CHECK_THROWS_AS(launch(1, 32, cuda_host::kSharedBytes + 1), Error);
  try {
    launch(1, 1025, 0);
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(text.find("order_kernel failed on device 0") == 0);
    CHECK(text.find("test_model.cpp:") != std::string::npos);
  }
}

TEST_CASE("model: static arrays count towards the limits of shared memory") {
  CudaContext ctx(0);
  DeviceArray<unsigned char> out(ctx, 32);
  const auto launch = [&](size_t bytes) {
    CU_LAUNCH(large_shared_kernel, 1, 32, bytes, ctx.stream(), out.data());
  };
  launch(8 << 10);  // what every kernel may have
  // More than that, in total; a smaller request afterwards takes nothing back.
  for (size_t bytes : {size_t{12} << 10, cuda_host::kSharedBytes - kFixed, size_t{12} << 10}) {
    CAPTURE(bytes);
    fill_bytes(ctx, out.data(), 0, 32);
    launch(bytes);
    CHECK(out.download() == std::vector<unsigned char>(32, 0xff));
  }
  // A kernel without leave; with arrays that are too large, it is a fault (test_model_faults.cpp).
  const auto run = [](size_t bytes) {
    static char some_kernel;
    return cuda_host::run_grid({"some_kernel", &some_kernel}, 1, 32, bytes, [] {});
  };
  CHECK(run(cuda_host::kDefaultSharedBytes) == cudaSuccess);
  CHECK(run(cuda_host::kDefaultSharedBytes + 1) == cudaErrorInvalidValue);
}

TEST_CASE("model: memory has an end, and is released once") {
  CudaContext ctx(0);
  cuda_host::limit_memory(memory_use(ctx).in_use + 1000);
  CHECK_THROWS_AS(DeviceArray<char>(ctx, 1001), OutOfMemory);
  { const DeviceArray<char> fits(ctx, 1000); }
  cuda_host::limit_memory(cuda_host::kMemoryBytes);
  void* p = allocate(ctx, 8);
  release(ctx, p);
  CHECK(cudaFree(p) == cudaErrorInvalidValue);
}

}  // namespace oche
