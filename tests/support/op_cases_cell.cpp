// Rows of the fused cell: one node, on its edges all kinds of branches whose kinks are those of the
// inputs.
#include <cmath>

#include "engine/mixed_cell.h"
#include "tests/support/op_cases.h"
#include "tests/support/reference_ops.h"

namespace oche {
namespace {

using ref::Array;
using ref::Arrays;
using ref::Index;

constexpr Conv2dOptions kPointwise = {};
Conv2dOptions depthwise(int64_t C, int64_t stride) {
  return {.stride = stride, .padding = 2, .dilation = 2, .groups = C};
}

// Inputs: x0, x1, table (2, 2), depthwise and pointwise weights, and with stride 2 those of the
// factorized reduce.
MixedCellSpec spec(int64_t stride) {
  const BranchKind skip = stride == 1 ? BranchKind::kIdentity : BranchKind::kFactorizedReduce;
  return {.steps = 1,
          .multiplier = 1,
          .edges = {{.from = 0,
                     .to = 0,
                     .stride = stride,
                     .branches = {{.kind = BranchKind::kMaxPool, .place = 0},
                                  {.kind = BranchKind::kSeparable, .dilation = 2, .place = 1}}},
                    {.from = 1,
                     .to = 0,
                     .stride = stride,
                     .branches = {{.kind = skip, .place = 2},
                                  {.kind = BranchKind::kAveragePool, .place = 3}}}}};
}

Tensor cell(int64_t stride, Args a) {
  return mixed_cell(spec(stride), a[0], a[1], a[2], a.subspan(3)).y;
}

// Of every normalisation in an evaluation, for two channels.
const std::vector<double> kMean = {0.25, -0.5}, kVar = {0.5, 2};

Tensor evaluated_cell(Args a) {
  const Tensor mean = cast(Tensor::from(kMean, {2}), a[0].dtype()).to(a[0].device());
  const Tensor var = cast(Tensor::from(kVar, {2}), a[0].dtype()).to(a[0].device());
  const std::vector<NormMoments> moments(3, {mean, var});
  return mixed_cell_running(spec(1), a[0], a[1], a[2], a.subspan(3), moments);
}

Array per_channel(const Array& x, double value) {
  const int64_t C = x.shape[3];
  return {{C}, std::vector<double>(C, value)};
}
Array normal(const Array& x) {
  return ref::batch_norm(x, per_channel(x, 1), per_channel(x, 0));
}

Array sum_of(const std::vector<double>& weights, const std::vector<Array>& terms) {
  return ref::generate(terms[0].shape, [&](const Index& i) {
    return ref::sum_over(static_cast<int64_t>(terms.size()),
                         [&](int64_t k) { return weights[k] * terms[k](i); });
  });
}

// Without its normalisation.
Array factorized_reduce(const Array& x, const Array& w1, const Array& w2) {
  const Array shifted = ref::generate(x.shape, [&](Index i) {
    const bool inside = ++i[1] < x.shape[1] && ++i[2] < x.shape[2];
    return inside ? x(i) : 0.0;
  });
  const Array halves[] = {ref::conv2d(x, w1, {.stride = 2}, &x),
                          ref::conv2d(shifted, w2, {.stride = 2}, &shifted)};
  return ref::concat(halves, 3);
}

Array normal_running(const Array& x) {
  return ref::generate(x.shape, [&](const Index& i) {
    return (x(i) - kMean[i[3]]) / std::sqrt(kVar[i[3]] + kBatchNormEps);
  });
}
Array evaluation(Arrays a) {
  const Array between = ref::conv2d(a[0], a[3], depthwise(a[0].shape[3], 1), &a[0]);
  return sum_of(a[2].values,
                {normal_running(ref::max_pool2d(a[0], {})),
                 normal_running(ref::conv2d(between, a[4], kPointwise)),
                 a[1],
                 normal_running(ref::avg_pool2d(a[1], {}))});
}

// What the four branches give, and what is between two convolutions.
struct Branches {
  Array between, conv;
  std::vector<Array> terms;
};
Branches branches(int64_t stride, Arrays a) {
  Branches b;
  b.between = ref::conv2d(a[0], a[3], depthwise(a[0].shape[3], stride), &a[0]);
  b.conv = ref::conv2d(b.between, a[4], kPointwise);
  b.terms = {normal(ref::max_pool2d(a[0], {.stride = stride})),
             normal(b.conv),
             stride == 1 ? a[1] : normal(factorized_reduce(a[1], a[5], a[6])),
             normal(ref::avg_pool2d(a[1], {.stride = stride}))};
  return b;
}

// The gradient of x, given that of normal(x).
Array normal_backward(const Array& g, const Array& x) {
  Array d = ref::batch_norm_backward(g, x, per_channel(x, 1));
  d.values.resize(x.values.size());
  d.shape = x.shape;
  return d;
}

// Of the cell with stride 1; a[0] is that of y.
Array cell_backward(Arrays a) {
  const Array &g = a[0], &x0 = a[1], &x1 = a[2], &table = a[3], &dw = a[4], &pw = a[5];
  const std::vector<double>& w = table.values;
  const Branches b = branches(1, a.subspan(1));
  const Conv2dOptions o = depthwise(x0.shape[3], 1);

  Array grad_table{table.shape, {}};
  for (const Array& term : b.terms) {
    double dot = 0;
    for (size_t i = 0; i < g.values.size(); ++i) dot += g.values[i] * term.values[i];
    grad_table.values.push_back(dot);
  }
  const auto scaled = [&](double by) { return ref::map(g, [by](double v) { return by * v; }); };
  const Array conv = normal_backward(scaled(w[1]), b.conv);
  const Array between = ref::conv2d_input_grad(conv, pw, b.between.shape, kPointwise);
  const Array pooled = ref::max_pool2d(x0, {});
  const Array averaged = ref::avg_pool2d(x1, {});
  const Array grad_x0 =
      sum_of({1, 1},
             {ref::max_pool2d_scatter(normal_backward(scaled(w[0]), pooled), x0, {}),
              ref::conv2d_input_grad(between, dw, x0.shape, o, &x0)});
  const Array grad_x1 =
      sum_of({1, 1},
             {scaled(w[2]),
              ref::avg_pool2d_backward(normal_backward(scaled(w[3]), averaged), x1.shape, {})});
  const Array parts[] = {grad_x0,
                         grad_x1,
                         grad_table,
                         ref::conv2d_weight_grad(x0, between, dw.shape, o, &x0),
                         ref::conv2d_weight_grad(b.between, conv, pw.shape, kPointwise)};
  return ref::flat(parts);
}

}  // namespace

std::vector<OpCase> cell_cases() {
  const auto shapes = [](const Shape& x) {
    return Shapes{x, x, {2, 2}, {3, 3, 1, x[3]}, {1, 1, x[3], x[3]}};
  };
  const auto shapes_2 = [&](const Shape& x) {
    Shapes s = shapes(x);
    s.push_back({1, 1, x[3], x[3] / 2});
    s.push_back({1, 1, x[3], x[3] - x[3] / 2});
    return s;
  };
  std::vector<OpCase> rows;
  for (const int64_t stride : {1, 2}) {
    const bool one = stride == 1;
    rows.push_back(
        {.op = "mixed_cell",
         .variant = one ? "stride 1" : "stride 2",
         .shapes = {one ? shapes({2, 3, 4, 2}) : shapes_2({2, 5, 4, 2})},
         .fn = [stride](Args a) { return cell(stride, a); },
         .reference = [stride](Arrays a) { return sum_of(a[2].values, branches(stride, a).terms); },
         .large = one ? shapes({5, 9, 8, 16}) : shapes_2({5, 9, 8, 16})});
  }
  rows.push_back({.op = "mixed_cell_running",
                  .shapes = {shapes({2, 3, 4, 2})},
                  .fn = evaluated_cell,
                  .reference = evaluation,
                  .large = shapes({5, 9, 8, 2})});
  Shapes with_g = shapes({2, 3, 4, 2});
  with_g.insert(with_g.begin(), with_g[0]);
  rows.push_back({.op = "mixed_cell_backward",
                  .shapes = {with_g},
                  .fn =
                      [](Args a) {
                        const Args in = a.subspan(1);
                        return flat(recorded_gradient(cell(1, in), a[0], {in.begin(), in.end()}));
                      },
                  .reference = cell_backward});
  return rows;
}

}  // namespace oche
