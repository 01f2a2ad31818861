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

// Where a kernel called.
struct Site {
  const char* call;
  const char* file;
  int line;
};

// Runs `thread` once for each thread of the grid. Ends the process with a report where a barrier
// is never complete or is met from two places.
cudaError_t run_grid(const char* kernel,
                     dim3 grid,
                     dim3 block,
                     size_t shared_bytes,
                     const std::function<void()>& thread);

// What a thread of a kernel may call.

// Waits for all threads of the block; returns for how many of them `predicate` holds.
int barrier(bool predicate, Site);
// Waits for the lanes of `mask`, of which the caller is one; returns the values of the 32 lanes,
// all bits set for those not in the mask. They are valid up to the next call.
const uint64_t* meet(unsigned mask, uint64_t value, bool orders_memory, Site);
int lane();
// The block's array of the declaration `key`, of 0xFF bytes when it is new.
void* shared(const void* key, size_t bytes, size_t align);
void* dynamic_shared();
void fence();

}  // namespace oche::cuda_host
