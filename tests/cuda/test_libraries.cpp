// What goes to cuBLAS and cuDNN, and what comes back: on a device from the real ones where they are
// installed, on the host from the stand-ins of tests/cuda_host.
#include <cstdlib>
#include <limits>

#include "kernels/cuda/libraries.h"
#include "tests/cuda/device.h"
#include "tests/support/kernel_cases.h"

namespace oche {
namespace {

using kernels::Conv2dShape;
using kernels::CpuContext;
using kernels::CudaContext;
using kernels::GemmShape;
using kernels::cuda::LibraryUse;
namespace cuda = kernels::cuda;

// In a test case: a context that leaves all it can to the libraries.
#define OCHE_LIBRARY_CONTEXT(ctx, state)                           \
  OCHE_CUDA_CONTEXT(ctx);                                          \
  if (!cuda::state().problem.empty()) SKIP(cuda::state().problem); \
  ctx.libraries().set_use(LibraryUse::kAlways)

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
void check_contains(const std::string& text, const std::string& part) {
  CAPTURE(text, part);
  CHECK(contains(text, part));
}

template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const cuda::Error& error) {
    return error.what();
  }
  return "no error";
}

// kernels/gemm.h and the CPU's answer in double.
template <typename T>
std::vector<T> multiply(CudaContext& ctx,
                        const GemmShape& s,
                        const std::vector<T>& a,
                        const std::vector<T>& b) {
  const DeviceArray<T> left(ctx, a), right(ctx, b);
  DeviceArray<T> c(ctx, s.M * s.N);
  kernels::gemm<T>(ctx, s, left.data(), right.data(), c.data());
  return c.download();
}
template <typename T>
std::vector<double> judge(const GemmShape& s, const std::vector<T>& a, const std::vector<T>& b) {
  CpuContext cpu(1);
  std::vector<double> c(s.M * s.N);
  kernels::gemm<double>(cpu, s, converted<double>(a).data(), converted<double>(b).data(), c.data());
  return c;
}

struct ConvSample {
  std::vector<float> x, w, grad_y;
};
ConvSample integer_sample(const Conv2dShape& s) {
  return {integers<float>(input_size(s), -4, 4, 1),
          integers<float>(weight_size(s), -4, 4, 2),
          integers<float>(output_size(s), -4, 4, 3)};
}

struct ConvResults {
  std::vector<float> y, grad_x, grad_w;
  bool operator==(const ConvResults&) const = default;
};

// Every array begins `shift` elements after an aligned place; nothing around a result is touched.
ConvResults convolve(CudaContext& ctx, const Conv2dShape& s, const ConvSample& a, int shift = 0) {
  const auto shifted = [&](std::vector<float> v) {
    v.insert(v.begin(), shift, 99.0f);
    return v;
  };
  const DeviceArray<float> x(ctx, shifted(a.x)), w(ctx, shifted(a.w)), g(ctx, shifted(a.grad_y));
  const auto written = [&](int64_t n, const auto& write) {
    DeviceArray<float> to(ctx, n + 2 * shift);
    write(to.data() + shift);
    const std::vector<float> values = to.download();
    for (int i = 0; i < shift; ++i) {
      CHECK(values[i] != values[i]);
      CHECK(values[values.size() - 1 - i] != values[values.size() - 1 - i]);
    }
    return std::vector<float>(values.begin() + shift, values.end() - shift);
  };
  DeviceArray<float> workspace(ctx, kernels::conv2d_weight_grad_workspace(ctx, s));
  ConvResults r, both;
  r.y = written(output_size(s), [&](float* to) {
    kernels::conv2d_forward<float>(ctx, s, x.data() + shift, nullptr, w.data() + shift, to);
  });
  r.grad_x = written(input_size(s), [&](float* to) {
    kernels::conv2d_input_grad<float>(ctx, s, g.data() + shift, nullptr, w.data() + shift, to);
  });
  r.grad_w = written(weight_size(s), [&](float* to) {
    kernels::conv2d_weight_grad<float>(
        ctx, s, x.data() + shift, nullptr, g.data() + shift, to, workspace.data());
  });
  both.grad_x = written(input_size(s), [&](float* to) {
    both.grad_w = written(weight_size(s), [&](float* to_w) {
      kernels::conv2d_backward<float>(ctx,
                                      s,
                                      x.data() + shift,
                                      nullptr,
                                      g.data() + shift,
                                      w.data() + shift,
                                      to,
                                      to_w,
                                      workspace.data());
    });
  });
  CHECK(both.grad_x == r.grad_x);
  CHECK(both.grad_w == r.grad_w);
  return r;
}

