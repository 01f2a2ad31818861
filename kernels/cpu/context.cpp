// The thread pool behind CpuContext: between parallel calls workers look out for the next one for a
// short while, then sleep.
#include "kernels/context.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace oche::kernels {

namespace {

// How long a thread looks for work before it sleeps: longer than a wake-up takes (100 us were
// measured on a virtual machine), short beside a time slice that a descheduled partner may cost.
constexpr std::chrono::microseconds kPatience{200};

void pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

// True iff this thread is running a task of a shared job, of any context; its parallel calls then
// run inline.
thread_local bool inside_task = false;

}  // namespace

struct CpuContext::Pool {
  // One parallel call. It lives on the caller's stack: the caller leaves only when no worker is in
  // it.
  struct Job {
    Task task;
    const void* body;
    std::mutex error_mutex = {};
    std::exception_ptr error = {};  // the first one caught; tasks not yet begun are then dropped
  };

  // The tasks of a job that one thread begins with. Neighbouring tasks work on neighbouring data,
  // and the next job's on the same again: so a thread finds much of it in its own cache.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  explicit Pool(int workers)
      : shares(static_cast<size_t>(workers) + 1),
        patience(workers < static_cast<int>(std::thread::hardware_concurrency())
                     ? kPatience
                     : std::chrono::microseconds(0)) {
    try {
      for (int i = 1; i <= workers; ++i) threads.emplace_back([this, i] { serve(i); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }

  void run(Job& j, int64_t tasks) {
    const std::ptrdiff_t n = std::ssize(shares);
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      shares[i].next = tasks * i / n;
      shares[i].end = tasks * (i + 1) / n;
    }
    open.store(&j);
    announce();
    work(j, 0);
    open.store(nullptr);  // a worker that is not inside by now is not waited for
    await(inside, [](int workers) { return workers == 0; });
  }

  // The tasks of this thread's share, then what is left of the others'.
  void work(Job& j, size_t self) {
    inside_task = true;
    for (size_t k = 0; k < shares.size(); ++k) {
      Share& share = shares[(self + k) % shares.size()];
      for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
        try {
          j.task(j.body, i, static_cast<int64_t>(self));
        } catch (...) {
          for (Share& s : shares) s.next.store(s.end, std::memory_order_relaxed);
          const std::lock_guard lock(j.error_mutex);
          if (!j.error) j.error = std::current_exception();
        }
      }
    }
    inside_task = false;
  }

  void serve(size_t self) {
    for (uint32_t seen = 0; !stopping;) {
      seen = await(generation, [seen](uint32_t now) { return now != seen; });
      ++inside;  // before the look at `open`: the caller closes the job, then looks at `inside`
      if (Job* j = open.load()) work(*j, self);
      if (--inside == 0) inside.notify_one();
    }
  }

  void announce() {
    ++generation;
    generation.notify_all();
  }

  void stop() {
    stopping = true;
    announce();
    for (std::thread& t : threads) t.join();
  }

  // The first value of `word` that is `wanted`. Looks at it for a while before it sleeps: waking up
  // may take longer than the usual stretch between two parallel calls.
  template <typename Word, typename Wanted>
  Word await(const std::atomic<Word>& word, const Wanted& wanted) const {
    const auto start = std::chrono::steady_clock::now();
    for (;;) {
      const Word value = word.load();
      if (wanted(value)) return value;
      if (std::chrono::steady_clock::now() - start < patience) {
        pause();
      } else {
        word.wait(value);
      }
    }
  }

  std::vector<Share> shares;  // one for each thread, the caller's first
  const std::chrono::microseconds patience;
  std::mutex caller;                    // held by the thread whose job the workers serve
  std::atomic<Job*> open{nullptr};      // the job that workers may enter, if any
  std::atomic<int> inside{0};           // workers that may be in it
  std::atomic<uint32_t> generation{0};  // counts jobs
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;
};

const char* instruction_set() {
#if defined(OCHE_VECTOR_BYTES)
  return "wide (vectors of another width than the registers', for tests)";
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)
  return "x86-64-v4 (AVX-512)";
#elif defined(__AVX2__) && defined(__FMA__)
  return "x86-64-v3 (AVX2)";
#elif defined(__x86_64__)
  return "x86-64";
#else
  return "the compiler's default";
#endif
}

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
    for (int64_t i = 0; i < tasks; ++i) task(body, i, 0);
    return;
  }
  Pool::Job job{.task = task, .body = body};
  pool_->run(job, tasks);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace oche::kernels
