// Devices and memory of the CUDA back end.
#include <chrono>
#include <thread>

#include "kernels/cuda/runtime.h"
#include "kernels/elementwise.h"
#include "tests/cuda/device.h"

#ifdef OCHE_CUDA_HOST
#include "tests/cuda_host/memory.h"
#endif

namespace oche {

using kernels::CudaContext;
namespace cuda = kernels::cuda;

TEST_CASE("cuda: a reason is given iff there is no device", "[cuda]") {
  CHECK((cuda::device_count() > 0) == cuda::no_device_reason().empty());
  CHECK_THROWS_AS(CudaContext(cuda::device_count()), std::invalid_argument);
  CHECK_THROWS_AS(CudaContext(-1), std::invalid_argument);
}

TEST_CASE("cuda: copies, fills and the count of bytes", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  CHECK(cuda::device_properties(0).multiprocessors == ctx.multiprocessors());
  const uint64_t before = cuda::memory_use(ctx).in_use;
  const std::vector<int> values = {1, 2, 3, 4, 5};
  {
    DeviceArray<int> a(ctx, values), b(ctx, 5);
    CHECK(cuda::memory_use(ctx).in_use >= before + 10 * sizeof(int));
    CHECK(b.download() == std::vector<int>(5, -1));
    cuda::copy_on_device(ctx, b.data(), a.data() + 1, 4 * sizeof(int));
    CHECK(b.download() == std::vector<int>{2, 3, 4, 5, -1});
    cuda::fill_bytes(ctx, b.data(), 0, 8);
    CHECK(b.download() == std::vector<int>{0, 0, 4, 5, -1});
  }
  cuda::synchronize(ctx);
  CHECK(cuda::memory_use(ctx).in_use == before);
  CHECK(cuda::memory_use(ctx).peak > before);
  CHECK(cuda::allocate(ctx, 0) == nullptr);
  cuda::release(ctx, nullptr);
}

TEST_CASE("cuda: out of memory says what was asked and what is in use", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  const DeviceArray<char> held(ctx, 3 << 20);
  const size_t all = size_t{1} << 46;
  CHECK_THROWS_AS(cuda::allocate(ctx, all), cuda::OutOfMemory);
  try {
    cuda::allocate(ctx, all);
  } catch (const cuda::OutOfMemory& error) {
    const std::string text = error.what();
    CHECK(text.find("asked for 67108864.0 MiB") != std::string::npos);
    CHECK(text.find("in use ") != std::string::npos);
  }
  DeviceArray<int> after(ctx, std::vector<int>{1});  // the failure leaves nothing behind
  CHECK(after.download() == std::vector<int>{1});
}

TEST_CASE("cuda: events tell the time between them", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  cuda::Event start, end, later, never;
  const auto before = std::chrono::steady_clock::now();
  start.record(ctx);
  start.wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  end.record(ctx);
  const double between = start.milliseconds_to(end);
  const std::chrono::duration<double, std::milli> all = std::chrono::steady_clock::now() - before;
  // An event is accurate to half a microsecond or so, and its clock is not the host's.
  CHECK(between >= 19.5);
  CHECK(between <= all.count() + 1);
  later.record(ctx);
  CHECK(start.milliseconds_to(later) >= between);
  CHECK(start.milliseconds_to(start) == 0);
  start.record(ctx);  // a moment is the last one recorded
  CHECK(start.milliseconds_to(end) < 0);
  never.wait();
  CHECK_THROWS_AS(start.milliseconds_to(never), cuda::Error);
}

TEST_CASE("cuda: a second stream brings in what the first works on", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  CudaContext copies(0);
  constexpr int kBatches = 7, kSize = 50'000, kBytes = kSize * sizeof(float);
  DeviceArray<float> sum(ctx, std::vector<float>(kSize)), even(ctx, kSize), odd(ctx, kSize);
  cuda::synchronize(ctx);  // the arrays are there for every stream
  cuda::PinnedBuffer on_host[] = {cuda::PinnedBuffer(kBytes + 4), cuda::PinnedBuffer(kBytes + 4)};
  DeviceArray<float>* const on_device[] = {&even, &odd};
  cuda::Event copied[2], used[2];
  for (int batch = 0; batch < kBatches; ++batch) {
    const int at = batch % 2;
    copied[at].wait();  // the buffer may be filled anew
    auto* const numbers = static_cast<float*>(on_host[at].data());
    std::fill_n(numbers, kSize + 1, static_cast<float>(1 << batch));
    numbers[0] = -1;
    used[at].delay(copies);
    cuda::copy_to_device_async(copies, on_device[at]->data(), on_host[at], 4, kBytes);
    copied[at].record(copies);
    copied[at].delay(ctx);
    kernels::accumulate<float>(ctx, kSize, on_device[at]->data(), sum.data());
    used[at].record(ctx);
  }
  CHECK(sum.download() == std::vector<float>(kSize, (1 << kBatches) - 1));
}

TEST_CASE("cuda: an asynchronous copy stays within its buffer", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  DeviceArray<char> to(ctx, 8);
  cuda::PinnedBuffer from(8), empty(0);
  CHECK(from.size() == 8);
  CHECK(empty.data() == nullptr);
  std::fill_n(static_cast<char*>(from.data()), 8, 'a');
  cuda::copy_to_device_async(ctx, to.data(), from, 3, 5);
  cuda::copy_to_device_async(ctx, to.data(), from, 8, 0);
  cuda::copy_to_device_async(ctx, nullptr, empty, 0, 0);
  CHECK(to.download() == std::vector<char>{'a', 'a', 'a', 'a', 'a', -1, -1, -1});
  for (auto [offset, bytes] : {std::pair<size_t, size_t>{0, 9}, {4, 5}, {9, 0}, {4, ~size_t{0}}}) {
    CAPTURE(offset, bytes);
    CHECK_THROWS_AS(cuda::copy_to_device_async(ctx, to.data(), from, offset, bytes),
                    std::invalid_argument);
  }
}

}  // namespace oche
