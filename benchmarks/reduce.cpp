// Rows of reductions, softmax and matrix products.
#include "kernels/reduce.h"

#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"
#include "tests/support/reference_conv.h"

namespace oche::bench {
namespace {

using ref::Indices;
using ref::Middle;
using ref::Values;

const std::vector<Parameter> kMiddle = {{"outer", 64}, {"n", 64}, {"inner", 256}};
// Global average pooling of the last stage, a bias gradient of the first, everything, the classes.
const std::vector<Instance> kReductions = {{{"outer", 64}, {"n", 64}, {"inner", 256}},
                                           {{"outer", 1}, {"n", 65536}, {"inner", 16}},
                                           {{"outer", 1}, {"n", 1048576}, {"inner", 1}},
                                           {{"outer", 64}, {"n", 10}, {"inner", 1}}};
// The classes of a batch, the alphas of a cell, the channels of the first stage.
const std::vector<Instance> kSoftmaxes = {{{"outer", 64}, {"n", 10}, {"inner", 1}},
                                          {{"outer", 14}, {"n", 8}, {"inner", 1}},
                                          {{"outer", 65536}, {"n", 16}, {"inner", 1}}};

Middle middle(const Arguments& a) {
  volume({a["outer"], a["n"], a["inner"]});
  return {a["outer"], a["n"], a["inner"]};
}

template <typename T>
Case sum_case(const Arguments& a) {
  const Middle m = middle(a);
  const auto x = input<T>(m.size()), y = output<T>(m.columns());
  const auto workspace = output<double>(kernels::sum_workspace(m.outer, m.n, m.inner));
  return {.run = launch([=](auto& ctx) {
            kernels::sum<T>(ctx, m.outer, m.n, m.inner, x.data(), y.data(), workspace.data());
          }),
          .check = [=] { return compare(y, ref::sum(m, x.reference()), tolerance<T>(m.n)); },
          .bytes = x.bytes() + y.bytes(),
          .flops = static_cast<double>(m.size())};
}

template <typename T>
Case dot_case(const Arguments& args) {
  const int64_t n = volume({args["elements"]});
  const auto a = input<T>(n), b = input<T>(n, -1, 1, 2), y = output<T>(1);
  const auto workspace = output<double>(kernels::dot_workspace(n));
  return {.run = launch([=](auto& ctx) {
            kernels::dot<T>(ctx, n, a.data(), b.data(), y.data(), workspace.data());
          }),
          .check =
              [=] { return compare(y, {ref::dot(a.reference(), b.reference())}, tolerance<T>(n)); },
          .bytes = a.bytes() + b.bytes() + y.bytes(),
          .flops = 2.0 * static_cast<double>(n)};
}

template <typename T>
Case max_case(const Arguments& a) {
  const Middle m = middle(a);
  const auto x = input<T>(m.size()), y = output<T>(m.columns());
  const Buffer<int64_t> index(std::vector<int64_t>(m.columns(), -1));
  return {.run = launch([=](auto& ctx) {
            kernels::max<T>(ctx, m.outer, m.n, m.inner, x.data(), y.data(), index.data());
          }),
          .check =
              [=] {
                const ref::Maximum want = ref::max(m, x.reference());
                return worst({compare(y, want.value, tolerance<T>(1)),
                              compare(index, Values(want.index.begin(), want.index.end()), 0.5)});
              },
          .bytes = x.bytes() + y.bytes() + index.bytes(),
          .flops = static_cast<double>(m.size())};
}

const std::vector<Parameter> kPicked = {{"outer", 64}, {"n", 10}, {"count", 1}, {"inner", 1}};
// The labels' logits, and something large.
const std::vector<Instance> kPicks = {{{"outer", 64}, {"n", 10}, {"count", 1}, {"inner", 1}},
                                      {{"outer", 64}, {"n", 1024}, {"count", 512}, {"inner", 16}}};

template <typename T>
Case gather_case(const Arguments& a) {
  const Middle m = middle(a);
  const int64_t count = a["count"], size = volume({m.outer, count, m.inner});
  const auto x = input<T>(m.size()), y = output<T>(size);
  const Buffer<int64_t> index(random_indices(size, m.n));
  return {.run = launch([=](auto& ctx) {
            kernels::gather<T>(ctx, m.outer, m.n, count, m.inner, x.data(), index.data(), y.data());
          }),
          .check =
              [=] {
                return compare(
                    y, ref::gather(m, count, x.reference(), index.values()), tolerance<T>(1));
              },
          .bytes = 2 * y.bytes() + index.bytes()};
}

template <typename T>
Case scatter_add_case(const Arguments& a) {
  const Middle m = middle(a);
  const int64_t count = a["count"], size = volume({m.outer, count, m.inner});
  const auto y = input<T>(size), x = output<T>(m.size());
  const Buffer<int64_t> index(random_indices(size, m.n));
  return {.run = launch([=](auto& ctx) {
            kernels::scatter_add<T>(
                ctx, m.outer, m.n, count, m.inner, y.data(), index.data(), x.data());
          }),
          .check =
              [=] {
                return compare(x,
                               ref::scatter_add(m, count, y.reference(), index.values()),
                               tolerance<T>(count));
              },
          .bytes = y.bytes() + index.bytes() + x.bytes(),
          .flops = static_cast<double>(size)};
}

// Maximum, difference, exponential or its sum, scaling: four operations an element.
template <typename T, bool kLog>
Case softmax_case(const Arguments& a) {
  const Middle m = middle(a);
  const auto x = input<T>(m.size(), -4, 4), y = output<T>(m.size());
  return {.run = launch([=](auto& ctx) {
            if (kLog) {
              kernels::log_softmax_forward<T>(ctx, m.outer, m.n, m.inner, x.data(), y.data());
            } else {
              kernels::softmax_forward<T>(ctx, m.outer, m.n, m.inner, x.data(), y.data());
            }
          }),
          .check =
              [=] {
                const Values v = x.reference();
                return compare(
                    y, kLog ? ref::log_softmax(m, v) : ref::softmax(m, v), tolerance<T>(m.n));
              },
          .bytes = x.bytes() + y.bytes(),
          .flops = 4.0 * static_cast<double>(m.size())};
}

template <typename T>
Case gemm_case(const Arguments& args, By by) {
  const kernels::GemmShape s{.M = args["m"],
                             .N = args["n"],
                             .K = args["k"],
                             .transpose_a = args["transpose_a"] != 0,
                             .transpose_b = args["transpose_b"] != 0};
  const auto a = input<T>(volume({s.M, s.K})), b = input<T>(volume({s.K, s.N}), -1, 1, 2);
  const auto c = output<T>(volume({s.M, s.N}));
  return {
      .run = launch([=](auto& ctx) { kernels::gemm<T>(ctx, s, a.data(), b.data(), c.data()); }, by),
      .check =
          [=] { return compare(c, ref::gemm(s, a.reference(), b.reference()), tolerance<T>(s.K)); },
      .bytes = a.bytes() + b.bytes() + c.bytes(),
      .flops =
          2.0 * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K)};
}

}  // namespace

