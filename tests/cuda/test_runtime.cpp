// Devices and memory of the CUDA back end.
#include "kernels/cuda/runtime.h"
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

}  // namespace oche
