// The scheduler of the execution model: whose turn it is. Compiled without instrumentation, so that
// ThreadSanitizer sees the kernel's own accesses alone, ordered by nothing but the kernel's own
// synchronisation.
#include "tests/cuda_host/scheduler.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "tests/cuda_host/arena.h"
#include "tests/cuda_host/block.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace oche::cuda_host {
namespace {

struct Model {
  std::mutex one_grid_at_a_time;
  Order order = Order::kForward;
  uint64_t seed = 0;

  const std::function<void()>* body = nullptr;
  Fiber* scheduler = nullptr;
  Sync launch, finish;

  std::map<const void*, size_t> allowed_shared;
  uint64_t threads_started = 0;

  std::vector<std::unique_ptr<Fiber>> fibers;  // all
  std::vector<Fiber*> idle;
};
Model model;

void enter(int thread) {
  running.thread = thread;
  threadIdx = current_thread().index;
}

// What every fiber runs: threads that have not begun, as many as end without having waited. A
// thread of its own to ThreadSanitizer needs a fiber of its own.
void run_threads() {
  for (;;) {
    Block& block = *running.block;
    const int self = running.thread;
    Fiber* const fiber = block.threads[self].fiber;
    model.launch.acquire();
    (*model.body)();
    model.finish.release();
    block.threads[self].state = State::kEnded;
    ++block.ended;
#ifndef OCHE_THREAD_SANITIZER
    if (block.next_fresh < block.order.size()) {
      const int next = block.order[block.next_fresh++];
      block.threads[next].fiber = fiber;
      enter(next);
      continue;
    }
    model.idle.push_back(fiber);
#endif
    fiber->switch_to(*model.scheduler);
  }
}

#ifdef OCHE_THREAD_SANITIZER
// Thread i of every other block is the same thread to the sanitizer: two sets suffice for a race
// between neighbouring blocks to be seen, and a fresh context for each thread costs 400 us.
Fiber* fiber_for(int thread, uint64_t block_number) {
  const size_t at = 2 * static_cast<size_t>(thread) + block_number % 2;
  if (model.fibers.size() <= at) model.fibers.resize(at + 1);
  if (!model.fibers[at]) model.fibers[at] = std::make_unique<Fiber>(run_threads);
  return model.fibers[at].get();
}
#else
Fiber* fiber_for(int, uint64_t) {
  if (model.idle.empty()) {
    model.fibers.push_back(std::make_unique<Fiber>(run_threads));
    model.idle.reserve(model.fibers.size());
    return model.fibers.back().get();
  }
  Fiber* const fiber = model.idle.back();
  model.idle.pop_back();
  return fiber;
}
#endif

std::vector<int> ordered(size_t count, uint64_t seed) {
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (model.order == Order::kReverse) std::reverse(order.begin(), order.end());
  if (model.order == Order::kRandom) {
    std::shuffle(order.begin(), order.end(), std::minstd_rand(static_cast<unsigned>(seed) + 1));
  }
  return order;
}

uint3 unravel(uint64_t i, dim3 extent) {
  return {static_cast<unsigned>(i % extent.x),
          static_cast<unsigned>(i / extent.x % extent.y),
          static_cast<unsigned>(i / extent.x / extent.y)};
}

void run_block(Block& block, uint64_t number) {
  running.block = &block;
  blockIdx = block.index;
  while (block.ended < block.order.size()) {
    bool moved = false;
    for (int i : block.order) {
      Thread& t = block.threads[i];
      if (t.state == State::kFresh) {
        ++block.next_fresh;
        t.fiber = fiber_for(i, number);
      } else if (t.state != State::kReady) {
        continue;
      }
      moved = true;
      enter(i);
      model.scheduler->switch_to(*t.fiber);
    }
    if (!moved) report("a synchronisation that not all threads reach");
  }
  for (const SharedArray& a : block.arrays) std::free(a.memory);
}

}  // namespace

Running running;

void wait() {
  const int self = running.thread;
  Thread& t = current_thread();
  t.state = State::kWaiting;
  t.fiber->switch_to(*model.scheduler);
  enter(self);
}

void wake(Thread& t) {
  if (t.state == State::kWaiting) t.state = State::kReady;
}

void set_order(Order order, uint64_t seed) {
  model.order = order;
  model.seed = seed;
}

uint64_t threads_started() {
  const std::lock_guard lock(model.one_grid_at_a_time);
  return model.threads_started;
}

cudaError_t allow_shared(const void* kernel, size_t bytes) {
  if (bytes > kSharedBytes) return cudaErrorInvalidValue;
  const std::lock_guard lock(model.one_grid_at_a_time);
  model.allowed_shared[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t run_grid(const KernelName& kernel,
                     dim3 grid,
                     dim3 block,
                     size_t shared_bytes,
                     const std::function<void()>& thread) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kBlockThreads || block.z > 64 || grid.x > 0x7fffffff ||
      grid.y > 0xffff || grid.z > 0xffff) {
    return cudaErrorInvalidConfiguration;
  }
  const std::lock_guard lock(model.one_grid_at_a_time);
  const bool allowed = shared_bytes <= model.allowed_shared[kernel.function];
  const size_t most_shared = allowed ? kSharedBytes : kDefaultSharedBytes;
  if (shared_bytes > most_shared) return cudaErrorInvalidValue;

  const DeviceAccess access;
  const Unseen unseen;  // what is released here, threads have allocated
  Fiber scheduler;
  model.scheduler = &scheduler;
  running.kernel = kernel.name;
  model.body = &thread;
  gridDim = grid;
  blockDim = block;
  model.launch.release();
  model.threads_started += threads * grid.x * grid.y * grid.z;
  uint64_t number = 0;
  for (int b : ordered(uint64_t{grid.x} * grid.y * grid.z, model.seed)) {
    Block state;
    state.index = unravel(b, grid);
    state.dynamic_bytes = shared_bytes;
    state.most_shared = most_shared;
    state.threads.resize(threads);
    for (uint64_t t = 0; t < threads; ++t) state.threads[t].index = unravel(t, block);
    state.order = ordered(threads, model.seed + b);
    state.meetings.resize((threads + kLanes - 1) / kLanes);
    run_block(state, number++);
  }
  model.finish.acquire();
  running.block = nullptr;
  return cudaSuccess;
}

}  // namespace oche::cuda_host