std::vector<Family> reduce_families(By by) {
  const std::string group = "reduction";
  return {
      {.name = "sum",
       .group = group,
       .summary = "over the middle of (outer, n, inner)",
       .parameters = kMiddle,
       .instances = kReductions,
       .make = for_dtype([]<typename T>(const Arguments& a) { return sum_case<T>(a); }),
       .batch = "outer"},
      {.name = "dot",
       .group = group,
       .summary = "inner product",
       .parameters = {{"elements", 1048576}},
       .instances = {{}, {{"elements", 524288}}, {{"elements", 262144}}},
       .make = for_dtype([]<typename T>(const Arguments& a) { return dot_case<T>(a); }),
       .batch = "elements"},
      {.name = "max",
       .group = group,
       .summary = "with indices, over the middle of (outer, n, inner)",
       .parameters = kMiddle,
       .instances = kReductions,
       .make = for_dtype([]<typename T>(const Arguments& a) { return max_case<T>(a); }),
       .batch = "outer"},
      {.name = "gather",
       .group = group,
       .summary = "count elements of n by index; least traffic counts those alone",
       .parameters = kPicked,
       .instances = kPicks,
       .make = for_dtype([]<typename T>(const Arguments& a) { return gather_case<T>(a); }),
       .batch = "outer"},
      {.name = "scatter_add",
       .group = group,
       .summary = "the adjoint of gather",
       .parameters = kPicked,
       .instances = kPicks,
       .make = for_dtype([]<typename T>(const Arguments& a) { return scatter_add_case<T>(a); }),
       .batch = "outer"},
      {.name = "softmax_forward",
       .group = group,
       .summary = "over the middle of (outer, n, inner)",
       .parameters = {{"outer", 64}, {"n", 10}, {"inner", 1}},
       .instances = kSoftmaxes,
       .make = for_dtype([]<typename T>(const Arguments& a) { return softmax_case<T, false>(a); }),
       .batch = "outer"},
      {.name = "log_softmax_forward",
       .group = group,
       .summary = "over the middle of (outer, n, inner)",
       .parameters = {{"outer", 64}, {"n", 10}, {"inner", 1}},
       .instances = kSoftmaxes,
       .make = for_dtype([]<typename T>(const Arguments& a) { return softmax_case<T, true>(a); }),
       .batch = "outer"},
      {.name = "gemm",
       .group = "matrix product",
       .summary = "c = op(a) op(b)",
       .parameters =
           {{"m", 65536}, {"n", 16}, {"k", 16}, {"transpose_a", 0, 0}, {"transpose_b", 0, 0}},
       // Pointwise convolutions of the three stages, the classifier and its gradients.
       .instances = {{},
                     {{"m", 16384}, {"n", 32}, {"k", 32}},
                     {{"m", 4096}, {"n", 64}, {"k", 64}},
                     {{"m", 64}, {"n", 10}, {"k", 256}, {"transpose_b", 1}},
                     {{"m", 64}, {"n", 256}, {"k", 10}},
                     {{"m", 10}, {"n", 256}, {"k", 64}, {"transpose_a", 1}}},
       .make = for_dtype([by]<typename T>(const Arguments& a) { return gemm_case<T>(a, by); }),
       .batch = "m"},
  };
}

}  // namespace oche::bench
