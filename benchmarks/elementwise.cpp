// Rows of the elementwise kernels.
#include "kernels/elementwise.h"

#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>

#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"

namespace oche::bench {
namespace {

using kernels::Binary;
using kernels::Unary;
using ref::Values;

constexpr const char* kGroup = "elementwise";

Family unary_family(std::string name, Unary f) {
  return {.name = "unary_" + name,
          .group = kGroup,
          .summary = "y = f(x)",
          .parameters = image_parameters(),
          .instances = kStages,
          .make = for_dtype([f]<typename T>(const Arguments& a) {
            const int64_t n = image_size(a);
            const auto x = input<T>(n, 0.25, 2), y = output<T>(n);
            return Case{
                .run = launch([=](auto& ctx) { kernels::unary<T>(ctx, f, n, x.data(), y.data()); }),
                .check = [=] { return compare(y, ref::unary(f, x.reference()), tolerance<T>(1)); },
                .bytes = x.bytes() + y.bytes(),
                .flops = static_cast<double>(n)};
          }),
          .batch = "n"};
}

Family binary_family(std::string name, Binary f) {
  return {
      .name = "binary_" + name,
      .group = kGroup,
      .summary = "y = f(a, b); broadcast:1 reads b as one row of channels",
      .parameters = image_parameters({{"broadcast", 0, 0}}),
      .instances = f == Binary::kAdd || f == Binary::kMultiply
                       ? product(kStages, {{}, {{"broadcast", 1}}})
                       : kStages,
      .make = for_dtype([f]<typename T>(const Arguments& args) {
        const int64_t n = image_size(args), C = args["c"];
        const bool broadcast = args["broadcast"] != 0;
        const auto a = input<T>(n, -2, 2), b = input<T>(broadcast ? C : n, 0.25, 2, 2);
        const auto y = output<T>(n);
        const ref::Indices shape = {n / C, C}, steps_a = {C, 1}, steps_b = {broadcast ? 0 : C, 1};
        return Case{.run = launch([=](auto& ctx) {
                      kernels::binary<T>(
                          ctx, f, shape, a.data(), steps_a, b.data(), steps_b, y.data());
                    }),
                    .check =
                        [=] {
                          return compare(
                              y,
                              ref::binary(f, shape, a.reference(), steps_a, b.reference(), steps_b),
                              tolerance<T>(1));
                        },
                    .bytes = a.bytes() + b.bytes() + y.bytes(),
                    .flops = static_cast<double>(n)};
      }),
      .batch = "n"};
}

// y = k x + c.
template <typename T>
Case affine_case(const Arguments& a) {
  const int64_t n = image_size(a);
  const auto x = input<T>(n), y = output<T>(n);
  return {.run = launch([=](auto& ctx) { kernels::affine<T>(ctx, n, 0.5, 2, x.data(), y.data()); }),
          .check =
              [=] {
                Values want = x.reference();
                for (double& v : want) v = 0.5 * v + 2;
                return compare(y, want, tolerance<T>(1));
              },
          .bytes = x.bytes() + y.bytes(),
          .flops = 2.0 * static_cast<double>(n)};
}

template <typename T>
Case accumulate_case(const Arguments& a) {
  const int64_t n = image_size(a);
  const auto x = input<T>(n), y = input<T>(n, -1, 1, 2);
  return {.run = launch([=](auto& ctx) { kernels::accumulate<T>(ctx, n, x.data(), y.data()); }),
          .check =
              [=] {
                Values want = random_values(n, -1, 1, 2);
                const Values added = x.reference();
                for (int64_t i = 0; i < n; ++i) want[i] += added[i];
                return compare(y, want, tolerance<T>(1));
              },
          .bytes = x.bytes() + 2 * y.bytes(),
          .flops = static_cast<double>(n)};
}

template <typename T>
Case fill_case(const Arguments& a) {
  const int64_t n = image_size(a);
  const auto y = output<T>(n);
  return {.run = launch([=](auto& ctx) { kernels::fill<T>(ctx, n, T(0.5), y.data()); }),
          .check = [=] { return compare(y, Values(n, 0.5), tolerance<T>(1)); },
          .bytes = y.bytes()};
}

template <typename T>
Case cast_case(const Arguments& a) {
  using Other = std::conditional_t<std::is_same_v<T, float>, double, float>;
  const int64_t n = image_size(a);
  const auto x = input<T>(n);
  const auto y = output<Other>(n);
  return {.run = launch([=](auto& ctx) { kernels::cast<T, Other>(ctx, n, x.data(), y.data()); }),
          .check = [=] { return compare(y, x.reference(), tolerance<float>(1)); },
          .bytes = x.bytes() + y.bytes()};
}

// One of four tensors that are put side by side along the channels.
template <typename T>
Case copy_case(const Arguments& a) {
  const int64_t n = image_size(a), C = a["c"], wide = volume({n, 4});
  const auto x = input<T>(n);
  const Buffer<T> y(std::vector<T>(wide, T(0)));
  const ref::Indices shape = {n / C, C}, from = {C, 1}, to = {4 * C, 1};
  return {.run = launch([=](auto& ctx) {
            kernels::copy_strided<T>(ctx, shape, x.data(), from, y.data() + C, to);
          }),
          .check =
              [=] {
                Values want(wide);
                const Values copied = x.reference();
                for (int64_t i = 0; i < n; ++i) want[i / C * 4 * C + C + i % C] = copied[i];
                return compare(y, want, tolerance<T>(1));
              },
          .bytes = 2 * x.bytes()};
}

template <typename T>
std::function<void()> ask_all_finite(const Buffer<T>& x,
                                     int64_t n,
                                     const std::shared_ptr<bool>& answer) {
  return launch([=](auto& ctx) { *answer = kernels::all_finite<T>(ctx, n, x.data()); });
}

template <typename T>
Case all_finite_case(const Arguments& a) {
  const int64_t n = image_size(a);
  const auto x = input<T>(n);
  const auto answer = std::make_shared<bool>(false);
  return {.run = ask_all_finite(x, n, answer),
          .check =
              [=] {
                std::vector<T> values = x.values();
                values.back() = std::numeric_limits<T>::infinity();
                const auto wrong = std::make_shared<bool>(true);
                ask_all_finite(Buffer<T>(values), n, wrong)();
                return Check{*answer && !*wrong ? 0.0 : 1.0,
                             tolerance<T>(1),
                             "a tensor without and one with an infinity"};
              },
          .bytes = x.bytes(),
          .flops = static_cast<double>(n),
          .launches = Launches::kOneByOne};
}

template <typename Make>
Family map_family(std::string name, std::string summary, Make make) {
  return {.name = std::move(name),
          .group = kGroup,
          .summary = std::move(summary),
          .parameters = image_parameters(),
          .instances = kStages,
          .make = for_dtype(make),
          .batch = "n"};
}

}  // namespace

std::vector<Family> elementwise_families() {
  return {
      unary_family("negate", Unary::kNegate),
      unary_family("exp", Unary::kExp),
      unary_family("log", Unary::kLog),
      unary_family("sqrt", Unary::kSqrt),
      unary_family("sigmoid", Unary::kSigmoid),
      unary_family("tanh", Unary::kTanh),
      unary_family("reciprocal", Unary::kReciprocal),
      unary_family("abs", Unary::kAbs),
      unary_family("sign", Unary::kSign),
      binary_family("add", Binary::kAdd),
      binary_family("subtract", Binary::kSubtract),
      binary_family("multiply", Binary::kMultiply),
      binary_family("divide", Binary::kDivide),
      binary_family("gate", Binary::kGate),
      map_family("affine",
                 "y = k x + c",
                 []<typename T>(const Arguments& a) { return affine_case<T>(a); }),
      map_family("accumulate",
                 "y += x",
                 []<typename T>(const Arguments& a) { return accumulate_case<T>(a); }),
      map_family("fill", "y = c", []<typename T>(const Arguments& a) { return fill_case<T>(a); }),
      map_family("cast",
                 "to the other floating dtype",
                 []<typename T>(const Arguments& a) { return cast_case<T>(a); }),
      map_family("copy_strided",
                 "into every fourth block of channels",
                 []<typename T>(const Arguments& a) { return copy_case<T>(a); }),
      map_family("all_finite",
                 "true iff no element is infinite or NaN",
                 []<typename T>(const Arguments& a) { return all_finite_case<T>(a); }),
  };
}

}  // namespace oche::bench
