// Rows of the convolution kernels: dense, pointwise, depthwise; forward and both gradients.
#include "kernels/conv2d.h"

#include "benchmarks/conv2d_shape.h"
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "tests/support/reference_conv.h"

namespace oche::bench {
namespace {

using kernels::Conv2dShape;

constexpr const char* kGroup = "convolution";

enum class Pass { kForward, kInputGrad, kWeightGrad };

// relu:1 fuses a rectifier: x gates itself.
template <typename T>
struct Operands {
  explicit Operands(const Conv2dShape& s, bool relu)
      : relu(relu),
        x(input<T>(input_size(s))),
        w(input<T>(weight_size(s), -1, 1, 2)),
        g(input<T>(output_size(s), -1, 1, 3)) {}
  const T* gate() const { return relu ? x.data() : nullptr; }
  ref::Values gate_values() const { return relu ? x.reference() : ref::Values(); }

  bool relu;
  Buffer<T> x, w, g;
};

template <typename T>
Case forward_case(const Conv2dShape& s, bool relu, By by) {
  const Operands<T> in(s, relu);
  const auto y = output<T>(output_size(s));
  return {.run = launch(
              [=](auto& ctx) {
                kernels::conv2d_forward<T>(ctx, s, in.x.data(), in.gate(), in.w.data(), y.data());
              },
              by),
          .check =
              [=] {
                return compare(y,
                               ref::conv2d(s, in.x.reference(), in.gate_values(), in.w.reference()),
                               tolerance<T>(s.kernel_h * s.kernel_w * s.C / s.groups));
              },
          .bytes = in.x.bytes() + in.w.bytes() + y.bytes(),
          .flops = conv2d_flops(s)};
}

template <typename T>
Case input_grad_case(const Conv2dShape& s, bool relu, By by) {
  const Operands<T> in(s, relu);
  const auto grad_x = output<T>(input_size(s));
  return {.run = launch(
              [=](auto& ctx) {
                kernels::conv2d_input_grad<T>(
                    ctx, s, in.g.data(), in.gate(), in.w.data(), grad_x.data());
              },
              by),
          .check =
              [=] {
                return compare(
                    grad_x,
                    ref::conv2d_input_grad(s, in.g.reference(), in.gate_values(), in.w.reference()),
                    tolerance<T>(s.kernel_h * s.kernel_w * s.out_C / s.groups));
              },
          .bytes = in.g.bytes() + in.w.bytes() + (relu ? in.x.bytes() : 0) + grad_x.bytes(),
          .flops = conv2d_flops(s)};
}

template <typename T>
Case weight_grad_case(const Conv2dShape& s, bool relu, By by) {
  const Operands<T> in(s, relu);
  const auto grad_w = output<T>(weight_size(s));
  const int64_t size = with_context(default_device(), [&](const auto& ctx) {
    return kernels::conv2d_weight_grad_workspace(ctx, s);
  });
  const auto workspace = output<T>(size);
  return {.run = launch(
              [=](auto& ctx) {
                kernels::conv2d_weight_grad<T>(
                    ctx, s, in.x.data(), in.gate(), in.g.data(), grad_w.data(), workspace.data());
              },
              by),
          .check =
              [=] {
                return compare(grad_w,
                               ref::conv2d_weight_grad(
                                   s, in.x.reference(), in.gate_values(), in.g.reference()),
                               tolerance<T>(s.N * s.out_h() * s.out_w()));
              },
          .bytes = in.x.bytes() + in.g.bytes() + grad_w.bytes(),
          .flops = conv2d_flops(s)};
}

template <typename T>
Case conv2d_case(Pass pass, By by, const Arguments& a) {
  const Conv2dShape s = conv2d_shape(a);
  const bool relu = a.has("relu") && a["relu"] != 0;
  switch (pass) {
    case Pass::kForward:
      return forward_case<T>(s, relu, by);
    case Pass::kInputGrad:
      return input_grad_case<T>(s, relu, by);
    default:
      return weight_grad_case<T>(s, relu, by);
  }
}

// The three passes of one kind of convolution.
void add_families(std::vector<Family>& families,
                  const std::string& kind,
                  const std::string& summary,
                  const std::vector<Parameter>& parameters,
                  const std::vector<Instance>& instances,
                  By by) {
  const std::pair<Pass, std::string> passes[] = {{Pass::kForward, "_forward"},
                                                 {Pass::kInputGrad, "_input_grad"},
                                                 {Pass::kWeightGrad, "_weight_grad"}};
  for (const auto& entry : passes) {
    families.push_back({.name = kind + entry.second,
                        .group = kGroup,
                        .summary = summary,
                        .parameters = parameters,
                        .instances = instances,
                        .make = for_dtype([pass = entry.first, by]<typename T>(const Arguments& a) {
                          return conv2d_case<T>(pass, by, a);
                        }),
                        .batch = "n"});
  }
}

}  // namespace

std::vector<Family> conv2d_families(By by) {
  std::vector<Family> families;
  // The stem by default.
  add_families(families,
               "conv2d",
               "dense or grouped; zero padding keeps the size at stride 1; relu:1 rectifies x",
               {{"n", 64},
                {"h", 32},
                {"w", 32},
                {"c", 3},
                {"out_c", 48},
                {"kernel", 3},
                {"stride", 1},
                {"dilation", 1},
                {"groups", 1},
                {"relu", 0, 0}},
               {{}},
               by);
  std::vector<Instance> depthwise = product(kStages,
                                            {{{"kernel", 3}},
                                             {{"kernel", 5}},
                                             {{"kernel", 3}, {"dilation", 2}},
                                             {{"kernel", 5}, {"dilation", 2}}});
  const std::vector<Instance> strided = product(
      {kStages[0], kStages[1]}, {{{"kernel", 3}, {"stride", 2}}, {{"kernel", 5}, {"stride", 2}}});
  depthwise.insert(depthwise.end(), strided.begin(), strided.end());
  add_families(families,
               "conv2d_depthwise",
               "one filter a channel, as in separable and dilated convolutions; relu:1 rectifies x",
               image_parameters({{"kernel", 3}, {"stride", 1}, {"dilation", 1}, {"relu", 1, 0}}),
               depthwise,
               by);
  // Within a separable convolution, after four concatenated nodes, and the half of a factorized
  // reduction.
  std::vector<Instance> pointwise = kStages;
  for (Instance instance : kStages) {
    const int64_t C = instance[3].second;
    instance[3].second = 4 * C;
    instance.push_back({"out_c", C});
    instance.push_back({"relu", 1});
    pointwise.push_back(instance);
  }
  for (Instance& instance : pointwise) {
    if (instance.size() == 4) instance.push_back({"out_c", instance[3].second});
  }
  pointwise.push_back(
      {{"n", 64}, {"h", 32}, {"w", 32}, {"c", 64}, {"out_c", 16}, {"stride", 2}, {"relu", 1}});
  add_families(families,
               "conv2d_pointwise",
               "1x1; relu:1 rectifies x",
               image_parameters({{"out_c", 16}, {"stride", 1}, {"relu", 0, 0}}),
               pointwise,
               by);
  return families;
}

}  // namespace oche::bench
