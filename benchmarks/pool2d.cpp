// Rows of the pooling kernels.
#include "kernels/pool2d.h"

#include "benchmarks/conv2d_shape.h"
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"

namespace oche::bench {
namespace {

using kernels::Pool2dShape;
using ref::Values;

template <typename T>
Case max_forward_case(const Pool2dShape& s) {
  const auto x = input<T>(input_size(s)), y = output<T>(output_size(s));
  const Buffer<uint8_t> index(std::vector<uint8_t>(output_size(s), 255));
  return {.run = launch([=](auto& ctx) {
            kernels::max_pool2d_forward<T>(ctx, s, x.data(), y.data(), index.data());
          }),
          .check =
              [=] {
                const ref::MaxPool want = ref::max_pool2d(s, x.reference());
                return worst({compare(y, want.y, tolerance<T>(1)),
                              compare(index, Values(want.index.begin(), want.index.end()), 0.5)});
              },
          .bytes = x.bytes() + y.bytes() + index.bytes(),
          .flops = pool2d_flops(s)};
}

template <typename T>
Case max_gather_case(const Pool2dShape& s) {
  const auto x = input<T>(input_size(s)), y = output<T>(output_size(s));
  const Buffer<uint8_t> index(ref::max_pool2d(s, x.reference()).index);
  return {.run = launch([=](auto& ctx) {
            kernels::max_pool2d_gather<T>(ctx, s, x.data(), index.data(), y.data());
          }),
          .check =
              [=] {
                return compare(
                    y, ref::max_pool2d_gather(s, x.reference(), index.values()), tolerance<T>(1));
              },
          .bytes = x.bytes() + y.bytes() + index.bytes()};
}

template <typename T>
Case max_scatter_case(const Pool2dShape& s) {
  const auto g = input<T>(output_size(s)), grad_x = output<T>(input_size(s));
  const Buffer<uint8_t> index(ref::max_pool2d(s, random_values(input_size(s))).index);
  return {.run = launch([=](auto& ctx) {
            kernels::max_pool2d_scatter<T>(ctx, s, g.data(), index.data(), grad_x.data());
          }),
          .check =
              [=] {
                return compare(grad_x,
                               ref::max_pool2d_scatter(s, g.reference(), index.values()),
                               tolerance<T>(s.kernel * s.kernel));
              },
          .bytes = g.bytes() + index.bytes() + grad_x.bytes(),
          .flops = static_cast<double>(output_size(s))};
}

template <typename T>
Case avg_forward_case(const Pool2dShape& s) {
  const auto x = input<T>(input_size(s)), y = output<T>(output_size(s));
  return {
      .run = launch([=](auto& ctx) { kernels::avg_pool2d_forward<T>(ctx, s, x.data(), y.data()); }),
      .check =
          [=] {
            return compare(y, ref::avg_pool2d(s, x.reference()), tolerance<T>(s.kernel * s.kernel));
          },
      .bytes = x.bytes() + y.bytes(),
      .flops = pool2d_flops(s)};
}

template <typename T>
Case avg_backward_case(const Pool2dShape& s) {
  const auto g = input<T>(output_size(s)), grad_x = output<T>(input_size(s));
  return {.run = launch(
              [=](auto& ctx) { kernels::avg_pool2d_backward<T>(ctx, s, g.data(), grad_x.data()); }),
          .check =
              [=] {
                return compare(grad_x,
                               ref::avg_pool2d_backward(s, g.reference()),
                               tolerance<T>(s.kernel * s.kernel));
              },
          .bytes = g.bytes() + grad_x.bytes(),
          .flops = pool2d_flops(s)};
}

template <typename Make>
Family pool_family(std::string name, std::string summary, Make make) {
  std::vector<Instance> instances = product(kStages, {{{"stride", 1}}});
  for (const Instance& i : product({kStages[0], kStages[1]}, {{{"stride", 2}}})) {
    instances.push_back(i);
  }
  return {.name = std::move(name),
          .group = "pooling",
          .summary = std::move(summary),
          .parameters = image_parameters({{"kernel", 3}, {"stride", 1}}),
          .instances = instances,
          .make = for_dtype(make),
          .batch = "n"};
}

}  // namespace

std::vector<Family> pool2d_families() {
  return {
      pool_family(
          "max_pool2d_forward",
          "with the winning taps",
          []<typename T>(const Arguments& a) { return max_forward_case<T>(pool2d_shape(a)); }),
      pool_family(
          "max_pool2d_scatter",
          "the backward pass of max pooling",
          []<typename T>(const Arguments& a) { return max_scatter_case<T>(pool2d_shape(a)); }),
      pool_family(
          "max_pool2d_gather",
          "the second backward pass of max pooling",
          []<typename T>(const Arguments& a) { return max_gather_case<T>(pool2d_shape(a)); }),
      pool_family(
          "avg_pool2d_forward",
          "padding excluded",
          []<typename T>(const Arguments& a) { return avg_forward_case<T>(pool2d_shape(a)); }),
      pool_family(
          "avg_pool2d_backward",
          "padding excluded",
          []<typename T>(const Arguments& a) { return avg_backward_case<T>(pool2d_shape(a)); }),
  };
}

}  // namespace oche::bench
