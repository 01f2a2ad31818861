// The scheduler of the execution model. Compiled without instrumentation, so that ThreadSanitizer
// sees the kernel's own accesses alone, ordered by nothing but the kernel's own synchronisation.
#include "tests/cuda_host/scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "tests/cuda_host/arena.h"
#include "tests/cuda_host/fiber.h"
#include "tests/cuda_host/limits.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

#ifdef OCHE_THREAD_SANITIZER
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif

namespace oche::cuda_host {
namespace {

// What orders memory, for ThreadSanitizer.
struct Sync {
  void acquire() {
#ifdef OCHE_THREAD_SANITIZER
    __tsan_acquire(this);
#endif
  }
  void release() {
#ifdef OCHE_THREAD_SANITIZER
    __tsan_release(this);
#endif
  }
  char identity;
};

// While one lives, memory that the model allocates, fills and frees is no access of the kernel's.
struct Unseen {
#ifdef OCHE_THREAD_SANITIZER
  Unseen() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unseen() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  Unseen() {}
  ~Unseen() {}
#endif
};

enum class State { kFresh, kReady, kWaiting, kEnded };

struct Thread {
  uint3 index;
  State state = State::kFresh;
  Site site{};  // of the last synchronisation
  Fiber* fiber = nullptr;
};

// The lanes of one mask, meeting again and again. Two buffers: the lanes of one meeting may still
// read while the first of them arrive at the next.
struct Meeting {
  explicit Meeting(unsigned lanes) : mask(lanes) {}

  const unsigned mask;
  unsigned turn = 0;  // a lane's bit: its buffer
  struct Buffer {
    unsigned arrived = 0, left = 0;
    Site site{};
    uint64_t value[kLanes];
    Sync sync;
  } buffer[2];
};

struct SharedArray {
  const void* key;
  void* memory;
};

struct Block {
  uint3 index;
  size_t shared_bytes;
  std::vector<Thread> threads;
  std::vector<int> order;
  size_t next_fresh = 0;  // into `order`
  size_t ended = 0;

  // The barrier; by generation, since its threads may read while the first arrive at the next.
  int generation = 0, arrived = 0, holds[2] = {};
  Site site{};
  Sync sync[2];

  std::vector<std::vector<std::unique_ptr<Meeting>>> meetings;  // by warp
  std::vector<SharedArray> arrays;
  size_t static_bytes = 0;
};

struct Model {
  std::mutex one_grid_at_a_time;
  Order order = Order::kForward;
  uint64_t seed = 0;

  const char* kernel = nullptr;
  const std::function<void()>* body = nullptr;
  Block* block = nullptr;
  int current = 0;  // thread
  Fiber* scheduler = nullptr;
  Sync launch, finish, fence;

