// What the tests of CUDA kernels share: data on the device, and the demand that no order of threads
// changes a bit. The judge is the CPU kernel on double; on small integers both are exact and equal.
#pragma once

#include <cstring>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/cuda/libraries.h"
#include "kernels/cuda/runtime.h"
#include "tests/support/catch.h"

#ifdef OCHE_CUDA_HOST
#include "tests/cuda_host/scheduler.h"
#endif

namespace oche {

// In a test case: skips it where there is no device, otherwise makes a context `ctx`, for kernels
// of our own unless the test says otherwise.
#define OCHE_CUDA_CONTEXT(ctx)                                                     \
  if (kernels::cuda::device_count() == 0) SKIP(kernels::cuda::no_device_reason()); \
  kernels::CudaContext ctx(0);                                                     \
  ctx.libraries().set_use(kernels::cuda::LibraryUse::kNone)

// An array on the device.
template <typename T>
class DeviceArray {
 public:
  // Of n elements that nobody has written: all bits set, NaN in floating point.
  DeviceArray(kernels::CudaContext& ctx, int64_t n) : ctx_(ctx), n_(n) {
    data_ = static_cast<T*>(kernels::cuda::allocate(ctx, n * sizeof(T)));
    kernels::cuda::fill_bytes(ctx, data_, 0xff, n * sizeof(T));
  }
  DeviceArray(kernels::CudaContext& ctx, const std::vector<T>& values)
      : DeviceArray(ctx, static_cast<int64_t>(values.size())) {
    kernels::cuda::copy_to_device(ctx, data_, values.data(), n_ * sizeof(T));
  }
  ~DeviceArray() { kernels::cuda::release(ctx_, data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return n_; }
  std::vector<T> download() const {
    std::vector<T> values(n_);
    kernels::cuda::copy_to_host(ctx_, values.data(), data_, n_ * sizeof(T));
    return values;
  }

 private:
  kernels::CudaContext& ctx_;
  T* data_ = nullptr;
  int64_t n_;
};

// compute() returns all that a kernel wrote, as a vector; it must be the same bits in every order
// of blocks and threads, and on a device in every run.
template <typename Compute>
auto in_every_order(const Compute& compute) {
#ifdef OCHE_CUDA_HOST
  using cuda_host::Order;
  struct Forward {
    ~Forward() { cuda_host::set_order(Order::kForward); }
  } restore;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // What these look for they find in any order.
  const std::pair<Order, uint64_t> orders[] = {{Order::kRandom, 1}};
#else
  const std::pair<Order, uint64_t> orders[] = {
      {Order::kReverse, 0}, {Order::kRandom, 1}, {Order::kRandom, 2}};
#endif
  cuda_host::set_order(Order::kForward);
#else
  const std::pair<int, uint64_t> orders[] = {{0, 1}, {0, 2}};
#endif
  const auto want = compute();
  for (const auto& [order, seed] : orders) {
#ifdef OCHE_CUDA_HOST
    cuda_host::set_order(order, seed);
#endif
    const int number = static_cast<int>(order);
    const uint64_t with_seed = seed;
    CAPTURE(number, with_seed);
    const auto got = compute();
    REQUIRE(got.size() == want.size());
    const size_t bytes = got.size() * sizeof want[0];
    CHECK((bytes == 0 || std::memcmp(got.data(), want.data(), bytes) == 0));
  }
  return want;
}

#ifdef OCHE_CUDA_HOST
// Among how many threads launch() shares out its work: for what a device shows as time only.
template <typename Launch>
uint64_t threads_of(const Launch& launch) {
  const uint64_t before = cuda_host::threads_started();
  launch();
  return cuda_host::threads_started() - before;
}
#endif

// n integers in [low, high], the same for every T.
template <typename T>
std::vector<T> integers(int64_t n, int low, int high, unsigned seed = 1) {
  std::minstd_rand random(seed);
  std::vector<T> values(n);
  for (T& v : values) {
    v = static_cast<T>(low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1)));
  }
  return values;
}

template <typename To, typename From>
std::vector<To> converted(const std::vector<From>& from) {
  std::vector<To> to(from.size());
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
  return to;
}

// CHECKs that got is `want`, number by number; a NaN equals a NaN.
template <typename T>
void check_equal(const std::vector<T>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double value = static_cast<double>(got[i]), expected = want[i];
    if (value == expected || (value != value && expected != expected)) continue;
    CAPTURE(i, value, expected);
    FAIL_CHECK("differs");
    return;
  }
}

// CHECKs that |got - want| <= tolerance * max(1, |want|), number by number.
template <typename T>
void check_close(const std::vector<T>& got, const std::vector<double>& want, double tolerance) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double value = static_cast<double>(got[i]), expected = want[i];
    const double scale = std::max(1.0, expected < 0 ? -expected : expected);
    const double error = value > expected ? value - expected : expected - value;
    if (error <= tolerance * scale || value == expected) continue;
    if (value != value && expected != expected) continue;
    CAPTURE(i, value, expected, tolerance);
    FAIL_CHECK("differs");
    return;
  }
}

}  // namespace oche
