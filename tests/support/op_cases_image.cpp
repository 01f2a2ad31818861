// Rows of convolution, pooling and batch normalisation.
#include "tests/support/op_cases.h"
#include "tests/support/reference_ops.h"

namespace oche {
namespace {

using ref::Array;
using ref::Arrays;

struct ConvSetting {
  std::string name;
  Conv2dOptions o;         // but for the groups, which follow from the shapes
  std::vector<Shapes> xw;  // x, weight
  Shapes large = {};
};

const std::vector<ConvSetting> kConvSettings = {
    {"plain",
     {.padding = 1},
     {{{2, 4, 3, 2}, {3, 3, 2, 3}}, {{1, 1, 1, 1}, {3, 3, 1, 1}}},
     {{5, 9, 11, 16}, {3, 3, 16, 24}}},
    {"no padding", {}, {{{1, 4, 5, 2}, {3, 2, 2, 1}}, {{0, 3, 3, 2}, {3, 3, 2, 2}}}},
    {"stride 2",
     {.stride = 2, .padding = 1},
     {{{1, 5, 4, 2}, {3, 3, 2, 2}}},
     {{5, 17, 16, 3}, {3, 3, 3, 20}}},
    {"dilation 2", {.padding = 2, .dilation = 2}, {{{1, 4, 5, 2}, {3, 3, 2, 2}}}},
    {"grouped", {.padding = 1}, {{{1, 3, 4, 4}, {3, 3, 2, 6}}}},
    {"depthwise 3x3",
     {.padding = 1},
     {{{2, 4, 3, 3}, {3, 3, 1, 3}}},
     {{5, 13, 12, 19}, {3, 3, 1, 19}}},
    {"depthwise 5x5, stride 2",
     {.stride = 2, .padding = 2},
     {{{1, 5, 6, 2}, {5, 5, 1, 2}}},
     {{5, 13, 12, 16}, {5, 5, 1, 16}}},
    {"depthwise 3x3, dilation 2, stride 2",
     {.stride = 2, .padding = 2, .dilation = 2},
     {{{1, 6, 5, 2}, {3, 3, 1, 2}}}},
    {"depthwise 5x5, dilation 2", {.padding = 4, .dilation = 2}, {{{1, 5, 4, 2}, {5, 5, 1, 2}}}},
    {"depthwise, 2 outputs a channel", {.padding = 1}, {{{1, 3, 3, 2}, {3, 3, 1, 4}}}},
    {"pointwise", {}, {{{2, 3, 2, 3}, {1, 1, 3, 5}}}, {{5, 9, 11, 33}, {1, 1, 33, 20}}},
    {"pointwise, stride 2", {.stride = 2}, {{{1, 5, 4, 3}, {1, 1, 3, 2}}}},
    {"1x7", {.padding = 3}, {{{1, 2, 4, 1}, {1, 7, 1, 2}}}},
};

Conv2dOptions with_groups(Conv2dOptions o, const Shape& x, const Shape& w) {
  o.groups = x[3] / w[2];
  return o;
}

Array zeros(const Shape& shape) {
  return {shape, std::vector<double>(numel(shape))};
}

enum class Gate { kNone, kOwn };

// A row for each of the trio: (x, w [, gate]) -> y, (g, w, x) -> dx where x lends its shape or is
// the gate, and (x, g, w [, gate]) -> dw where w lends its shape.
void add_trio(std::vector<OpCase>& rows, const ConvSetting& s, Gate gate) {
  const bool gated = gate == Gate::kOwn;
  std::vector<Shapes> forward, input, weight;
  for (const Shapes& xw : s.xw) {
    const Shape &x = xw[0], &w = xw[1],
                g = ref::conv2d(zeros(x), zeros(w), with_groups(s.o, x, w)).shape;
    forward.push_back(gated ? Shapes{x, w, x} : Shapes{x, w});
    input.push_back(Shapes{g, w, x});
    weight.push_back(gated ? Shapes{x, g, w, x} : Shapes{x, g, w});
  }
  const std::string variant = s.name + (gated ? ", gated" : "");
  rows.push_back(
      {.op = "conv2d",
       .variant = variant,
       .shapes = forward,
       .fn =
           [=, o = s.o](Args a) {
             return conv2d(
                 a[0], a[1], with_groups(o, a[0].shape(), a[1].shape()), gated ? a[2] : Tensor());
           },
       .reference =
           [=, o = s.o](Arrays a) {
             return ref::conv2d(
                 a[0], a[1], with_groups(o, a[0].shape, a[1].shape), gated ? &a[2] : nullptr);
           },
       .large = gated ? Shapes{} : s.large});
  rows.push_back(
      {.op = "conv2d_input_grad",
       .variant = variant,
       .shapes = input,
       .fn =
           [=, o = s.o](Args a) {
             const Shape& x = a[2].shape();
             return conv2d_input_grad(
                 a[0], a[1], x, with_groups(o, x, a[1].shape()), gated ? a[2] : Tensor());
           },
       .reference =
           [=, o = s.o](Arrays a) {
             const Shape& x = a[2].shape;
             return ref::conv2d_input_grad(
                 a[0], a[1], x, with_groups(o, x, a[1].shape), gated ? &a[2] : nullptr);
           }});
  rows.push_back(
      {.op = "conv2d_weight_grad",
       .variant = variant,
       .shapes = weight,
       .fn =
           [=, o = s.o](Args a) {
             const Shape& w = a[2].shape();
             return conv2d_weight_grad(
                 a[0], a[1], w, with_groups(o, a[0].shape(), w), gated ? a[3] : Tensor());
           },
       .reference =
           [=, o = s.o](Arrays a) {
             const Shape& w = a[2].shape;
             return ref::conv2d_weight_grad(
                 a[0], a[1], w, with_groups(o, a[0].shape, w), gated ? &a[3] : nullptr);
           }});
  rows.push_back(
      {.op = "conv2d_backward",
       .variant = variant,
       .shapes = weight,
       .fn =
           [=, o = s.o](Args a) {
             const auto [dx, dw] = conv2d_backward(a[0],
                                                   a[1],
                                                   a[2],
                                                   with_groups(o, a[0].shape(), a[2].shape()),
                                                   gated ? a[3] : Tensor());
             return flat({dx, dw});
           },
       .reference =
           [=, o = s.o](Arrays a) {
             const Conv2dOptions with = with_groups(o, a[0].shape, a[2].shape);
             const Array* gate = gated ? &a[3] : nullptr;
             const Array parts[] = {ref::conv2d_input_grad(a[1], a[2], a[0].shape, with, gate),
                                    ref::conv2d_weight_grad(a[0], a[1], a[2].shape, with, gate)};
             return ref::flat(parts);
           }});
}

void add_relu_conv(std::vector<OpCase>& rows, const ConvSetting& s) {
  rows.push_back({.op = "conv2d",
                  .variant = s.name + ", relu in front",
                  .shapes = s.xw,
                  .fn =
                      [o = s.o](Args a) {
                        return relu_conv2d(a[0], a[1], with_groups(o, a[0].shape(), a[1].shape()));
                      },
                  .reference =
                      [o = s.o](Arrays a) {
                        return ref::conv2d(
                            a[0], a[1], with_groups(o, a[0].shape, a[1].shape), &a[0]);
                      },
                  .large = s.large});
}

void add_pools(std::vector<OpCase>& rows, const Pool2dOptions& o) {
  const std::string variant = "kernel " + std::to_string(o.kernel) + ", stride " +
                              std::to_string(o.stride) + ", padding " + std::to_string(o.padding);
  const std::vector<Shapes> x = {{{2, 5, 4, 3}}, {{1, 3, 3, 1}}, {{0, 3, 4, 2}}};
  std::vector<Shapes> gx, ugx;
  for (const Shapes& s : x) {
    const Shape g = ref::avg_pool2d(zeros(s[0]), o).shape;
    gx.push_back({g, s[0]});
    ugx.push_back({s[0], g, s[0]});
  }
  const Shapes large = {{7, 17, 16, 21}};
  rows.push_back({.op = "max_pool2d",
                  .variant = variant,
                  .shapes = x,
                  .fn = [o](Args a) { return max_pool2d(a[0], o); },
                  .reference = [o](Arrays a) { return ref::max_pool2d(a[0], o); },
                  .large = large});
  rows.push_back(
      {.op = "max_pool2d_scatter",
       .variant = variant,
       .shapes = gx,
       .fn = [o](Args a) { return recorded_gradient(max_pool2d(a[1], o), a[0], {a[1]})[0]; },
       .reference = [o](Arrays a) { return ref::max_pool2d_scatter(a[0], a[1], o); }});
  rows.push_back({.op = "max_pool2d_gather",
                  .variant = variant,
                  .shapes = ugx,
                  .fn =
                      [o](Args a) {
                        const Tensor scattered =
                            recorded_gradient(max_pool2d(a[2], o), a[1], {a[2]})[0];
                        return recorded_gradient(scattered, a[0], {a[1]})[0];
                      },
                  .reference = [o](Arrays a) { return ref::max_pool2d_gather(a[0], a[2], o); }});
  rows.push_back({.op = "avg_pool2d",
                  .variant = variant,
                  .shapes = x,
                  .fn = [o](Args a) { return avg_pool2d(a[0], o); },
                  .reference = [o](Arrays a) { return ref::avg_pool2d(a[0], o); },
                  .large = large});
  rows.push_back(
      {.op = "avg_pool2d_backward",
       .variant = variant,
       .shapes = gx,
       .fn = [o](Args a) { return recorded_gradient(avg_pool2d(a[1], o), a[0], {a[1]})[0]; },
       .reference = [o](Arrays a) { return ref::avg_pool2d_backward(a[0], a[1].shape, o); }});
}

Array constant(const Array& x, double value) {  // (C)
  return {{x.shape.back()}, std::vector<double>(x.shape.back(), value)};
}

}  // namespace

std::vector<OpCase> image_cases() {
  std::vector<OpCase> rows;
  for (const ConvSetting& s : kConvSettings) {
    add_trio(rows, s, Gate::kNone);
    add_trio(rows, s, Gate::kOwn);
    add_relu_conv(rows, s);
  }
  for (const int64_t kernel : {2, 3}) {
    for (const int64_t stride : {1, 2}) {
      for (const int64_t padding : {0, 1}) add_pools(rows, {kernel, stride, padding});
    }
  }
  return rows;
}

std::vector<OpCase> norm_cases() {
  const std::vector<Shapes> affine = {{{2, 3, 2, 3}, {3}, {3}}, {{5, 1}, {1}, {1}}};
  const Shapes large = {{5, 17, 13, 19}, {19}, {19}};
  return {
      {.op = "batch_norm",
       .variant = "affine",
       .shapes = affine,
       .fn = [](Args a) { return batch_norm(a[0], a[1], a[2]).y; },
       .reference = [](Arrays a) { return ref::batch_norm(a[0], a[1], a[2]); },
       .large = large},
      {.op = "batch_norm",
       .variant = "plain",
       .shapes = {{{2, 3, 2, 3}}, {{5, 1}}},
       .fn = [](Args a) { return batch_norm(a[0]).y; },
       .reference =
           [](Arrays a) { return ref::batch_norm(a[0], constant(a[0], 1), constant(a[0], 0)); },
       .large = {{5, 17, 13, 19}}},
      {.op = "batch_norm",
       .variant = "statistics",
       .shapes = {{{2, 3, 2, 3}}, {{5, 1}}, {{1, 4}}},
       .fn =
           [](Args a) {
             const BatchNormResult r = batch_norm(a[0]);
             return flat({r.mean, r.var});
           },
       .reference = [](Arrays a) { return ref::statistics(a[0]); },
       .order = 0},
      {.op = "batch_norm_backward",
       .variant = "affine",
       .shapes = {{{2, 2, 2, 2}, {2, 2, 2, 2}, {2}, {2}}},
       .fn =
           [](Args a) {  // g, x, weight, bias
             return flat(
                 recorded_gradient(batch_norm(a[1], a[2], a[3]).y, a[0], {a[1], a[2], a[3]}));
           },
       .reference = [](Arrays a) { return ref::batch_norm_backward(a[0], a[1], a[2]); },
       .large = {{5, 17, 13, 19}, {5, 17, 13, 19}, {19}, {19}}},
      {.op = "batch_norm_backward",
       .variant = "plain",
       .shapes = {{{2, 2, 2, 2}, {2, 2, 2, 2}}},
       .fn = [](Args a) { return flat(recorded_gradient(batch_norm(a[1]).y, a[0], {a[1]})); },
       .reference =
           [](Arrays a) {
             Array d = ref::batch_norm_backward(a[0], a[1], constant(a[1], 1));
             d.values.resize(a[1].values.size());
             d.shape = {static_cast<int64_t>(d.values.size())};
             return d;
           }},
      {.op = "batch_norm_running",
       .variant = "affine",
       .shapes = {{{2, 3, 2, 3}, {3}, {3}, {3}, {3}}, {{1, 1}, {1}, {1}, {1}, {1}}},
       .fn = [](Args a) { return batch_norm_running(a[0], a[1], a[2], a[3], a[4]); },
       .reference = [](Arrays a) { return ref::batch_norm_running(a[0], a[1], a[2], a[3], a[4]); },
       .domain = Domain::kPositive,
       .constants = {1, 2},
       .large = {{5, 17, 13, 19}, {19}, {19}, {19}, {19}}},
      {.op = "batch_norm_running",
       .variant = "plain",
       .shapes = {{{2, 3, 2, 3}, {3}, {3}}},
       .fn = [](Args a) { return batch_norm_running(a[0], a[1], a[2]); },
       .reference =
           [](Arrays a) {
             return ref::batch_norm_running(a[0], a[1], a[2], constant(a[0], 1), constant(a[0], 0));
           },
       .domain = Domain::kPositive,
       .constants = {1, 2}},
  };
}

}  // namespace oche
