// Rows of the optimisers' updates.
#include "kernels/optimizer.h"

#include <algorithm>

#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"

namespace oche::bench {
namespace {

constexpr kernels::SgdStep kSgd{.lr = 0.025, .momentum = 0.9, .weight_decay = 3e-4};
constexpr kernels::AdamStep kAdam{
    .lr = 3e-4, .beta1 = 0.5, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 1e-3, .step = 2};

// The elements of a row in as many tensors as it asks for: make(first element, elements) for each.
template <typename Entry, typename Make>
std::vector<Entry> cut(const Arguments& a, const Make& make) {
  const int64_t n = a["elements"], tensors = std::min(n, a["tensors"]);
  std::vector<Entry> list;
  for (int64_t i = 0; i < tensors; ++i) {
    const int64_t begin = i * n / tensors;
    list.push_back(make(begin, (i + 1) * n / tensors - begin));
  }
  return list;
}

template <typename T>
Case sgd_case(const Arguments& a) {
  const int64_t n = volume({a["elements"]});
  const auto g = input<T>(n), w = input<T>(n, -1, 1, 2), buf = input<T>(n, -1, 1, 3);
  const auto list = cut<kernels::SgdTensor<T>>(a, [&](int64_t at, int64_t size) {
    return kernels::SgdTensor<T>{size, g.data() + at, w.data() + at, buf.data() + at};
  });
  return {.run = launch([=](auto& ctx) { kernels::sgd<T>(ctx, kSgd, list); }),
          .check =
              [=] {
                ref::Values want_w = random_values(n, -1, 1, 2),
                            want_buf = random_values(n, -1, 1, 3);
                ref::sgd(kSgd, g.reference(), want_w, want_buf);
                return worst(
                    {compare(w, want_w, tolerance<T>(1)), compare(buf, want_buf, tolerance<T>(1))});
              },
          .bytes = g.bytes() + 2 * w.bytes() + 2 * buf.bytes(),
          .flops = 7.0 * static_cast<double>(n)};
}

template <typename T>
Case adam_case(const Arguments& a) {
  const int64_t n = volume({a["elements"]});
  const auto g = input<T>(n), w = input<T>(n, -1, 1, 2);
  const auto m = input<T>(n, -1, 1, 3), v = input<T>(n, 0.5, 1, 4);
  const auto list = cut<kernels::AdamTensor<T>>(a, [&](int64_t at, int64_t size) {
    return kernels::AdamTensor<T>{size, g.data() + at, w.data() + at, m.data() + at, v.data() + at};
  });
  return {.run = launch([=](auto& ctx) { kernels::adam<T>(ctx, kAdam, list); }),
          .check =
              [=] {
                ref::Values want_w = random_values(n, -1, 1, 2),
                            want_m = random_values(n, -1, 1, 3),
                            want_v = random_values(n, 0.5, 1, 4);
                ref::adam(kAdam, g.reference(), want_w, want_m, want_v);
                return worst({compare(w, want_w, tolerance<T>(1)),
                              compare(m, want_m, tolerance<T>(1)),
                              compare(v, want_v, tolerance<T>(1))});
              },
          .bytes = g.bytes() + 2 * (w.bytes() + m.bytes() + v.bytes()),
          .flops = 15.0 * static_cast<double>(n)};
}

template <typename T>
Case norm_case(const Arguments& a) {
  const auto x = input<T>(volume({a["elements"]}));
  const auto list = cut<kernels::NormTensor<T>>(a, [&](int64_t at, int64_t size) {
    return kernels::NormTensor<T>{size, 1, 1, x.data() + at};
  });
  const auto sum = output<double>(1),
             workspace = output<double>(kernels::squares_workspace<T>(list));
  return {.run = launch(
              [=](auto& ctx) { kernels::sum_squares<T>(ctx, list, sum.data(), workspace.data()); }),
          .check =
              [=] {
                const ref::Values values = x.reference();
                return compare(sum, {ref::dot(values, values)}, tolerance<double>(a["elements"]));
              },
          .bytes = x.bytes(),
          .flops = 2.0 * static_cast<double>(a["elements"])};
}

}  // namespace

std::vector<Family> optimizer_families() {
  return {
      {.name = "sgd",
       .group = "optimiser",
       .summary = "momentum and weight decay, in place",
       .parameters = {{"elements", 1930618}, {"tensors", 1400}},  // 8 cells of 16 channels
       .instances = {{}},
       .make = for_dtype([]<typename T>(const Arguments& a) { return sgd_case<T>(a); }),
       .batch = "elements"},
      {.name = "adam",
       .group = "optimiser",
       .summary = "bias-corrected, in place",
       .parameters = {{"elements", 224}, {"tensors", 2}},  // the tables of alphas
       .instances = {{}, {{"elements", 1930618}, {"tensors", 1400}}},
       .make = for_dtype([]<typename T>(const Arguments& a) { return adam_case<T>(a); }),
       .batch = "elements"},
      {.name = "sum_squares",
       .group = "optimiser",
       .summary = "of a gradient, in double, for clipping",
       .parameters = {{"elements", 1930618}, {"tensors", 1400}},
       .instances = {{}},
       .make = for_dtype([]<typename T>(const Arguments& a) { return norm_case<T>(a); }),
       .batch = "elements"},
  };
}

}  // namespace oche::bench
