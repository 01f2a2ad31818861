// Multi-tensor updates on the device: the bits of the CPU, since each element is worked on alone by
// the same formula; and the norm.
#include <limits>
#include <numeric>

#include "kernels/optimizer.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using namespace kernels;

// Sizes of a list: several tables of small tensors, empty ones, and some of many blocks.
std::vector<int64_t> list_of_sizes() {
  std::vector<int64_t> sizes = {0, 1, 3, 1027, 0, 40, 5000, 256, 1024};
  for (int64_t i = 0; i < 150; ++i) sizes.push_back(i * 7 % 33);
  sizes.push_back(9);
  return sizes;
}

// The elements of a list of tensors one after the other. Some begin where vectors are not aligned.
template <typename T>
std::vector<T> elements(const std::vector<int64_t>& sizes, int low, unsigned seed) {
  auto x = integers<T>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}), low, 100, seed);
  for (T& v : x) v /= 37;
  return x;
}

// update(ctx, g, w, p, q) on arrays of all elements, in place; returns w, p and q.
template <typename T, typename Update>
std::vector<T> on_device(CudaContext& ctx,
                         const std::vector<int64_t>& sizes,
                         const Update& update) {
  const DeviceArray<T> g(ctx, elements<T>(sizes, -100, 1));
  DeviceArray<T> w(ctx, elements<T>(sizes, -100, 2)), p(ctx, elements<T>(sizes, -100, 3));
  DeviceArray<T> q(ctx, elements<T>(sizes, 0, 4));
  for (int step : {1, 2}) update(ctx, step, g.data(), w.data(), p.data(), q.data());
  auto all = w.download();
  for (const auto* more : {&p, &q}) {
    const auto values = more->download();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}
template <typename T, typename Update>
std::vector<T> on_cpu(const std::vector<int64_t>& sizes, const Update& update) {
  CpuContext cpu(1);
  const auto g = elements<T>(sizes, -100, 1);
  auto w = elements<T>(sizes, -100, 2), p = elements<T>(sizes, -100, 3);
  auto q = elements<T>(sizes, 0, 4);
  for (int step : {1, 2}) update(cpu, step, g.data(), w.data(), p.data(), q.data());
  w.insert(w.end(), p.begin(), p.end());
  w.insert(w.end(), q.begin(), q.end());
  return w;
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: sgd has the CPU's bits", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const auto sizes = list_of_sizes();
  const auto update = [&](auto& context, int, const TestType* g, TestType* w, TestType* p, auto*) {
    std::vector<SgdTensor<TestType>> list;
    for (size_t i = 0; i < sizes.size(); ++i) {
      list.push_back({sizes[i], i % 5 == 2 ? nullptr : g, w, p});
      g += sizes[i], w += sizes[i], p += sizes[i];
    }
    SgdStep step{.lr = 0.1, .momentum = 0.9, .weight_decay = 3e-4, .grad_scale = 0.7};
    sgd<TestType>(context, step, list);
    step.nesterov = true;
    sgd<TestType>(context, step, list);
    sgd<TestType>(context, step, {});
  };
  CHECK(in_every_order([&] { return on_device<TestType>(ctx, sizes, update); }) ==
        on_cpu<TestType>(sizes, update));
}

TEMPLATE_TEST_CASE("cuda: adam has the CPU's bits", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const auto sizes = list_of_sizes();
  const auto update =
      [&](auto& context, int number, const TestType* g, TestType* w, TestType* p, TestType* q) {
        std::vector<AdamTensor<TestType>> list;
        for (size_t i = 0; i < sizes.size(); ++i) {
          list.push_back({sizes[i], i % 5 == 2 ? nullptr : g, w, p, q});
          g += sizes[i], w += sizes[i], p += sizes[i], q += sizes[i];
        }
        adam<TestType>(context,
                       {.lr = 3e-4,
                        .beta1 = 0.5,
                        .beta2 = 0.999,
                        .eps = 1e-8,
                        .weight_decay = 1e-3,
                        .step = number},
                       list);
      };
  CHECK(in_every_order([&] { return on_device<TestType>(ctx, sizes, update); }) ==
        on_cpu<TestType>(sizes, update));
}

namespace {

// Checks the sum of squares of tensors of these shapes, of integers or of fractions.
template <typename T>
void check_sum_squares(CudaContext& ctx, const std::vector<NormTensor<T>>& shapes, bool exact) {
  int64_t total = 0;
  for (const auto& t : shapes) total += t.n();
  auto x = integers<T>(total, -9, 9);
  for (T& v : x) v /= exact ? 1 : 7;
  const DeviceArray<T> in(ctx, x);
  const auto listed = [&](const T* at) {
    auto list = shapes;
    for (auto& t : list) {
      t.x = at;
      at += t.n();
    }
    return list;
  };
  const auto on_device = listed(in.data());
  const int64_t partials = squares_workspace<T>(on_device);
  const auto got = in_every_order([&] {
    DeviceArray<double> sum(ctx, 1), workspace(ctx, partials);
    const auto launch = [&] { sum_squares<T>(ctx, on_device, sum.data(), workspace.data()); };
#ifdef OCHE_CUDA_HOST
    // A block for each partial sum; more than 1024 of those are merged by several blocks.
    const int64_t merging = partials > 1024 ? (partials + 1023) / 1024 + 1 : 1;
    CHECK(threads_of(launch) == static_cast<uint64_t>(partials + merging) * 256);
#else
    launch();
#endif
    return sum.download();
  });
  CpuContext cpu(1);
  std::vector<double> want(1), workspace(partials);
  sum_squares<T>(cpu, listed(x.data()), want.data(), workspace.data());
  check_close(got, want, exact ? 0 : 1e-13);
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: sums of squares", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  std::vector<NormTensor<TestType>> many = {{0, 3, 4, nullptr}, {9, 40, 30, nullptr}};
  for (int64_t i = 1; i < 100; ++i) many.push_back({1 + i % 9, 1 + i % 5, 1 + i % 7, nullptr});
  for (const auto& shapes : {std::vector<NormTensor<TestType>>{}, {{1, 1, 1, nullptr}}, many}) {
    for (bool exact : {true, false}) {
      CAPTURE(shapes.size(), exact);
      check_sum_squares(ctx, shapes, exact);
    }
  }
}

TEMPLATE_TEST_CASE("cuda: sums of squares of a thousand tensors and of one that is huge",
                   "[cuda]",
                   float,
                   double) {
  OCHE_CUDA_CONTEXT(ctx);
  // As many partial sums as one block merges, and more.
  for (int64_t count : {1024, 1025, 2300}) {
    std::vector<NormTensor<TestType>> many;
    for (int64_t i = 0; i < count; ++i) many.push_back({1 + i % 3, 1 + i % 2, 1 + i % 5, nullptr});
    CAPTURE(count);
    check_sum_squares(ctx, many, count < 2000);
  }
  if (sizeof(TestType) == 4) {  // once: it has millions of elements
    check_sum_squares<TestType>(ctx, {{3, 5, 1, nullptr}, {64, 9, 8200, nullptr}}, false);
  }
}

}  // namespace oche
