// What kernels are written with; the one header that a .cu file includes besides its declarations.
// The same source is compiled by nvcc for a device, and with OCHE_CUDA_HOST by the host compiler
// for the model of tests/cuda_host (docs/cuda-on-host.md). Therefore shared memory and launches go
// through the macros below, and products are fused with sums only where fma() says so.
//
// Results are the same for every order of threads and blocks and for every size of the grid: no
// atomics on floating-point numbers, and sums in an order that the shape alone fixes.
#pragma once

#ifdef OCHE_CUDA_HOST
#include <cuda_host/model.h>
#else
#include <cuda_runtime.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cuda/check.h"
#include "kernels/cuda/context.h"

// CU_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...): checked; nothing is launched
// for an empty grid. A kernel with a comma in its name is written in parentheses.
#define CU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::oche::kernels::cuda::launch(                                  \
      {#kernel, __FILE__, __LINE__}, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

// CU_SHARED(type, name, extent): an array of `extent` elements, one for each block. It holds
// nothing that can be relied on until it is written; `type` has no constructor.
// dynamic_shared<T>(): the shared_bytes of the launch.
#ifdef OCHE_CUDA_HOST
#define CU_SHARED(type, name, extent)                  \
  static char name##_site;                             \
  type(&name)[extent] = *static_cast<type(*)[extent]>( \
      ::oche::cuda_host::shared(&name##_site, sizeof(type[extent]), alignof(type)))
#else
#define CU_SHARED(type, name, extent) __shared__ type name[extent]
#endif

namespace oche::kernels::cuda {

constexpr int kBlockSize = 256;  // threads of a block, where nothing speaks for another number
constexpr int kWarpSize = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

struct LaunchSite {
  const char *kernel, *file;
  int line;
};

template <typename... Parameters, typename... Arguments>
void launch(const LaunchSite& site,
            void (*kernel)(Parameters...),
            dim3 grid,
            dim3 block,
            size_t shared_bytes,
            cudaStream_t stream,
            Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const auto* const function = reinterpret_cast<const void*>(kernel);
  cudaError_t code = allow_shared(function, shared_bytes);
#ifdef OCHE_CUDA_HOST
  (void)stream;
  if (code == cudaSuccess) {
    code = ::oche::cuda_host::run_grid({site.kernel, function}, grid, block, shared_bytes, [&] {
      kernel(static_cast<Parameters>(arguments)...);
    });
  }
#else
  if (code == cudaSuccess) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    code = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  }
#endif
  if (code != cudaSuccess) fail(code, site.kernel, site.file, site.line);
}

// The grid for kernels that go through `items` of their own with grid_index() and grid_threads():
// as many blocks as the device holds at once, or fewer when there is less to do.
inline unsigned grid_size(const CudaContext& ctx, int64_t items, int block = kBlockSize) {
  const int64_t blocks = (items + block - 1) / block;
  return static_cast<unsigned>(std::min<int64_t>(blocks, ctx.multiprocessors() * (2048 / block)));
}

// The largest grid.x, for kernels with a block for each item: one that counts more goes through
// them with a stride of gridDim.x.
inline unsigned grid_blocks(int64_t items) {
  return static_cast<unsigned>(std::min<int64_t>(items, 0x7fffffff));
}

// for (int64_t i = grid_index(); i < n; i += grid_threads())
__device__ inline int64_t grid_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t grid_threads() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

template <typename T>
__device__ T* dynamic_shared() {
#ifdef OCHE_CUDA_HOST
  return static_cast<T*>(::oche::cuda_host::dynamic_shared());
#else
  extern __shared__ __align__(16) unsigned char oche_dynamic_shared[];
  return reinterpret_cast<T*>(oche_dynamic_shared);
#endif
}

// W elements that are loaded and stored at once: 16 bytes, the most that one instruction moves.
template <typename T, int W = 16 / sizeof(T)>
struct alignas(W * sizeof(T)) Vec {
  static constexpr int kWidth = W;
  T value[W];

  __device__ T& operator[](int i) { return value[i]; }
  __device__ const T& operator[](int i) const { return value[i]; }

  // `p` is aligned to the whole vector.
  __device__ static Vec load(const T* p) { return *reinterpret_cast<const Vec*>(p); }
  __device__ void store(T* p) const { *reinterpret_cast<Vec*>(p) = *this; }
};

// True iff Vec<T, W> may be loaded from each of the pointers.
template <int W, typename... T>
__host__ __device__ bool aligned(const T*... p) {
  return (... && (reinterpret_cast<uintptr_t>(p) % (W * sizeof(T)) == 0));
}

// Shuffles of any trivially copyable type, word by word; all 32 lanes take part.
template <typename T>
__device__ T shuffle_down(const T& value, int delta) {
  if constexpr (std::is_arithmetic_v<T> && sizeof(T) >= 4) {
    return __shfl_down_sync(kAllLanes, value, delta);
  } else {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0);
    unsigned words[sizeof(T) / 4];
    std::memcpy(words, &value, sizeof(T));
    for (unsigned& word : words) word = __shfl_down_sync(kAllLanes, word, delta);
    T moved;
    std::memcpy(&moved, words, sizeof(T));
    return moved;
  }
}

// merge(a, b) over the 32 lanes of a warp, by halves; the result is lane 0's. `a` comes from the
// lower lane.
template <typename T, typename Merge>
__device__ T warp_merge(T value, const Merge& merge) {
  for (int delta = kWarpSize / 2; delta > 0; delta /= 2) {
    value = merge(value, shuffle_down(value, delta));
  }
  return value;
}

// merge over a block, one-dimensional and of whole warps: lanes, then warps in order. Every thread
// of the block takes part and gets the result.
template <typename T, typename Merge>
__device__ T block_merge(T value, const Merge& merge) {
  CU_SHARED(T, partial, kWarpSize);
  value = warp_merge(value, merge);
  __syncthreads();  // an earlier call's `partial` has been read
  if (threadIdx.x % kWarpSize == 0) partial[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  T total = partial[0];
  for (unsigned w = 1; w < blockDim.x / kWarpSize; ++w) total = merge(total, partial[w]);
  return total;
}

template <typename T>
__device__ T block_sum(T value) {
  return block_merge(value, [](T a, T b) { return a + b; });
}

}  // namespace oche::kernels::cuda
