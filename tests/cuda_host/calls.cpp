// What a thread of a kernel may do in its turn: barriers, meetings of lanes, shared memory.
// Compiled without instrumentation, like the scheduler.
#include "tests/cuda_host/calls.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_host/block.h"

namespace oche::cuda_host {
namespace {

Sync fences;
char dynamic_key;  // of the array that a launch asks for

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

}  // namespace

// Of the threads that stand at one place the first speaks for all.
void report(const char* what) {
  const uint3 b = running.block->index;
  std::fprintf(
      stderr, "cuda-on-host: %s in %s, block (%u, %u, %u)\n", what, running.kernel, b.x, b.y, b.z);
  std::vector<const Thread*> printed;
  for (const Thread& t : running.block->threads) {
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

int barrier(bool predicate, Site site) {
  const Unseen unseen;
  Block& b = *running.block;
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
  return running.thread % kLanes;
}

const uint64_t* meet(unsigned mask, uint64_t value, bool orders_memory, Site site) {
  const Unseen unseen;
  const int self = running.thread, warp = self / kLanes;
  const unsigned bit = 1u << (self % kLanes);
  current_thread().site = site;
  if (!(mask & bit)) report("a mask without the lane that gives it");

  auto& meetings = running.block->meetings[warp];
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
      if (mask >> i & 1) wake(running.block->threads[warp * kLanes + i]);
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
  Block& b = *running.block;
  for (const SharedArray& a : b.arrays) {
    if (a.key == key) return a.memory;
  }
  if (key != &dynamic_key) {  // dynamic_shared() has been checked at the launch
    b.static_bytes += bytes;
    if (b.static_bytes > kDefaultSharedBytes) report("more static than 48 KiB of shared memory");
    if (b.static_bytes + b.dynamic_bytes > b.most_shared) {
      report(b.most_shared == kSharedBytes
                 ? "more static and dynamic shared memory than a block has"
                 : "more than 48 KiB of shared memory without leave");
    }
  }
  void* memory = nullptr;
  if (posix_memalign(&memory, std::max<size_t>(align, 16), bytes) != 0) std::abort();
  std::memset(memory, 0xff, bytes);
  b.arrays.push_back({key, memory});
  return memory;
}

void* dynamic_shared() {
  return shared(&dynamic_key, running.block->dynamic_bytes, 16);
}

void fence() {
  fences.release();
  fences.acquire();
}

}  // namespace oche::cuda_host
