// Fibers by a switch of the stack pointer. Compiled without instrumentation;
// OCHE_ADDRESS_SANITIZER and OCHE_THREAD_SANITIZER say what the rest is compiled with.
#include "tests/cuda_host/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#ifdef OCHE_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef OCHE_THREAD_SANITIZER
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned flags);
}
#endif

// Saves what the calling convention keeps, leaves through *from, arrives at `to`.
extern "C" void oche_switch_stack(void** from, void* to);
asm(R"(
.text
.globl oche_switch_stack
.type oche_switch_stack, @function
oche_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size oche_switch_stack, .-oche_switch_stack
)");

namespace oche::cuda_host {
namespace {

constexpr size_t kPage = 4096;
#if defined(OCHE_ADDRESS_SANITIZER) || defined(OCHE_THREAD_SANITIZER)
constexpr size_t kStackBytes = 64 * kPage;
#else
constexpr size_t kStackBytes = 16 * kPage;
#endif

Fiber* arriving = nullptr;  // the fiber that a switch goes to

}  // namespace

Fiber::Fiber() {
#ifdef OCHE_THREAD_SANITIZER
  context_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*run)()) : bytes_(kStackBytes), run_(run) {
  void* memory = mmap(nullptr,
                      kPage + bytes_,
                      PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1,
                      0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kPage, PROT_NONE);
  stack_ = static_cast<char*>(memory) + kPage;
  // A frame to return into entry(): six registers, the address, and one word that makes rsp % 16
  // be 8 at entry, as after a call.
  void** top = reinterpret_cast<void**>(static_cast<char*>(stack_) + bytes_) - 8;
  top[6] = reinterpret_cast<void*>(&Fiber::entry);
  top_ = top;
#ifdef OCHE_THREAD_SANITIZER
  context_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (!run_) return;
#ifdef OCHE_THREAD_SANITIZER
  __tsan_destroy_fiber(context_);
#endif
  munmap(static_cast<char*>(stack_) - kPage, kPage + bytes_);
}

void Fiber::switch_to(Fiber& next) {
  next.from_ = this;
  arriving = &next;
#ifdef OCHE_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(&fake_stack_, next.stack_, next.bytes_);
#endif
#ifdef OCHE_THREAD_SANITIZER
  __tsan_switch_to_fiber(next.context_, /*no synchronisation*/ 1);
#endif
  oche_switch_stack(&top_, next.top_);
  arrive();
}

void Fiber::arrive() {
#ifdef OCHE_ADDRESS_SANITIZER
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &stack, &bytes);
  from_->stack_ = const_cast<void*>(stack);  // news where it is the thread's own
  from_->bytes_ = bytes;
#endif
}

void Fiber::entry() {
  arriving->arrive();
  arriving->run_();
  __builtin_trap();
}

}  // namespace oche::cuda_host
