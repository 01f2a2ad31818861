// Kernels with a planted fault each, beside the sound version of the same kernel. The process runs
// one of them, `test_model_faults <name>`, or all that are sound, `test_model_faults sound`; how a
// fault shows is the build's affair (CMakeLists.txt).
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/device.cuh"

namespace oche {
namespace {

using namespace kernels::cuda;
using kernels::CudaContext;

constexpr int kThreads = 64, kBlocks = 3, kItems = kThreads * kBlocks;

// y[i] = x of the mirrored thread of the block.
template <bool Fault>
__global__ void missing_barrier(const float* x, float* y) {
  CU_SHARED(float, tile, kThreads);
  tile[threadIdx.x] = x[grid_index()];
  if (!Fault) __syncthreads();
  y[grid_index()] = tile[blockDim.x - 1 - threadIdx.x];
}

// The same in several rounds, each of which overwrites what the one before reads.
template <bool Fault>
__global__ void missing_trailing_barrier(const float* x, float* y) {
  CU_SHARED(float, tile, kThreads);
  for (int round = 0; round < 3; ++round) {
    tile[threadIdx.x] = x[grid_index()];
    __syncthreads();
    y[grid_index()] = tile[blockDim.x - 1 - threadIdx.x];
    if (!Fault) __syncthreads();
  }
}

// y[i] = x of the neighbour within the warp.
template <bool Fault>
__global__ void missing_syncwarp(const float* x, float* y) {
  CU_SHARED(float, tile, kThreads);
  tile[threadIdx.x] = x[grid_index()];
  if (!Fault) __syncwarp();
  y[grid_index()] = tile[threadIdx.x ^ 1];
}

// y[i] = x[i] + x[i + 1], where there is one.
template <bool Fault>
__global__ void wrong_halo(const float* x, float* y) {
  const int64_t i = grid_index();
  y[i] = x[i] + (Fault || i + 1 < kItems ? x[i + 1] : 0);
}

template <bool Fault>
__global__ void wrong_shared_halo(const float* x, float* y) {
  CU_SHARED(float, tile, kThreads);
  const unsigned t = threadIdx.x;
  tile[t] = x[grid_index()];
  __syncthreads();
  y[grid_index()] = tile[t] + (Fault || t + 1 < kThreads ? tile[t + 1] : 0);
}

// y = x in steps of a vector, and what is left over.
template <bool Fault>
__global__ void unwritten_tail(const float* x, float* y) {
  constexpr int n = kItems - 1, kWidth = 4;
  const int64_t at = grid_index() * kWidth;
  if (at + kWidth <= n) {
    Vec<float>::load(x + at).store(y + at);
  } else if (!Fault) {
    for (int64_t i = at; i < n; ++i) y[i] = x[i];
  }
  if (grid_index() == 0) y[n] = x[n];
}

// y[b] = the sum of x over block b, and y[kBlocks] the sum over all blocks.
template <bool Fault>
__global__ void race_between_blocks(const float* x, float* y) {
  const float total = block_sum(x[grid_index()]);
  if (threadIdx.x == 0) y[Fault ? 0 : blockIdx.x] = total;
}

template <bool Fault>
__global__ void divergent_barrier(const float* x, float* y) {
  if (!Fault || threadIdx.x < kThreads / 2) __syncthreads();
  y[grid_index()] = x[grid_index()];
}

template <bool Fault>
__global__ void barrier_at_two_places(const float* x, float* y) {
  if (Fault && threadIdx.x == 5) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[grid_index()] = x[grid_index()];
}

template <bool Fault>
__global__ void shuffle_without_a_lane(const float* x, float* y) {
  float value = x[grid_index()];
  if (!Fault || threadIdx.x != 7) value = shuffle_down(value, 0);
  y[grid_index()] = value;
}

template <bool Fault>
__global__ void unwritten_shared(const float* x, float* y) {
  CU_SHARED(float, tile, kThreads);
  if (!Fault || threadIdx.x > 0) tile[threadIdx.x] = x[grid_index()];
  __syncthreads();
  y[grid_index()] = tile[threadIdx.x];
}

// Arrays of 47 or 49 KiB, only the first elements of which are used.
template <bool Fault>
__global__ void large_static_shared(const float* x, float* y) {
  CU_SHARED(float, tile, (Fault ? 49 : 47) * 256);
  tile[threadIdx.x] = x[grid_index()];
  y[grid_index()] = tile[threadIdx.x];
}

// 40 KiB beside what a launch asks for.
__device__ void through_shared(const float* x, float* y) {
  CU_SHARED(float, tile, 40 * 256);
  tile[threadIdx.x] = dynamic_shared<float>()[threadIdx.x] = x[grid_index()];
  y[grid_index()] = tile[threadIdx.x];
}
template <bool Fault>
__global__ void shared_without_leave(const float* x, float* y) {
  through_shared(x, y);
}
template <bool Fault>
__global__ void more_shared_than_there_is(const float* x, float* y) {
  through_shared(x, y);
}

using Kernel = void (*)(const float*, float*);
struct Launch {
  Kernel kernel;
  size_t shared_bytes = 0;
  bool asks_leave = true;  // CU_LAUNCH does
};
struct Fault {
  const char* name;
  Launch faulty, sound;
};
#define OCHE_FAULT(name)      \
  {                           \
#name, {name < true> }, { \
      name<false>             \
    }                         \
  }
const Fault kFaults[] = {OCHE_FAULT(missing_barrier),
                         OCHE_FAULT(missing_trailing_barrier),
                         OCHE_FAULT(missing_syncwarp),
                         OCHE_FAULT(wrong_halo),
                         OCHE_FAULT(wrong_shared_halo),
                         OCHE_FAULT(unwritten_tail),
                         OCHE_FAULT(race_between_blocks),
                         OCHE_FAULT(divergent_barrier),
                         OCHE_FAULT(barrier_at_two_places),
                         OCHE_FAULT(shuffle_without_a_lane),
                         OCHE_FAULT(unwritten_shared),
                         OCHE_FAULT(large_static_shared),
                         {"shared_without_leave",
                          {shared_without_leave<true>, 16 << 10, false},
                          {shared_without_leave<false>, 16 << 10}},
                         {"more_shared_than_there_is",
                          {more_shared_than_there_is<true>, 188 << 10},
                          {more_shared_than_there_is<false>, 187 << 10}}};

std::vector<float> run(CudaContext& ctx, const Launch& launch) {
  std::vector<float> values(kItems);
  for (int i = 0; i < kItems; ++i) values[i] = static_cast<float>(i + 1);
  const size_t bytes = kItems * sizeof(float);
  auto* x = static_cast<float*>(allocate(ctx, bytes));
  auto* y = static_cast<float*>(allocate(ctx, bytes));
  copy_to_device(ctx, x, values.data(), bytes);
  if (launch.asks_leave) {
    CU_LAUNCH(launch.kernel, kBlocks, kThreads, launch.shared_bytes, ctx.stream(), x, y);
  } else {
    cuda_host::run_grid({"a kernel", nullptr}, kBlocks, kThreads, launch.shared_bytes, [&] {
      launch.kernel(x, y);
    });
  }
  copy_to_host(ctx, values.data(), y, bytes);
  release(ctx, x);
  release(ctx, y);
  return values;
}

// Whether `launch` writes the same in every order as `sound` does in the first.
bool agrees(CudaContext& ctx, const char* name, const Launch& launch, const Launch& sound) {
  using cuda_host::Order;
  cuda_host::set_order(Order::kForward);
  const std::vector<float> want = run(ctx, sound);
  int differ = 0;
  const std::pair<Order, const char*> orders[] = {
      {Order::kForward, "forward"}, {Order::kReverse, "reverse"}, {Order::kRandom, "random"}};
  for (const auto& [order, order_name] : orders) {
    cuda_host::set_order(order, 1);
    const std::vector<float> got = run(ctx, launch);
    if (std::memcmp(got.data(), want.data(), kItems * sizeof(float)) == 0) continue;
    std::printf("%s: wrong result in %s order\n", name, order_name);
    ++differ;
  }
  return differ == 0;
}

// Code of the host that reads device memory through its pointer.
float host_access(CudaContext& ctx) {
  auto* x = static_cast<float*>(allocate(ctx, sizeof(float)));
  fill_bytes(ctx, x, 0, sizeof(float));
  std::signal(SIGSEGV, [](int) {
    std::puts("host_access: stopped at device memory");
    std::fflush(stdout);
    std::_Exit(3);
  });
  return *static_cast<volatile float*>(x);
}

}  // namespace
}  // namespace oche

int main(int argc, char** argv) {
  using namespace oche;
  const std::string asked = argc == 2 ? argv[1] : "";
  std::signal(SIGABRT, [](int) { std::_Exit(3); });  // the report counts; ctest takes no signals
  CudaContext ctx(0);
  if (asked == "host_access") return host_access(ctx) == 0 ? 0 : 1;
  bool found = false, agree = true;
  for (const Fault& f : kFaults) {
    if (asked != "sound" && asked != f.name) continue;
    found = true;
    agree &= agrees(ctx, f.name, asked == "sound" ? f.sound : f.faulty, f.sound);
  }
  if (!found) std::fprintf(stderr, "test_model_faults: no kernel is named '%s'\n", asked.c_str());
  return found && agree ? 0 : 1;
}