  std::vector<std::unique_ptr<Fiber>> fibers;  // all
  std::vector<Fiber*> idle;
};
Model model;

Thread& current_thread() {
  return model.block->threads[model.current];
}

bool same(const Site& a, const Site& b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0 && std::strcmp(a.call, b.call) == 0;
}

void print_thread(const Thread& t) {
  std::fprintf(stderr, "  thread (%u, %u, %u) ", t.index.x, t.index.y, t.index.z);
  if (t.state == State::kEnded) {
    std::fprintf(stderr, "has ended\n");
  } else {
    std::fprintf(stderr, "is at %s, %s:%d\n", t.site.call, t.site.file, t.site.line);
  }
}

// Ends the process. Of the threads that stand at one place the first speaks for all.
[[noreturn]] void report(const char* what) {
  const uint3 b = model.block->index;
  std::fprintf(
      stderr, "cuda-on-host: %s in %s, block (%u, %u, %u)\n", what, model.kernel, b.x, b.y, b.z);
  std::vector<const Thread*> printed;
  for (const Thread& t : model.block->threads) {
    const bool ended = t.state == State::kEnded;
    if (t.state == State::kFresh || (!ended && !t.site.call)) continue;
    const bool known = std::any_of(printed.begin(), printed.end(), [&](const Thread* p) {
      return ended == (p->state == State::kEnded) && (ended || same(t.site, p->site));
    });
    if (known) continue;
    print_thread(t);
    printed.push_back(&t);
  }
  std::abort();
}

void enter(int thread) {
  model.current = thread;
  threadIdx = current_thread().index;
}

// Leaves the current thread until somebody has made it ready.
void wait() {
  const int self = model.current;
  Thread& t = current_thread();
  t.state = State::kWaiting;
  t.fiber->switch_to(*model.scheduler);
  enter(self);
}

void wake(Thread& t) {
  if (t.state == State::kWaiting) t.state = State::kReady;
}

// What every fiber runs: threads that have not begun, as many as end without having waited. A
// thread of its own to ThreadSanitizer needs a fiber of its own.
void run_threads() {
  for (;;) {
    Block& block = *model.block;
    const int self = model.current;
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
  model.block = &block;
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

void set_order(Order order, uint64_t seed) {
  model.order = order;
  model.seed = seed;
}

cudaError_t run_grid(const char* kernel,
                     dim3 grid,
                     dim3 block,
                     size_t shared_bytes,
                     const std::function<void()>& thread) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kBlockThreads || block.z > 64 || grid.x > 0x7fffffff ||
      grid.y > 0xffff || grid.z > 0xffff) {
    return cudaErrorInvalidConfiguration;
  }
  if (shared_bytes > kSharedBytes) return cudaErrorInvalidValue;

  const std::lock_guard lock(model.one_grid_at_a_time);
  const DeviceAccess access;
  const Unseen unseen;  // what is released here, threads have allocated
  Fiber scheduler;
  model.scheduler = &scheduler;
  model.kernel = kernel;
  model.body = &thread;
  gridDim = grid;
  blockDim = block;
  model.launch.release();
  uint64_t number = 0;
  for (int b : ordered(uint64_t{grid.x} * grid.y * grid.z, model.seed)) {
    Block state;
    state.index = unravel(b, grid);
    state.shared_bytes = shared_bytes;
    state.threads.resize(threads);
    for (uint64_t t = 0; t < threads; ++t) state.threads[t].index = unravel(t, block);
    state.order = ordered(threads, model.seed + b);
    state.meetings.resize((threads + kLanes - 1) / kLanes);
    run_block(state, number++);
  }
  model.finish.acquire();
  model.block = nullptr;
  return cudaSuccess;
}

int barrier(bool predicate, Site site) {
  const Unseen unseen;
  Block& b = *model.block;
  current_thread().site = site;
  if (b.arrived > 0 && !same(b.site, site)) report("a barrier that threads reach at two places");
  b.site = site;
  const int turn = b.generation % 2;
  b.sync[turn].release();
  b.holds[turn] += predicate;
  if (++b.arrived == static_cast<int>(b.threads.size())) {
    b.arrived = 0;
    ++b.generation;
    b.holds[1 - turn] = 0;
    for (Thread& t : b.threads) wake(t);
  } else {
    wait();
  }
  b.sync[turn].acquire();
  return b.holds[turn];
}

int lane() {
  return model.current % kLanes;
}

const uint64_t* meet(unsigned mask, uint64_t value, bool orders_memory, Site site) {
  const Unseen unseen;
  const int self = model.current, warp = self / kLanes;
  const unsigned bit = 1u << (self % kLanes);
  current_thread().site = site;
  if (!(mask & bit)) report("a mask without the lane that gives it");

  auto& meetings = model.block->meetings[warp];
  auto found = std::find_if(
      meetings.begin(), meetings.end(), [&](const auto& m) { return m->mask == mask; });
  if (found == meetings.end()) {
    meetings.push_back(std::make_unique<Meeting>(mask));
    found = meetings.end() - 1;
  }
  Meeting& m = **found;
  Meeting::Buffer& b = m.buffer[(m.turn & bit) != 0];
  if (b.arrived == 0) {
    b.site = site;
    std::memset(b.value, 0xff, sizeof b.value);
  } else if (!same(b.site, site)) {
    report("lanes of one mask at two places");
  }
  if (orders_memory) b.sync.release();
  b.value[self % kLanes] = value;
  b.arrived |= bit;
  if (b.arrived == mask) {
    for (int i = 0; i < kLanes; ++i) {
      if (mask >> i & 1) wake(model.block->threads[warp * kLanes + i]);
    }
  } else {
    wait();
  }
  if (orders_memory) b.sync.acquire();
  m.turn ^= bit;
  b.left |= bit;
  if (b.left == mask) b.arrived = b.left = 0;
  return b.value;
}

void* shared(const void* key, size_t bytes, size_t align) {
  const Unseen unseen;
  Block& b = *model.block;
  for (const SharedArray& a : b.arrays) {
    if (a.key == key) return a.memory;
  }
  if (key != &model) {  // dynamic_shared() has been checked at the launch
    b.static_bytes += bytes;
    if (b.static_bytes > kStaticSharedBytes) report("more static shared memory than a block has");
  }
  void* memory = nullptr;
  if (posix_memalign(&memory, std::max<size_t>(align, 16), bytes) != 0) std::abort();
  std::memset(memory, 0xff, bytes);
  b.arrays.push_back({key, memory});
  return memory;
}

void* dynamic_shared() {
  return shared(&model, model.block->shared_bytes, 16);
}

void fence() {
  model.fence.release();
  model.fence.acquire();
}

}  // namespace oche::cuda_host
