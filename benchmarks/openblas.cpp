// Baseline rows of OpenBLAS; none where it was not found.
#include "benchmarks/families.h"

#if OCHE_HAVE_OPENBLAS

#include <cblas.h>

#include <algorithm>
#include <type_traits>

#include "benchmarks/kernel_case.h"
#include "tests/support/reference_conv.h"

namespace oche::bench {
namespace {

template <typename T>
Case gemm_case(const Arguments& args) {
  const kernels::GemmShape s{.M = args["m"],
                             .N = args["n"],
                             .K = args["k"],
                             .transpose_a = args["transpose_a"] != 0,
                             .transpose_b = args["transpose_b"] != 0};
  const auto a = input<T>(volume({s.M, s.K})), b = input<T>(volume({s.K, s.N}), -1, 1, 2);
  const auto c = output<T>(volume({s.M, s.N}));
  const bool one_thread = args["one_thread"] != 0;
  return {
      .run =
          [=] {
            openblas_set_num_threads(one_thread ? 1 : num_threads());
            const auto multiply = [&](auto gemm) {
              gemm(CblasRowMajor,
                   s.transpose_a ? CblasTrans : CblasNoTrans,
                   s.transpose_b ? CblasTrans : CblasNoTrans,
                   static_cast<blasint>(s.M),
                   static_cast<blasint>(s.N),
                   static_cast<blasint>(s.K),
                   T(1),
                   a.data(),
                   static_cast<blasint>(s.transpose_a ? s.M : s.K),
                   b.data(),
                   static_cast<blasint>(s.transpose_b ? s.K : s.N),
                   T(0),
                   c.data(),
                   static_cast<blasint>(s.N));
            };
            if constexpr (std::is_same_v<T, float>) {
              multiply(cblas_sgemm);
            } else {
              multiply(cblas_dgemm);
            }
          },
      .check =
          [=] { return compare(c, ref::gemm(s, a.reference(), b.reference()), tolerance<T>(s.K)); },
      .bytes = a.bytes() + b.bytes() + c.bytes(),
      .flops =
          2.0 * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K)};
}

}  // namespace

// The rows of our own product, with one thread and with as many as it has.
std::vector<Family> openblas_families() {
  const std::vector<Family> own = reduce_families();
  Family family = *std::ranges::find(own, "gemm", &Family::name);
  family.name = "openblas/gemm";
  family.group = "baseline";
  family.summary = "gemm by OpenBLAS; one_thread:1 leaves the other threads out";
  family.parameters.push_back({"one_thread", 0, 0});
  family.instances = product(family.instances, {{{"one_thread", 0}}, {{"one_thread", 1}}});
  family.make = for_dtype([]<typename T>(const Arguments& a) { return gemm_case<T>(a); });
  return {family};
}

}  // namespace oche::bench

#else

namespace oche::bench {

std::vector<Family> openblas_families() {
  return {};
}

}  // namespace oche::bench

#endif
