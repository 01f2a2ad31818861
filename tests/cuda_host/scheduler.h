// The execution model: grids of blocks of threads on one thread of the host (docs/cuda-on-host.md).
// Blocks run one after another, the threads of a block in turns from one synchronisation to the
// next.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace oche::cuda_host {

// In which order blocks and threads get their turns. A correct kernel gives the same in every one.
enum class Order { kForward, kReverse, kRandom };
void set_order(Order, uint64_t seed = 0);

// How many threads of kernels there have been so far.
uint64_t threads_started();

// The dynamic shared memory that launches of a kernel may ask for, whatever its static arrays take.
cudaError_t allow_shared(const void* kernel, size_t bytes);

struct KernelName {
  const char* name;
  const void* function;
};
// Runs `thread` once for each thread of the grid. Ends the process with a report where a barrier
// is never complete or is met from two places, or where the block's shared memory is not enough.
cudaError_t run_grid(const KernelName& kernel,
                     dim3 grid,
                     dim3 block,
                     size_t shared_bytes,
                     const std::function<void()>& thread);

}  // namespace oche::cuda_host
