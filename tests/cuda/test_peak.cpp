// Chains of multiply-adds: what they count, and that all of them were computed.
#include <cmath>

#include "kernels/peak.h"
#include "tests/cuda/device.h"

namespace oche {

TEMPLATE_TEST_CASE("cuda: chains of multiply-adds", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  for (const int64_t tasks : {0, 1, 256, 1000}) {
    for (const int64_t rounds : {0, 3, 17}) {
      CAPTURE(tasks, rounds);
      DeviceArray<TestType> y(ctx, tasks);
      const int64_t flops = kernels::multiply_add_chains<TestType>(ctx, tasks, rounds, y.data());
      CHECK(flops == tasks * rounds * 16);
      // Chain i begins with i + 1 and halves its distance to 2 in each round.
      const double want = 16 + std::ldexp(36.0 - 16, -static_cast<int>(rounds));
      check_close(y.download(), std::vector<double>(tasks, want), 1e-6);
    }
  }
}

}  // namespace oche
