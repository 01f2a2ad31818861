// Reductions, softmax, the mixed sum and the optimisers against naive references.
#include <cstdlib>
#include <string_view>

#include "kernels/mixed_sum.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "tests/support/kernel_check.h"

namespace oche {
namespace {

using kernels::CpuContext;
using ref::Indices;
using ref::Middle;
using ref::Values;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// (outer, n, inner): empty, single, odd tails, one column and many, several blocks of rows, several
// tiles of columns.
const Middle kMiddles[] = {{0, 3, 2},
                           {3, 2, 0},
                           {1, 1, 1},
                           {2, 5, 1},
                           {2, 5, 3},
                           {3, 17, 33},
                           {1, 33, 5},
                           {1, 9001, 1},
                           {2, 700, 3},
                           {2, 3, 300},
                           {1, 513, 257}};

}  // namespace

// kernel_variant.cmake says which it wants.
TEST_CASE("the copy of the kernels that was asked for runs", "[kernels]") {
  const std::string_view running = kernels::instruction_set();
  REQUIRE(!running.empty());
  if (const char* expected = std::getenv("OCHE_EXPECTED_KERNELS")) {
    REQUIRE(running.substr(0, running.find(' ')) == expected);
  }
}

TEMPLATE_TEST_CASE("sums over the middle", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const Middle& m : kMiddles) {
    CAPTURE(m.outer, m.n, m.inner);
    for (bool exact : {true, false}) {
      const Values x = exact ? small_integers(m.size()) : random_values(m.size());
      auto y = poison<TestType>(m.columns());
      auto workspace = poison<double>(kernels::sum_workspace(m.outer, m.n, m.inner));
      kernels::sum<TestType>(
          ctx, m.outer, m.n, m.inner, as<TestType>(x).data(), y.data(), workspace.data());
      // |partial sums| grow like sqrt(n); each addition rounds by half an epsilon of them.
      CHECK(worst_error(y, ref::sum(m, x)) <= (exact ? 0 : kEpsilon<TestType> * (m.n + 1)));
    }
  }
}

TEMPLATE_TEST_CASE("a sum over nothing is zero", "[kernels]", float, double) {
  CpuContext ctx(1);
  auto y = poison<TestType>(6);
  kernels::sum<TestType>(ctx, 2, 0, 3, nullptr, y.data(), nullptr);
  CHECK(worst_error(y, Values(6)) == 0);
  kernels::dot<TestType>(ctx, 0, nullptr, nullptr, y.data(), nullptr);
  CHECK(y[0] == 0);
}

TEST_CASE("a float sum of a million terms keeps its digits", "[kernels]") {
  CpuContext ctx(1);
  const int64_t n = 1 << 20;
  const std::vector<float> x(n, 0.1f);  // added one after the other, these come to 1e-2 too much
  float y;
  std::vector<double> workspace(kernels::sum_workspace(1, n, 1));
  kernels::sum<float>(ctx, 1, n, 1, x.data(), &y, workspace.data());
  CHECK(y == Approx(n * 0.1).epsilon(1e-6));
}

TEMPLATE_TEST_CASE("inner products", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (int64_t n : {1, 3, 5, 17, 33, 4096, 4097, 100003}) {
    CAPTURE(n);
    for (bool exact : {true, false}) {
      const Values a = exact ? small_integers(n, 1) : random_values(n);
      const Values b = exact ? small_integers(n, 2) : random_values(n, 0, 2);
      auto y = poison<TestType>(1);
      auto workspace = poison<double>(kernels::dot_workspace(n));
      kernels::dot<TestType>(
          ctx, n, as<TestType>(a).data(), as<TestType>(b).data(), y.data(), workspace.data());
      CHECK(worst_error(y, {ref::dot(a, b)}) <= (exact ? 0 : kEpsilon<TestType> * (n + 1)));
    }
  }
}

TEMPLATE_TEST_CASE("maxima: first of equals, NaN first of all", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const Middle& m : kMiddles) {
    CAPTURE(m.outer, m.n, m.inner);
    Values x = small_integers(m.size());  // full of ties
    for (size_t i = 0; i < x.size(); i += 11) x[i] = -kInfinity;
    for (size_t i = 7; i < x.size(); i += 37) x[i] = kNaN;
    const ref::Maximum want = ref::max(m, x);
    auto value = poison<TestType>(m.columns());
    Indices index(m.columns(), -1);
    kernels::max<TestType>(
        ctx, m.outer, m.n, m.inner, as<TestType>(x).data(), value.data(), index.data());
    CHECK(worst_error(value, want.value) == 0);
    CHECK(index == want.index);
  }
}

TEMPLATE_TEST_CASE("gather and its adjoint", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const Middle& m : kMiddles) {
    for (int64_t count : {0, 1, 4}) {
      CAPTURE(m.outer, m.n, m.inner, count);
      const int64_t picks = m.outer * count * m.inner;
      const Values x = small_integers(m.size(), 1), g = small_integers(picks, 2);
      const Indices index = random_indices(picks, m.n);
      auto y = poison<TestType>(picks);
      kernels::gather<TestType>(
          ctx, m.outer, m.n, count, m.inner, as<TestType>(x).data(), index.data(), y.data());
      CHECK(worst_error(y, ref::gather(m, count, x, index)) == 0);
      auto grad = poison<TestType>(m.size());
      kernels::scatter_add<TestType>(
          ctx, m.outer, m.n, count, m.inner, as<TestType>(g).data(), index.data(), grad.data());
      CHECK(worst_error(grad, ref::scatter_add(m, count, g, index)) == 0);
      CHECK(ref::dot(as_values(y), g) == ref::dot(x, as_values(grad)));
    }
  }
}