// CHECKs r against the CPU's in double: |error| <= tolerance * max(1, |value|).
void check_convolution(const ConvResults& r,
                       const Conv2dShape& s,
                       const ConvSample& a,
                       double tolerance) {
  CpuContext cpu(1);
  const auto x = converted<double>(a.x), w = converted<double>(a.w),
             g = converted<double>(a.grad_y);
  std::vector<double> y(output_size(s)), grad_x(input_size(s)), grad_w(weight_size(s));
  std::vector<double> workspace(kernels::conv2d_weight_grad_workspace(cpu, s));
  kernels::conv2d_forward<double>(cpu, s, x.data(), nullptr, w.data(), y.data());
  kernels::conv2d_input_grad<double>(cpu, s, g.data(), nullptr, w.data(), grad_x.data());
  kernels::conv2d_weight_grad<double>(
      cpu, s, x.data(), nullptr, g.data(), grad_w.data(), workspace.data());
  check_close(r.y, y, tolerance);
  check_close(r.grad_x, grad_x, tolerance);
  check_close(r.grad_w, grad_w, tolerance);
}

// (N, H, W, C; kernel_h, kernel_w, out_C; groups, stride, padding, dilation)
const Conv2dShape kDense[] = {
    {1, 1, 1, 1, 1, 1, 1},
    {2, 5, 7, 3, 1, 1, 17},
    {2, 6, 5, 3, 3, 3, 16, 1, 1, 1},
    {2, 8, 8, 3, 3, 3, 8, 1, 2, 1},
    {1, 9, 8, 5, 3, 3, 4, 1, 2, 0},        // pixels that no output reads
    {2, 9, 10, 4, 3, 3, 6, 1, 1, 2, 2},    // dilated
    {1, 11, 9, 2, 5, 3, 3, 1, 3, 4, 2},    // everything at once
    {1, 6, 6, 8, 1, 7, 8, 1, 1, 3},        // not square
    {1, 7, 5, 3, 2, 2, 5, 1, 1, 3},        // outputs of the padding alone
    {1, 4, 4, 33, 4, 4, 35},               // one pixel
    {3, 13, 17, 3, 3, 3, 48, 1, 4, 1, 3},  // strided and dilated
    {2, 32, 32, 3, 3, 3, 48, 1, 1, 1},     // a stem
};

}  // namespace

TEST_CASE("libraries: the rule is the shape's") {
  CHECK(cuda::worth_a_library(GemmShape{64, 10, 256}));  // the classifier, and its gradients
  CHECK(cuda::worth_a_library(GemmShape{64, 256, 10, false, true}));
  CHECK(cuda::worth_a_library(GemmShape{256, 10, 64, true}));
  CHECK_FALSE(cuda::worth_a_library(GemmShape{32, 10, 256}));
  CHECK_FALSE(cuda::worth_a_library(GemmShape{1 << 20, 0, 256}));
  CHECK(cuda::worth_a_library(Conv2dShape{64, 32, 32, 3, 3, 3, 48, 1, 1, 1}));          // stem
  CHECK_FALSE(cuda::worth_a_library(Conv2dShape{64, 32, 32, 48, 1, 1, 48}));            // pointwise
  CHECK_FALSE(cuda::worth_a_library(Conv2dShape{64, 32, 32, 48, 3, 3, 48, 48, 1, 1}));  // depthwise
  CHECK_FALSE(cuda::worth_a_library(Conv2dShape{1, 8, 8, 3, 3, 3, 4, 1, 1, 1}));        // small
}

