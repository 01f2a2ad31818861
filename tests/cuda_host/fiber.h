// Fibers: stacks that one thread of the operating system switches among (x86-64, System V).
#pragma once

#include <cstddef>

namespace oche::cuda_host {

// Something that runs and can be left in the middle. What sanitizers must be told of a switch is
// told here, and no synchronisation is implied by one.
class Fiber {
 public:
  Fiber();                        // the stack that it is constructed on
  explicit Fiber(void (*run)());  // a stack of its own, on which `run` starts and never returns
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Goes on with `next`; returns when somebody switches back.
  void switch_to(Fiber& next);

 private:
  static void entry();
  void arrive();

  void* stack_ = nullptr;  // its lowest address; above it a page that faults
  size_t bytes_ = 0;
  void* top_ = nullptr;  // where it was left
  void (*run_)() = nullptr;
  Fiber* from_ = nullptr;                        // where the last switch to it came from
  [[maybe_unused]] void* fake_stack_ = nullptr;  // AddressSanitizer's
  [[maybe_unused]] void* context_ = nullptr;     // ThreadSanitizer's
};

}  // namespace oche::cuda_host
