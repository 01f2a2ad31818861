// Convolution on a CUDA device against the CPU's in double.
#include <limits>
#include <string>

#include "kernels/conv2d.h"
#include "tests/cuda/device.h"
#include "tests/support/kernel_cases.h"

namespace oche {
namespace {

using kernels::Conv2dShape;
using kernels::CpuContext;
using kernels::CudaContext;

// (N, H, W, C; kernel_h, kernel_w, out_C; groups, stride, padding, dilation)
const Conv2dShape kConvolutions[] = {
    // pointwise
    {0, 4, 4, 3, 1, 1, 5},
    {1, 1, 1, 1, 1, 1, 1},
    {2, 5, 7, 3, 1, 1, 17},
    {3, 9, 20, 16, 1, 1, 36},
    {2, 9, 9, 33, 1, 1, 4},
    {3, 16, 16, 16, 1, 1, 16},  // several partial weight gradients
    {1, 17, 31, 40, 1, 1, 37},
    // depthwise, of the kernels known at compile time: each stride and dilation
    {0, 4, 4, 4, 3, 3, 4, 4, 1, 1},
    {2, 8, 8, 16, 3, 3, 16, 16, 1, 1},
    {2, 7, 9, 4, 3, 3, 4, 4, 1, 2, 2},
    {2, 9, 6, 12, 3, 3, 12, 12, 2, 1},
    {1, 10, 7, 4, 3, 3, 4, 4, 2, 2, 2},
    {1, 9, 7, 20, 5, 5, 20, 20, 1, 2},
    {1, 8, 8, 16, 5, 5, 16, 16, 1, 4, 2},
    {1, 6, 20, 8, 5, 5, 8, 8, 2, 2},
    {1, 10, 7, 8, 5, 5, 8, 8, 2, 4, 2},
    {1, 3, 2, 4, 5, 5, 4, 4, 1, 4, 2},       // whole rows of taps in the padding
    {1, 11, 8, 4, 5, 5, 4, 4, 2, 0},         // no padding
    {1, 9, 9, 4, 3, 3, 4, 4, 2, 0, 1},       // pixels that no output reads
    {2, 7, 7, 8, 3, 3, 8, 8, 2, 3, 2},       // odd padding
    {9, 32, 32, 8, 3, 3, 8, 8, 1, 1},        // several partial weight gradients
    {3, 13, 12, 100, 3, 3, 100, 100, 1, 1},  // several tiles of channels
    // depthwise, of any other shape
    {1, 1, 1, 1, 3, 3, 1, 1, 1, 1},
    {2, 8, 8, 33, 3, 3, 33, 33, 1, 1},
    {2, 8, 11, 5, 3, 3, 5, 5, 1, 2, 2},
    {1, 9, 9, 3, 5, 5, 3, 3, 2, 2},
    {1, 11, 10, 3, 3, 3, 3, 3, 3, 1, 2},
    {1, 7, 8, 5, 2, 4, 5, 5, 1, 3, 3},
    {1, 5, 4, 4, 1, 1, 4, 4, 3},
    {1, 3, 30, 2, 20, 20, 2, 2, 1, 19},
    {5, 20, 20, 6, 4, 4, 6, 6, 1, 2},
    // everything else
    {2, 6, 5, 3, 3, 3, 16, 1, 1, 1},
    {2, 7, 6, 8, 1, 1, 12, 1, 2},
    {2, 5, 5, 12, 1, 1, 6, 3},
    {1, 5, 4, 3, 1, 1, 4, 1, 1, 2},
    {1, 7, 9, 17, 3, 3, 5, 1, 2, 1},
    {2, 5, 6, 12, 3, 3, 18, 3, 1, 2, 2},
    {1, 8, 9, 6, 3, 5, 12, 6, 2, 3},
    {1, 6, 6, 8, 1, 7, 8, 1, 1, 3},
    {1, 9, 5, 5, 2, 2, 3, 1, 3, 0, 2},
    {3, 31, 33, 3, 3, 3, 4, 1, 1, 1},
};

enum class Gate { kNone, kInput, kOther };

template <typename T>
struct Sample {
  std::vector<T> x, gate, w, grad_y;
  Gate kind;
};

template <typename T>
Sample<T> sample(const Conv2dShape& s, Gate gate, int limit = 4) {
  return {integers<T>(input_size(s), -limit, limit, 1),
          integers<T>(input_size(s), -limit, limit, 2),
          integers<T>(weight_size(s), -limit, limit, 3),
          integers<T>(output_size(s), -limit, limit, 4),
          gate};
}

// y, grad_x and grad_w, one after the other.
template <typename T>
struct Results {
  std::vector<T> all;
  void add(const std::vector<T>& more) { all.insert(all.end(), more.begin(), more.end()); }
};

// Every array begins `shift` elements after an aligned place.
template <typename T>
Results<T> run(CudaContext& ctx, const Conv2dShape& s, const Sample<T>& a, int shift = 0) {
  const auto shifted = [&](std::vector<T> v) {
    v.insert(v.begin(), shift, T(99));
    return v;
  };
  const DeviceArray<T> x(ctx, shifted(a.x)), other(ctx, shifted(a.gate)), w(ctx, shifted(a.w)),
      grad_y(ctx, shifted(a.grad_y));
  const T* gate = a.kind == Gate::kNone    ? nullptr
                  : a.kind == Gate::kInput ? x.data() + shift
                                           : other.data() + shift;
  Results<T> out;
  // n elements that write(pointer) has written, and nothing around them.
  const auto written = [&](int64_t n, const auto& write) {
    DeviceArray<T> to(ctx, n + 2 * shift);
    write(to.data() + shift);
    std::vector<T> values = to.download();
    for (int i = 0; i < shift; ++i) {
      CHECK(values[i] != values[i]);
      CHECK(values[values.size() - 1 - i] != values[values.size() - 1 - i]);
    }
    return std::vector<T>(values.begin() + shift, values.end() - shift);
  };
  const int64_t workspace_size = kernels::conv2d_weight_grad_workspace(ctx, s);
  const auto y = written(output_size(s), [&](T* to) {
    kernels::conv2d_forward<T>(ctx, s, x.data() + shift, gate, w.data() + shift, to);
  });
  const auto grad_x = written(input_size(s), [&](T* to) {
    kernels::conv2d_input_grad<T>(ctx, s, grad_y.data() + shift, gate, w.data() + shift, to);
  });
  const auto grad_w = written(weight_size(s), [&](T* to) {
    written(workspace_size, [&](T* workspace) {
      kernels::conv2d_weight_grad<T>(
          ctx, s, x.data() + shift, gate, grad_y.data() + shift, to, workspace);
    });
  });
  const auto grad_x_too = written(input_size(s), [&](T* to) {
    const auto grad_w_too = written(weight_size(s), [&](T* to_w) {
      DeviceArray<T> workspace(ctx, workspace_size + shift);
      kernels::conv2d_backward<T>(ctx,
                                  s,
                                  x.data() + shift,
                                  gate,
                                  grad_y.data() + shift,
                                  w.data() + shift,
                                  to,
                                  to_w,
                                  workspace.data() + shift);
    });
    CHECK(grad_w_too == grad_w);
  });
  CHECK(grad_x_too == grad_x);
  out.add(y);
  out.add(grad_x);
  out.add(grad_w);
  return out;
}

template <typename T>
std::vector<double> judge(const Conv2dShape& s, const Sample<T>& a) {
  CpuContext cpu(1);
  const auto x = converted<double>(a.x), other = converted<double>(a.gate),
             w = converted<double>(a.w), grad_y = converted<double>(a.grad_y);
  const double* gate = a.kind == Gate::kNone    ? nullptr
                       : a.kind == Gate::kInput ? x.data()
                                                : other.data();
  std::vector<double> y(output_size(s)), grad_x(input_size(s)), grad_w(weight_size(s));
  std::vector<double> workspace(kernels::conv2d_weight_grad_workspace(cpu, s));
  kernels::conv2d_forward<double>(cpu, s, x.data(), gate, w.data(), y.data());
  kernels::conv2d_input_grad<double>(cpu, s, grad_y.data(), gate, w.data(), grad_x.data());
  kernels::conv2d_weight_grad<double>(
      cpu, s, x.data(), gate, grad_y.data(), grad_w.data(), workspace.data());
  Results<double> out;
  out.add(y);
  out.add(grad_x);
  out.add(grad_w);
  return out.all;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: convolution of integers", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Conv2dShape& s = GENERATE(from_range(std::begin(kConvolutions), std::end(kConvolutions)));
  CAPTURE(text(s));
  for (Gate gate : {Gate::kNone, Gate::kInput, Gate::kOther}) {
    CAPTURE(static_cast<int>(gate));
    const auto a = sample<TestType>(s, gate);
    check_equal(run(ctx, s, a).all, judge(s, a));
  }
}

TEMPLATE_TEST_CASE("cuda: convolution in every order of threads", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Conv2dShape s = GENERATE(Conv2dShape{3, 12, 16, 20, 5, 5, 20, 20, 1, 4, 2},
                                 Conv2dShape{3, 33, 31, 12, 3, 3, 12, 12, 2, 1},
                                 Conv2dShape{3, 13, 11, 5, 3, 3, 5, 5, 1, 1},
                                 Conv2dShape{4, 16, 16, 24, 1, 1, 40},
                                 Conv2dShape{3, 20, 20, 6, 3, 3, 10, 2, 2, 1});
  CAPTURE(text(s));
  auto a = sample<TestType>(s, Gate::kOther, 1000);
  for (auto* v : {&a.x, &a.w, &a.grad_y}) {
    for (TestType& value : *v) value /= 1001;
  }
  const auto got = in_every_order([&] { return run(ctx, s, a).all; });
  const int64_t terms = std::max(
      {s.kernel_h * s.kernel_w * std::max(s.C, s.out_C) / s.groups, s.N * s.out_h() * s.out_w()});
  check_close(got, judge(s, a), std::numeric_limits<TestType>::epsilon() * terms);
}

// Slices of tensors begin anywhere; the order of sums stays that of aligned ones.
TEMPLATE_TEST_CASE("cuda: convolution of misaligned views", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Conv2dShape s = GENERATE(Conv2dShape{2, 9, 12, 16, 5, 5, 16, 16, 1, 2},
                                 Conv2dShape{4, 31, 30, 4, 3, 3, 4, 4, 2, 1},
                                 Conv2dShape{2, 16, 16, 24, 1, 1, 40},
                                 Conv2dShape{2, 9, 9, 4, 3, 3, 8, 1, 2, 1});
  CAPTURE(text(s));
  for (Gate gate : {Gate::kNone, Gate::kInput, Gate::kOther}) {
    auto a = sample<TestType>(s, gate, 1000);
    for (auto* v : {&a.x, &a.w, &a.grad_y}) {
      for (TestType& value : *v) value /= 1001;
    }
    CHECK(run(ctx, s, a, 1).all == run(ctx, s, a).all);
  }
}

TEMPLATE_TEST_CASE("cuda: a NaN in the gate of a convolution lets x through",
                   "[cuda]",
                   float,
                   double) {
  OCHE_CUDA_CONTEXT(ctx);
  const Conv2dShape s = GENERATE(Conv2dShape{2, 4, 5, 11, 1, 1, 3},
                                 Conv2dShape{1, 5, 9, 12, 3, 3, 12, 12, 1, 1},
                                 Conv2dShape{1, 5, 9, 11, 3, 3, 11, 11, 1, 1},
                                 Conv2dShape{1, 5, 4, 6, 3, 3, 4, 2, 1, 1});
  CAPTURE(text(s));
  auto a = sample<TestType>(s, Gate::kOther);
  for (size_t i = 0; i < a.gate.size(); i += 3) {
    a.gate[i] = std::numeric_limits<TestType>::quiet_NaN();
  }
  check_equal(run(ctx, s, a).all, judge(s, a));
}

TEST_CASE("cuda: a large weight gradient keeps its digits", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  const Conv2dShape s = GENERATE(Conv2dShape{32, 32, 32, 4, 1, 1, 4},
                                 Conv2dShape{32, 32, 32, 4, 1, 3, 4, 4},
                                 Conv2dShape{32, 32, 32, 2, 1, 3, 2});
  CAPTURE(text(s));
  // Equal terms: a single running sum in float would err always to the same side.
  Sample<float> a{std::vector<float>(input_size(s), 1.0f / 3),
                  std::vector<float>(input_size(s)),
                  std::vector<float>(weight_size(s), 1),
                  std::vector<float>(output_size(s), 1),
                  Gate::kNone};
  const auto want = judge(s, a);
  check_close(run(ctx, s, a).all, want, 64 * std::numeric_limits<float>::epsilon());
}

}  // namespace oche
