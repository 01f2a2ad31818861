// The CPU's thread pool, matrix product and convolution kernels.
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "kernels/conv2d.h"
#include "kernels/gemm.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/kernel_check.h"
#include "tests/support/reference_conv.h"

namespace oche {
namespace {

using kernels::Conv2dShape;
using kernels::CpuContext;
using kernels::GemmShape;
using ref::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// (N, H, W, C; kernel_h, kernel_w, out_C; groups, stride, padding, dilation)
const Conv2dShape kConvolutions[] = {
    // pointwise: rows in place, gathered, several panels and depths
    {0, 4, 4, 3, 1, 1, 5},
    {1, 1, 1, 1, 1, 1, 1},
    {2, 5, 7, 3, 1, 1, 17},
    {5, 6, 3, 33, 1, 1, 8},
    {3, 9, 20, 16, 1, 1, 36},
    {1, 4, 5, 70, 1, 1, 300},
    {1, 5, 4, 300, 1, 1, 70},
    {2, 7, 6, 8, 1, 1, 12, 1, 2},
    {2, 5, 5, 12, 1, 1, 6, 3},
    {1, 5, 4, 3, 1, 1, 4, 1, 1, 2},
    // depthwise
    {0, 4, 4, 3, 3, 3, 3, 3, 1, 1},
    {1, 1, 1, 1, 3, 3, 1, 1, 1, 1},
    {2, 8, 8, 33, 3, 3, 33, 33, 1, 1},
    {1, 9, 7, 17, 5, 5, 17, 17, 1, 2},
    {2, 8, 11, 5, 3, 3, 5, 5, 1, 2, 2},
    {1, 8, 8, 20, 5, 5, 20, 20, 1, 4, 2},
    {2, 9, 6, 12, 3, 3, 12, 12, 2, 1},
    {1, 10, 7, 9, 5, 5, 9, 9, 2, 4, 2},
    {1, 6, 20, 8, 5, 5, 8, 8, 2, 2},
    {1, 11, 10, 3, 3, 3, 3, 3, 3, 1, 2},
    {1, 7, 8, 5, 2, 4, 5, 5, 1, 3, 3},
    {1, 5, 4, 4, 1, 1, 4, 4, 3},         // pixels that no output reads
    {1, 3, 2, 6, 5, 5, 6, 6, 1, 4, 2},   // whole rows of taps in the padding
    {1, 40, 30, 3, 3, 3, 3, 3, 1, 1},    // bands of rows
    {1, 3, 90, 2, 20, 20, 2, 2, 1, 19},  // too large for the window: as patches
    {9, 32, 32, 8, 3, 3, 8, 8, 1, 1},    // several images to a partial weight gradient
    // everything else
    {2, 6, 5, 3, 3, 3, 16, 1, 1, 1},
    {1, 7, 9, 17, 3, 3, 5, 1, 2, 1},
    {1, 9, 8, 36, 3, 3, 20, 1, 1, 1},
    {2, 5, 6, 12, 3, 3, 18, 3, 1, 2, 2},
    {1, 8, 9, 6, 3, 5, 12, 6, 2, 3},
    {1, 6, 6, 8, 1, 7, 8, 1, 1, 3},
    {1, 9, 5, 5, 2, 2, 3, 1, 3, 0, 2},
    {1, 7, 7, 64, 3, 3, 33, 1, 2, 4, 2},
};

enum class Gate { kNone, kInput, kOther };

struct Sample {
  Values x, gate, w, grad_y;
};

Sample integers(const Conv2dShape& s, Gate gate) {
  const Values x = small_integers(input_size(s), 1);
  return {x,
          gate == Gate::kNone    ? Values{}
          : gate == Gate::kInput ? x
                                 : small_integers(input_size(s), 2),
          small_integers(weight_size(s), 3),
          small_integers(output_size(s), 4)};
}

Sample reals(const Conv2dShape& s, Gate gate) {
  const Values x = random_values(input_size(s));
  return {x,
          gate == Gate::kNone    ? Values{}
          : gate == Gate::kInput ? x
                                 : Values(x.rbegin(), x.rend()),
          random_values(weight_size(s)),
          random_values(output_size(s))};
}

template <typename T>
struct Results {
  std::vector<T> y, grad_x, grad_w;
};

template <typename T>
Results<T> run(CpuContext& ctx, const Conv2dShape& s, const Sample& sample) {
  const std::vector<T> x = as<T>(sample.x), gate = as<T>(sample.gate), w = as<T>(sample.w),
                       grad_y = as<T>(sample.grad_y);
  const T* g = sample.gate.empty() ? nullptr : gate.data();
  Results<T> out{poison<T>(output_size(s)), poison<T>(input_size(s)), poison<T>(weight_size(s))};
  std::vector<T> workspace = poison<T>(kernels::conv2d_weight_grad_workspace(ctx, s));
  kernels::conv2d_forward<T>(ctx, s, x.data(), g, w.data(), out.y.data());
  kernels::conv2d_input_grad<T>(ctx, s, grad_y.data(), g, w.data(), out.grad_x.data());
  kernels::conv2d_weight_grad<T>(
      ctx, s, x.data(), g, grad_y.data(), out.grad_w.data(), workspace.data());

  std::vector<T> grad_x = poison<T>(input_size(s)), grad_w = poison<T>(weight_size(s));
  workspace = poison<T>(kernels::conv2d_weight_grad_workspace(ctx, s));
  kernels::conv2d_backward<T>(
      ctx, s, x.data(), g, grad_y.data(), w.data(), grad_x.data(), grad_w.data(), workspace.data());
  CHECK(grad_x == out.grad_x);
  CHECK(grad_w == out.grad_w);
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("convolution agrees with its equation", "[conv2d]", float, double) {
  const Conv2dShape& s = GENERATE(from_range(std::begin(kConvolutions), std::end(kConvolutions)));
  CAPTURE(text(s));
  CpuContext ctx(2);
  for (Gate gate : {Gate::kNone, Gate::kInput, Gate::kOther}) {
    CAPTURE(gate);
    for (bool exact : {true, false}) {
      CAPTURE(exact);
      const Sample a = exact ? integers(s, gate) : reals(s, gate);
      const Results<TestType> got = run<TestType>(ctx, s, a);
      // Inputs are at most 1 in size and random in sign: rounding errors of n terms stay below n *
      // epsilon.
      const double unit = exact ? 0 : kEpsilon<TestType>;
      const int64_t taps = s.kernel_h * s.kernel_w;
      CHECK(worst_error(got.y, ref::conv2d(s, a.x, a.gate, a.w)) <= unit * taps * (s.C / s.groups));
      CHECK(worst_error(got.grad_x, ref::conv2d_input_grad(s, a.grad_y, a.gate, a.w)) <=
            unit * taps * (s.out_C / s.groups));
      CHECK(worst_error(got.grad_w, ref::conv2d_weight_grad(s, a.x, a.gate, a.grad_y)) <=
            unit * s.N * s.out_h() * s.out_w());
    }
  }
}

TEMPLATE_TEST_CASE("convolution gives the same bits for any number of threads",
                   "[conv2d]",
                   float,
                   double) {
  const Conv2dShape s = GENERATE(Conv2dShape{5, 16, 16, 20, 5, 5, 20, 20, 1, 4, 2},
                                 Conv2dShape{3, 33, 31, 12, 3, 3, 12, 12, 2, 1},
                                 Conv2dShape{7, 16, 16, 24, 1, 1, 40},
                                 Conv2dShape{3, 20, 20, 6, 3, 3, 10, 2, 2, 1});
  CAPTURE(text(s));
  const Sample a = reals(s, Gate::kOther);
  check_thread_counts([&](CpuContext& ctx) {
    const Results<TestType> r = run<TestType>(ctx, s, a);
    return joined(joined(r.y, r.grad_x), r.grad_w);
  });
}

TEMPLATE_TEST_CASE("a NaN in the gate of a convolution lets x through", "[conv2d]", float, double) {
  const Conv2dShape s = GENERATE(Conv2dShape{2, 4, 5, 11, 1, 1, 3},
                                 Conv2dShape{1, 5, 9, 11, 3, 3, 11, 11, 1, 1},
                                 Conv2dShape{1, 5, 4, 6, 3, 3, 4, 2, 1, 1});
  CAPTURE(text(s));
  Sample a = integers(s, Gate::kOther);
  for (size_t i = 0; i < a.gate.size(); i += 3) a.gate[i] = kNaN;
  CpuContext ctx(1);
  const Results<TestType> got = run<TestType>(ctx, s, a);
  CHECK(worst_error(got.y, ref::conv2d(s, a.x, a.gate, a.w)) == 0);
  CHECK(worst_error(got.grad_x, ref::conv2d_input_grad(s, a.grad_y, a.gate, a.w)) == 0);
  CHECK(worst_error(got.grad_w, ref::conv2d_weight_grad(s, a.x, a.gate, a.grad_y)) == 0);
}

TEST_CASE("a large weight gradient keeps its digits", "[conv2d]") {
  const Conv2dShape s =
      GENERATE(Conv2dShape{64, 32, 32, 4, 1, 1, 4}, Conv2dShape{64, 32, 32, 4, 1, 3, 4, 4});
  CAPTURE(text(s));
  // Equal terms: a single running sum in float would err always to the same side.
  const Sample a{
      Values(input_size(s), 1.0f / 3), {}, Values(weight_size(s), 1), Values(output_size(s), 1)};
  CpuContext ctx(2);
  const Values want = ref::conv2d_weight_grad(s, a.x, a.gate, a.grad_y);
  CHECK(worst_error(run<float>(ctx, s, a).grad_w, want) <= 64 * kEpsilon<float>);
}

TEMPLATE_TEST_CASE("matrix product agrees with its equation", "[gemm]", float, double) {
  const GemmShape s = GENERATE(GemmShape{0, 3, 2},
                               GemmShape{3, 0, 2},
                               GemmShape{3, 2, 0},
                               GemmShape{1, 1, 1},
                               GemmShape{7, 5, 3},
                               GemmShape{64, 10, 300},
                               GemmShape{13, 33, 17},
                               GemmShape{300, 8, 64},
                               GemmShape{31, 70, 520},
                               GemmShape{1500, 16, 12});
  const bool exact = GENERATE(true, false);
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      const GemmShape g{s.M, s.N, s.K, transpose_a, transpose_b};
      CAPTURE(g.M, g.N, g.K, transpose_a, transpose_b, exact);
      const Values a = exact ? small_integers(g.M * g.K, 1) : random_values(g.M * g.K);
      const Values b = exact ? small_integers(g.K * g.N, 2) : random_values(g.K * g.N);
      const auto multiply = [&](CpuContext& ctx) {
        std::vector<TestType> c = poison<TestType>(g.M * g.N);
        kernels::gemm<TestType>(ctx, g, as<TestType>(a).data(), as<TestType>(b).data(), c.data());
        CHECK(worst_error(c, ref::gemm(g, a, b)) <= (exact ? 0 : kEpsilon<TestType> * g.K));
        return c;
      };
      if (g.M * g.N > 0) {
        check_thread_counts(multiply);
      } else {
        CpuContext ctx(2);
        multiply(ctx);
      }
    }
  }
}

TEST_CASE("parallel runs every task once", "[context]") {
  const int threads = GENERATE(1, 2, 3, 8);
  const int64_t tasks = GENERATE(0, 1, 2, 7, 1000);
  CAPTURE(threads, tasks);
  CpuContext ctx(threads);
  CHECK(ctx.threads() == threads);
  std::vector<int> runs(tasks);
  for (int round = 0; round < 20; ++round) ctx.parallel(tasks, [&](int64_t i) { ++runs[i]; });
  CHECK(runs == std::vector<int>(tasks, 20));
}

TEST_CASE("a nested parallel call runs on the calling thread", "[context]") {
  CpuContext ctx(3), other(2);
  std::vector<int> sums(50);
  std::atomic<int> strangers = 0;
  ctx.parallel(50, [&](int64_t i) {
    const std::thread::id self = std::this_thread::get_id();
    for (CpuContext* inner : {&ctx, &other}) {
      inner->parallel(10, [&](int64_t j) {
        sums[i] += static_cast<int>(j);
        strangers += std::this_thread::get_id() != self;
      });
    }
  });
  CHECK(sums == std::vector<int>(50, 90));
  CHECK(strangers == 0);
}

TEST_CASE("an exception of a task reaches the caller once no task is running", "[context]") {
  CpuContext ctx(GENERATE(1, 2, 8));
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> running = 0;
    const auto body = [&](int64_t i) {
      ++running;
      if (i % 5 == 3) {
        --running;
        throw std::runtime_error("task failed");
      }
      --running;
    };
    CHECK_THROWS_WITH(ctx.parallel(100, body), "task failed");
    CHECK(running == 0);
  }
  int64_t after = 0;  // and the pool is still of use
  ctx.parallel(1, [&](int64_t) { ++after; });
  CHECK(after == 1);
}

TEST_CASE("one context serves several calling threads", "[context]") {
  CpuContext ctx(3);
  std::atomic<int64_t> total = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) ctx.parallel(10, [&](int64_t i) { total += i; });
    });
  }
  for (std::thread& t : callers) t.join();
  CHECK(total == 3 * 200 * 45);
}

TEST_CASE("a context needs a thread", "[context]") {
  CHECK_THROWS_WITH(CpuContext(0), "CpuContext: threads is 0; expected at least 1");
}

}  // namespace oche
