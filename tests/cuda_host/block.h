// A block while it runs: what the scheduler, which gives turns, and calls.cpp, what a thread may do
// in its turn, know of one another. Private to the two.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "tests/cuda_host/calls.h"
#include "tests/cuda_host/fiber.h"
#include "tests/cuda_host/limits.h"

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
  size_t dynamic_bytes, most_shared;  // shared memory: of the launch; of it and static arrays
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

// The thread whose turn it is.
struct Running {
  const char* kernel = nullptr;
  Block* block = nullptr;
  int thread = 0;
};
extern Running running;
inline Thread& current_thread() {
  return running.block->threads[running.thread];
}

// Leaves the current thread until somebody has made it ready with wake().
void wait();
void wake(Thread&);

// Ends the process with what the threads of the block are at.
[[noreturn]] void report(const char* what);

}  // namespace oche::cuda_host
