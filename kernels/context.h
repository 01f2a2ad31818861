// Execution contexts: where a kernel runs. A kernel is overloaded on its context, so the same call
// reaches either back end; nothing above this layer knows which.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace oche::kernels {

// A CPU with a pool of worker threads. One that has nothing to do sleeps, after a look around of at
// most a fraction of a millisecond.
class CpuContext {
 public:
  // `threads` >= 1 counts the calling thread.
  explicit CpuContext(int threads);
  ~CpuContext();
  CpuContext(const CpuContext&) = delete;
  CpuContext& operator=(const CpuContext&) = delete;

  int threads() const { return threads_; }

  // Runs body(i) for every i in [0, tasks) and returns when all are done. Which thread runs which
  // task is not specified, so that results may only depend on i: a task owns what it writes, and
  // how the work is cut into tasks follows from the shape alone, never from the number of threads.
  // Nested calls run on the calling thread. An exception thrown by a task is rethrown here.
  // Or body(i, worker), for the sake of memory to work in: worker < threads(), and no two tasks of
  // this call run with the same one at a time.
  template <typename Body>
  void parallel(int64_t tasks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        tasks,
        [](const void* f, int64_t i, int64_t worker) {
          const Plain& body = *static_cast<const Plain*>(f);
          if constexpr (std::is_invocable_v<const Plain&, int64_t, int64_t>) {
            body(i, worker);
          } else {
            body(i);
          }
        },
        &body);
  }

 private:
  using Task = void (*)(const void* body, int64_t index, int64_t worker);
  void run(int64_t tasks, Task task, const void* body);

  struct Pool;
  int threads_;
  std::unique_ptr<Pool> pool_;
};

// What the CPU kernels in use were compiled for, such as "x86-64-v3 (AVX2)".
const char* instruction_set();

// A CUDA device and stream; defined by the CUDA back end.
class CudaContext;

}  // namespace oche::kernels
