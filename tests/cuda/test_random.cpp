// Random fills on the device: the bits of the CPU.
#include "kernels/random.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using namespace kernels;

// All fills, one after the other; array(n) makes what each writes to, take(array) collects it.
template <typename T, typename Context, typename Make>
void fill_all(Context& ctx, int64_t n, const Make& make) {
  const RandomKey key = make_random_key(7, 11, 13);
  const RandomCounterBase base{3, 1};
  make([&](T* y) { fill_uniform<T>(ctx, key, base, n, -2, 3.1, y); });
  make([&](T* y) { fill_uniform<T>(ctx, key, base, n, 0, 1, y); });
  make([&](T* y) { fill_normal<T>(ctx, key, base, n, 1, 0.3, y); });
  make([&](T* y) { fill_gumbel<T>(ctx, key, base, n, y); });
  make([&](T* y) { dropout_mask<T>(ctx, key, base, n, 0.7, y); });
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: random fills have the CPU's bits", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  CpuContext cpu(1);
  for (int64_t n : {0, 1, 3, 257, 20011}) {
    CAPTURE(n);
    std::vector<TestType> want;
    fill_all<TestType>(cpu, n, [&](const auto& fill) {
      std::vector<TestType> y(n);
      fill(y.data());
      want.insert(want.end(), y.begin(), y.end());
    });
    const auto got = in_every_order([&] {
      std::vector<TestType> all;
      fill_all<TestType>(ctx, n, [&](const auto& fill) {
        DeviceArray<TestType> y(ctx, n);
        fill(y.data());
        const auto values = y.download();
        all.insert(all.end(), values.begin(), values.end());
      });
      return all;
    });
    CHECK(got == want);
  }
}

}  // namespace oche