TEST_CASE("libraries: what goes to them", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  cuda::Libraries& libraries = ctx.libraries();
  const GemmShape classifier{64, 10, 256}, small{4, 3, 2}, empty{4, 0, 2};
  const Conv2dShape stem{8, 16, 16, 3, 3, 3, 16, 1, 1, 1}, few{1, 4, 4, 3, 3, 3, 4, 1, 1, 1},
      none{0, 16, 16, 3, 3, 3, 16, 1, 1, 1}, grouped{8, 16, 16, 4, 3, 3, 16, 2, 1, 1};
  const bool cublas = cuda::cublas_state().problem.empty();
  const bool cudnn = cuda::cudnn_state().problem.empty();
#ifdef OCHE_CUDA_HOST
  CHECK(cublas);  // the toolkit has its header
#endif

  CHECK(libraries.use() == LibraryUse::kNone);  // of all tests
  CHECK(libraries.for_gemm(classifier) == nullptr);
  CHECK(libraries.for_conv2d(stem, false) == nullptr);
  libraries.declined("no objection");

  libraries.set_use(LibraryUse::kByRule);
  CHECK((libraries.for_gemm(classifier) != nullptr) == cublas);
  CHECK(libraries.for_gemm(small) == nullptr);
  CHECK((libraries.for_conv2d(stem, false) != nullptr) == cudnn);
  CHECK(libraries.for_conv2d(stem, true) == nullptr);
  CHECK(libraries.for_conv2d(few, false) == nullptr);
  CHECK(libraries.for_conv2d(grouped, false) == nullptr);
  libraries.declined("no objection");

  libraries.set_use(LibraryUse::kAlways);
  if (cublas) CHECK(libraries.for_gemm(small) != nullptr);
  if (!cublas) check_contains(error_of([&] { libraries.for_gemm(small); }), "cuBLAS is not in use");
  CHECK(libraries.for_gemm(empty) == nullptr);
  if (cudnn) CHECK(libraries.for_conv2d(few, false) != nullptr);
  if (!cudnn) {
    check_contains(error_of([&] { libraries.for_conv2d(few, false); }), "cuDNN is not in use");
  }
  CHECK(libraries.for_conv2d(none, false) == nullptr);
  check_contains(error_of([&] { libraries.for_conv2d(few, true); }), "without a gate");
  check_contains(error_of([&] { libraries.for_conv2d(grouped, false); }), "of one group");
  CHECK_THROWS_AS(libraries.declined("no"), cuda::Error);
}

TEST_CASE("libraries: the environment turns them off", "[cuda]") {
  if (cuda::device_count() == 0) SKIP(cuda::no_device_reason());
  const char* const kName = "OCHE_CUDA_LIBRARIES";
  const char* const before = std::getenv(kName);
  const std::string saved = before ? before : "";
  const auto use_with = [&](const char* value) {
    ::setenv(kName, value, 1);
    CudaContext ctx(0);
    return ctx.libraries().use();
  };
  CHECK(use_with("none") == LibraryUse::kNone);
  CHECK(use_with("auto") == LibraryUse::kByRule);
  CHECK(use_with("") == LibraryUse::kByRule);
  CHECK_THROWS_WITH(use_with("off"), "OCHE_CUDA_LIBRARIES=off: expected auto or none");
  ::setenv(kName, saved.c_str(), 1);
}

TEMPLATE_TEST_CASE("libraries: matrix products by cuBLAS", "[cuda]", float, double) {
  OCHE_LIBRARY_CONTEXT(ctx, cublas_state);
  const GemmShape shape = GENERATE(GemmShape{1, 1, 1},
                                   GemmShape{4, 16, 5},
                                   GemmShape{64, 10, 256},
                                   GemmShape{13, 9, 131},
                                   GemmShape{1, 77, 33},
                                   GemmShape{70, 1, 35});
  for (const bool a_too : {false, true}) {
    for (const bool b_too : {false, true}) {
      const GemmShape s{shape.M, shape.N, shape.K, a_too, b_too};
      CAPTURE(s.M, s.N, s.K, a_too, b_too);
      auto a = integers<TestType>(s.M * s.K, -4, 4, 1), b = integers<TestType>(s.K * s.N, -4, 4, 2);
      check_equal(multiply(ctx, s, a, b), judge(s, a, b));
      for (TestType& v : a) v /= 3;
      for (TestType& v : b) v /= 7;
      // TF32 would miss this by a factor of a hundred or more.
      const double tolerance = 2 * std::numeric_limits<TestType>::epsilon() * s.K;
      const auto got = in_every_order([&] { return multiply(ctx, s, a, b); });
      check_close(got, judge(s, a, b), tolerance);
    }
  }
}

TEST_CASE("libraries: convolutions by cuDNN", "[cuda]") {
  OCHE_LIBRARY_CONTEXT(ctx, cudnn_state);
  const Conv2dShape& s = GENERATE(from_range(std::begin(kDense), std::end(kDense)));
  CAPTURE(text(s));
  ConvSample a = integer_sample(s);
  ctx.libraries().for_conv2d(s, false);  // makes the handle
  const uint64_t before = cuda::memory_use(ctx).in_use;
  check_convolution(convolve(ctx, s, a), s, a, 0);
  cuda::synchronize(ctx);
  CHECK(cuda::memory_use(ctx).in_use == before);  // scratch memory went back

  for (auto* values : {&a.x, &a.w, &a.grad_y}) {
    for (float& v : *values) v /= 3;
  }
  const ConvResults got = convolve(ctx, s, a);
  const int64_t terms =
      std::max({s.kernel_h * s.kernel_w * std::max(s.C, s.out_C), s.N * s.out_h() * s.out_w()});
  check_convolution(got, s, a, 2 * std::numeric_limits<float>::epsilon() * terms);
  CHECK(convolve(ctx, s, a) == got);     // to the bit
  CHECK(convolve(ctx, s, a, 1) == got);  // as from an aligned place
}

