// What the kernel tests share: values, and the demand that threads do not change a bit.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/context.h"
#include "tests/support/catch.h"
#include "tests/support/values.h"

namespace oche {

// compute(ctx) returns all that a kernel wrote; it must be the same bits for any number of threads.
template <typename Compute>
void check_thread_counts(const Compute& compute) {
  kernels::CpuContext one(1);
  const auto want = compute(one);
  for (int threads : {2, 3, 8}) {
    CAPTURE(threads);
    kernels::CpuContext ctx(threads);
    const auto got = compute(ctx);
    REQUIRE(got.size() == want.size());
    CHECK(std::memcmp(got.data(), want.data(), got.size() * sizeof want[0]) == 0);
  }
}

template <typename T>
std::vector<T> joined(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace oche
