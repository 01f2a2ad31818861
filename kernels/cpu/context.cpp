// The thread pool behind CpuContext: workers sleep on a condition variable between parallel calls.
#include "kernels/context.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace oche::kernels {

namespace {

// True iff this thread is running a task of a shared job, of any context; its parallel calls then
// run inline.
thread_local bool inside_task = false;

}  // namespace

struct CpuContext::Pool {
  // One parallel call. It lives on the caller's stack: the caller leaves only when no worker is in
  // it.
  struct Job {
    Job(Task t, const void* b, int64_t n) : task(t), body(b), tasks(n) {}

    Task task;
    const void* body;
    int64_t tasks;
    std::atomic<int64_t> next{0};
    std::mutex error_mutex;
    std::exception_ptr error;  // the first one caught; tasks not yet begun are then dropped

    void work() {
      inside_task = true;
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
        try {
          task(body, i);
        } catch (...) {
          next.store(tasks, std::memory_order_relaxed);
          const std::lock_guard lock(error_mutex);
          if (!error) error = std::current_exception();
        }
      }
      inside_task = false;
    }
  };

  explicit Pool(int workers) {
    try {
      for (int i = 0; i < workers; ++i) threads.emplace_back([this] { serve(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }

  void run(Job& j) {
    {
      const std::lock_guard lock(mutex);
      job = &j;
      ++generation;
    }
    wake.notify_all();
    j.work();
    std::unique_lock lock(mutex);
    job = nullptr;  // a worker that has not woken up by now is not waited for
    done.wait(lock, [this] { return active == 0; });
  }

  void serve() {
    uint64_t seen = 0;
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return stopping || (job && generation != seen); });
      if (stopping) return;
      seen = generation;
      Job& j = *job;
      ++active;
      lock.unlock();
      j.work();
      lock.lock();
      if (--active == 0) done.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread& t : threads) t.join();
  }

  std::mutex caller;  // held by the thread whose job the workers serve
  std::mutex mutex;   // guards what follows
  std::condition_variable wake, done;
  Job* job = nullptr;       // open to workers iff not null
  uint64_t generation = 0;  // counts jobs; a worker enters each at most once
  int active = 0;           // workers inside the job
  bool stopping = false;
  std::vector<std::thread> threads;
};

CpuContext::CpuContext(int threads) : threads_(threads) {
  if (threads < 1) {
    throw std::invalid_argument("CpuContext: threads is " + std::to_string(threads) +
                                "; expected at least 1");
  }
  if (threads > 1) pool_ = std::make_unique<Pool>(threads - 1);
}

CpuContext::~CpuContext() = default;

void CpuContext::run(int64_t tasks, Task task, const void* body) {
  std::unique_lock<std::mutex> caller;
  if (pool_ && tasks > 1 && !inside_task)
    caller = std::unique_lock(pool_->caller, std::try_to_lock);
  if (!caller) {
    for (int64_t i = 0; i < tasks; ++i) task(body, i);
    return;
  }
  Pool::Job job(task, body, tasks);
  pool_->run(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace oche::kernels
