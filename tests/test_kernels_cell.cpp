// The passes of a fused cell against naive references.
#include "tests/support/kernel_check.h"
#include "tests/support/mixed_cell_check.h"

namespace oche {
namespace {

using kernels::CpuContext;

// What compute(ctx, memory) makes of a case, with any number of threads.
template <typename T, typename Compute>
CellOutputs<T> same_for_any_threads(const Compute& compute) {
  const auto run = [&](int threads) {
    CpuContext ctx(threads);
    HostMemory memory;
    return compute(ctx, memory);
  };
  const CellOutputs<T> one = run(1);
  const std::vector<T> want = flat(one), got = flat(run(3));
  REQUIRE(got.size() == want.size());
  CHECK((want.empty() || std::memcmp(got.data(), want.data(), want.size() * sizeof want[0]) == 0));
  return one;
}

}  // namespace

TEMPLATE_TEST_CASE("fused cell: what a source leads to", "[kernels]", float, double) {
  for (const CellSourcesCase& c : cell_sources_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(same_for_any_threads<TestType>([&](CpuContext& ctx, HostMemory& memory) {
                         return source_forward<TestType>(ctx, memory, c);
                       }),
                       reference_source_forward(c));
  }
}

TEMPLATE_TEST_CASE("fused cell: the gradient of a source", "[kernels]", float, double) {
  for (const CellSourcesCase& c : cell_sources_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(same_for_any_threads<TestType>([&](CpuContext& ctx, HostMemory& memory) {
                         return source_backward<TestType>(ctx, memory, c);
                       }),
                       reference_source_backward(c));
  }
}

TEMPLATE_TEST_CASE("fused cell: the sum of a node and its adjoint", "[kernels]", float, double) {
  for (const CellNodeCase& c : cell_node_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(same_for_any_threads<TestType>([&](CpuContext& ctx, HostMemory& memory) {
                         return node_forward<TestType>(ctx, memory, c);
                       }),
                       reference_node_forward(c));
    check_cell_outputs(same_for_any_threads<TestType>([&](CpuContext& ctx, HostMemory& memory) {
                         return node_reduce<TestType>(ctx, memory, c);
                       }),
                       reference_node_reduce(c));
  }
}

TEST_CASE("fused cell: rounded factors and results kept as bfloat16", "[kernels]") {
  for (const CellSourcesCase& c : reduced_cell_cases()) {
    CAPTURE(text(c));
    check_cell_outputs(same_for_any_threads<float>([&](CpuContext& ctx, HostMemory& memory) {
                         return source_forward<float>(ctx, memory, c);
                       }),
                       reference_source_forward(c));
    check_cell_outputs(same_for_any_threads<float>([&](CpuContext& ctx, HostMemory& memory) {
                         return source_backward<float>(ctx, memory, c);
                       }),
                       reference_source_backward(c));
  }
}

TEST_CASE("fused cell: the variance of a mean of a hundred deviations", "[kernels]") {
  using namespace kernels;
  const CellShape s{16, 64, 64, 4};
  const int64_t n = pixels(s) * s.C;
  std::mt19937 bits(1);
  std::normal_distribution<double> normal(100, 1);
  std::vector<float> x(n), y(n), mean(s.C), var(s.C);
  for (float& v : x) v = static_cast<float>(normal(bits));
  std::vector<float> identity(s.C * s.C, 0.0f), one(s.C, 1.0f);
  for (int64_t c = 0; c < s.C; ++c) identity[c * s.C + c] = 1;
  CellSourceForward<float> source;
  source.source.x = {x.data(), s.C};
  source.convs.push_back({{.out = s.C, .depthwise = one.data(), .pointwise = identity.data()},
                          {y.data(), s.C},
                          {mean.data(), var.data()}});
  CpuContext ctx(2);
  HostMemory memory;
  const int64_t bytes = cell_source_forward_workspace<float>(ctx, s, {source});
  cell_source_forward<float>(ctx, s, {source}, cell_workspace<float>(memory, bytes));
  const ref::Moments want = ref::batch_norm_statistics(pixels(s), s.C, as_values(x));
  CHECK(y == x);
  for (int64_t c = 0; c < s.C; ++c) {
    CAPTURE(c);
    CHECK(std::abs(var[c] - want.var[c]) <= 2.5e-7 * want.var[c]);
    CHECK(std::abs(mean[c] - want.mean[c]) <= 1e-7 * want.mean[c]);
  }
}

}  // namespace oche