TEMPLATE_TEST_CASE("softmax and its logarithm", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (const Middle& m : kMiddles) {
    for (double shift :
         {0.0, 1e4, -1e4}) {  // without the maximum taken out, exp would overflow or vanish
      CAPTURE(m.outer, m.n, m.inner, shift);
      Values x = random_values(m.size(), -8, 8);
      for (double& v : x) v = std::ldexp(std::round(std::ldexp(v + shift, 8)), -8);
      auto y = poison<TestType>(m.size()), log_y = y;
      kernels::softmax_forward<TestType>(
          ctx, m.outer, m.n, m.inner, as<TestType>(x).data(), y.data());
      kernels::log_softmax_forward<TestType>(
          ctx, m.outer, m.n, m.inner, as<TestType>(x).data(), log_y.data());
      CHECK(worst_error(y, ref::softmax(m, x)) <= 4 * kEpsilon<TestType>);
      CHECK(worst_error(log_y, ref::log_softmax(m, x)) <= 4 * kEpsilon<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("mixed sums", "[kernels]", float, double) {
  CpuContext ctx(2);
  for (int64_t K : {0, 1, 3, 4, 7, 9}) {
    for (int64_t n : {0, 1, 5, 33, 4097, 20001}) {
      CAPTURE(K, n);
      const Values w = small_integers(K, 5), g = small_integers(n, 6);
      std::vector<Values> x;
      std::vector<std::vector<TestType>> in, out;
      std::vector<const TestType*> in_at;
      std::vector<TestType*> out_at;
      for (int64_t k = 0; k < K; ++k) {
        x.push_back(small_integers(n, 10 + k));
        in.push_back(as<TestType>(x[k]));
        out.push_back(poison<TestType>(n));
        in_at.push_back(in[k].data());
        out_at.push_back(k == 1 ? nullptr : out[k].data());
      }
      auto y = poison<TestType>(n);
      // Terms take the weights of a larger table in reverse, and the last one shares its weight.
      const int64_t weights = K + 2;
      std::vector<int64_t> place;
      for (int64_t k = 0; k < K; ++k) place.push_back(K - k);
      if (K > 3) place.back() = place[0];
      std::vector<TestType> table(weights, TestType(99));
      Values picked;
      for (int64_t k = 0; k < K; ++k) table[place[k]] = static_cast<TestType>(w[k]);
      for (int64_t k = 0; k < K; ++k) picked.push_back(static_cast<double>(table[place[k]]));
      kernels::mixed_sum_forward<TestType>(
          ctx, K, n, in_at.data(), table.data(), place.data(), y.data());
      CHECK(worst_error(y, K == 0 ? Values(n) : ref::mixed_sum(x, picked)) == 0);

      const auto check_grad_x = [&] {
        for (int64_t k = 0; k < K; ++k) {
          if (out_at[k]) CHECK(worst_error(out[k], ref::mixed_sum({g}, {picked[k]})) == 0);
          out[k] = poison<TestType>(n);
          if (out_at[k]) out_at[k] = out[k].data();
        }
      };
      auto grad_w = poison<TestType>(weights);
      auto workspace = poison<double>(kernels::mixed_sum_workspace(K, n));
      kernels::mixed_sum_backward<TestType>(ctx,
                                            K,
                                            n,
                                            as<TestType>(g).data(),
                                            in_at.data(),
                                            table.data(),
                                            place.data(),
                                            out_at.data(),
                                            weights,
                                            grad_w.data(),
                                            workspace.data());
      check_grad_x();
      Values expected(weights);
      for (int64_t k = 0; k < K; ++k) expected[place[k]] += ref::dot(g, x[k]);
      CHECK(worst_error(grad_w, expected) == 0);
      kernels::mixed_sum_backward<TestType>(ctx,
                                            K,
                                            n,
                                            as<TestType>(g).data(),
                                            nullptr,
                                            table.data(),
                                            place.data(),
                                            out_at.data(),
                                            weights,
                                            nullptr,
                                            nullptr);
      check_grad_x();
    }
  }
}

TEMPLATE_TEST_CASE("the number of threads does not change a bit", "[kernels]", float, double) {
  const Middle m{3, 5000, 37};
  const int64_t n = m.size();
  const auto x = as<TestType>(random_values(n)), g = as<TestType>(random_values(n, -2, 1));
  check_thread_counts([&](CpuContext& ctx) {
    auto y = poison<TestType>(m.columns());
    auto workspace = poison<double>(kernels::sum_workspace(m.outer, m.n, m.inner));
    kernels::sum<TestType>(ctx, m.outer, m.n, m.inner, x.data(), y.data(), workspace.data());
    return y;
  });
  check_thread_counts([&](CpuContext& ctx) {
    auto y = poison<TestType>(1);
    auto workspace = poison<double>(kernels::dot_workspace(n));
    kernels::dot<TestType>(ctx, n, x.data(), g.data(), y.data(), workspace.data());
    return y;
  });
  check_thread_counts([&](CpuContext& ctx) {
    auto y = poison<TestType>(n);
    kernels::softmax_forward<TestType>(ctx, m.outer, m.n, m.inner, x.data(), y.data());
    return y;
  });
  check_thread_counts([&](CpuContext& ctx) {
    const TestType* in[] = {x.data(), g.data()};
    const TestType w[] = {TestType(0.3), TestType(0.7)};
    const int64_t place[] = {0, 1};
    auto grad = poison<TestType>(n), grad_w = poison<TestType>(2);
    TestType* out[] = {grad.data(), nullptr};
    auto workspace = poison<double>(kernels::mixed_sum_workspace(2, n));
    kernels::mixed_sum_backward<TestType>(
        ctx, 2, n, g.data(), in, w, place, out, 2, grad_w.data(), workspace.data());
    return joined(grad, grad_w);
  });
}

}  // namespace oche