// Shapes that differ in one number, one after the other on the same handle.
TEST_CASE("libraries: cuDNN keeps shapes apart", "[cuda]") {
  OCHE_LIBRARY_CONTEXT(ctx, cudnn_state);
  const Conv2dShape base{1, 9, 9, 4, 3, 3, 4, 1, 1, 1};
  std::vector<Conv2dShape> shapes(11, base);
  shapes[1].N = 2;
  shapes[2].H = 8;
  shapes[3].W = 8;
  shapes[4].C = 5;
  shapes[5].kernel_h = 2;
  shapes[6].kernel_w = 2;
  shapes[7].out_C = 5;
  shapes[8].stride = 2;
  shapes[9].padding = 2;
  shapes[10].dilation = 2;
  for (int time = 0; time < 2; ++time) {
    for (const Conv2dShape& s : shapes) {
      CAPTURE(text(s));
      const ConvSample a = integer_sample(s);
      check_convolution(convolve(ctx, s, a), s, a, 0);
    }
  }
}

// The stand-in declines the gradients: one when it is asked for a workspace, one when it is called.
TEST_CASE("libraries: what cuDNN declines is for our kernels", "[cuda]") {
  OCHE_LIBRARY_CONTEXT(ctx, cudnn_state);
  ctx.libraries().set_use(LibraryUse::kByRule);
  const Conv2dShape s{4, 31, 32, 24, 5, 5, 48, 1, 5, 2};
  REQUIRE(cuda::worth_a_library(s));
  const ConvSample a = integer_sample(s);
  for (int time = 0; time < 2; ++time) check_convolution(convolve(ctx, s, a), s, a, 0);
#ifdef OCHE_CUDA_HOST
  ctx.libraries().set_use(LibraryUse::kAlways);
  const DeviceArray<float> x(ctx, a.x), w(ctx, a.w), g(ctx, a.grad_y);
  DeviceArray<float> to(ctx, std::max(input_size(s), weight_size(s)));
  const std::string expected = "cuDNN does not support this convolution";
  CHECK(error_of([&] {
          kernels::conv2d_input_grad<float>(ctx, s, g.data(), nullptr, w.data(), to.data());
        }) == expected);
  CHECK(error_of([&] {
          kernels::conv2d_weight_grad<float>(
              ctx, s, x.data(), nullptr, g.data(), to.data(), nullptr);
        }) == expected);
#endif
}

TEST_CASE("libraries: cuDNN is for float, and says so", "[cuda]") {
  OCHE_LIBRARY_CONTEXT(ctx, cudnn_state);
  const Conv2dShape s{1, 4, 4, 3, 3, 3, 4, 1, 1, 1};
  const DeviceArray<double> x(ctx, input_size(s)), w(ctx, weight_size(s));
  DeviceArray<double> y(ctx, output_size(s));
  check_contains(error_of([&] {
                   kernels::conv2d_forward<double>(ctx, s, x.data(), nullptr, w.data(), y.data());
                 }),
                 "float only");
}

TEST_CASE("libraries: an error has the call, its place and the library's words", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  if (cuda::cublas_state().problem.empty()) {
    const std::string error = error_of([&] {
      const float* none = nullptr;
      cuda::make_cublas(ctx)->gemm(GemmShape{-1, 2, 3}, none, none, nullptr);
    });
    check_contains(error, "cublasSgemm");
    check_contains(error, "failed on device 0 (");
    check_contains(error, "kernels/cuda/cublas.cpp:");
    check_contains(error, "CUBLAS_STATUS_INVALID_VALUE: ");
    check_contains(error, "OCHE_CUDA_LIBRARIES=none");
  }
  if (cuda::cudnn_state().problem.empty()) {
    const std::string error = error_of([&] {
      cuda::make_cudnn(ctx)->forward(Conv2dShape{-1, 4, 4, 3, 3, 3, 4}, nullptr, nullptr, nullptr);
    });
    check_contains(error, "cudnnSetTensor4dDescriptor");
    check_contains(error, "kernels/cuda/cudnn.cpp:");
    check_contains(error, "CUDNN_STATUS");
  }
}

}  // namespace oche
