// Rows of the optimisers' updates.
#include "kernels/optimizer.h"

#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"

namespace oche::bench {
namespace {

constexpr kernels::SgdStep kSgd{.lr = 0.025, .momentum = 0.9, .weight_decay = 3e-4};
constexpr kernels::AdamStep kAdam{
    .lr = 3e-4, .beta1 = 0.5, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 1e-3, .step = 2};

template <typename T>
Case sgd_case(const Arguments& a) {
  const int64_t n = volume({a["elements"]});
  const auto g = input<T>(n), w = input<T>(n, -1, 1, 2), buf = input<T>(n, -1, 1, 3);
  return {.run = [=] { kernels::sgd<T>(cpu_context(), kSgd, n, g.data(), w.data(), buf.data()); },
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
  return {.run =
              [=] {
                kernels::adam<T>(cpu_context(), kAdam, n, g.data(), w.data(), m.data(), v.data());
              },
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

}  // namespace

std::vector<Family> optimizer_families() {
  return {
      {.name = "sgd",
       .group = "optimiser",
       .summary = "momentum and weight decay, in place",
       .parameters = {{"elements", 1930618}},  // the weights of 8 cells of 16 channels
       .instances = {{}},
       .make = for_dtype([]<typename T>(const Arguments& a) { return sgd_case<T>(a); }),
       .batch = "elements"},
      {.name = "adam",
       .group = "optimiser",
       .summary = "bias-corrected, in place",
       .parameters = {{"elements", 224}},  // two tables of alphas
       .instances = {{}, {{"elements", 1930618}}},
       .make = for_dtype([]<typename T>(const Arguments& a) { return adam_case<T>(a); }),
       .batch = "elements"},
  };
}

}  // namespace oche::bench
