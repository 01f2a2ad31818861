// Naive double-precision references of the ops: equations over indices, and those of the kernels
// behind arrays.
#include "tests/support/reference_ops.h"

#include <cmath>

#include "tests/support/reference.h"
#include "tests/support/reference_conv.h"

namespace oche::ref {
namespace {

kernels::Conv2dShape describe(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  return {.N = x[0],
          .H = x[1],
          .W = x[2],
          .C = x[3],
          .kernel_h = w[0],
          .kernel_w = w[1],
          .out_C = w[3],
          .groups = o.groups,
          .stride = o.stride,
          .padding = o.padding,
          .dilation = o.dilation};
}
Values optional(const Array* x) {
  return x ? x->values : Values();
}

kernels::Pool2dShape describe(const Shape& x, const Pool2dOptions& o) {
  return {.N = x[0],
          .H = x[1],
          .W = x[2],
          .C = x[3],
          .kernel = o.kernel,
          .stride = o.stride,
          .padding = o.padding};
}
Shape pooled(const Shape& x, const Pool2dOptions& o) {
  const kernels::Pool2dShape s = describe(x, o);
  return {s.N, s.out_h(), s.out_w(), s.C};
}

int64_t channels(const Array& x) {
  return x.shape.back();
}
int64_t rows(const Array& x) {
  return numel(x.shape) / channels(x);
}

}  // namespace

Array broadcast_to(const Array& x, const Shape& shape) {
  const size_t missing = shape.size() - x.shape.size();
  return generate(shape, [&](const Index& i) {
    Index from(i.begin() + static_cast<int64_t>(missing), i.end());
    for (size_t d = 0; d < from.size(); ++d) from[d] = x.shape[d] == 1 ? 0 : from[d];
    return x(from);
  });
}

Array binary(const Array& a, const Array& b, double (*f)(double, double)) {
  const Shape shape = broadcast_shapes("reference", a.shape, b.shape);
  const Array x = broadcast_to(a, shape), y = broadcast_to(b, shape);
  return generate(shape, [&](const Index& i) { return f(x(i), y(i)); });
}

Array permute(const Array& x, const std::vector<int>& dims) {
  Shape shape;
  for (int d : dims) shape.push_back(x.shape[d]);
  return generate(shape, [&](const Index& i) {
    Index from(i.size());
    for (size_t d = 0; d < i.size(); ++d) from[dims[d]] = i[d];
    return x(from);
  });
}

Array slice(const Array& x, int dim, int64_t start, int64_t stop, int64_t step) {
  const Shape shape = with(x.shape, dim, (stop - start + step - 1) / step);
  return generate(shape, [&](const Index& i) { return x(with(i, dim, start + i[dim] * step)); });
}

Array embed(const Array& x, int dim, int64_t size, int64_t start, int64_t step) {
  return generate(with(x.shape, dim, size), [&](const Index& i) {
    const int64_t k = (i[dim] - start) / step;
    const bool hit = i[dim] >= start && (i[dim] - start) % step == 0 && k < x.shape[dim];
    return hit ? x(with(i, dim, k)) : 0;
  });
}

Array concat(Arrays xs, int dim) {
  Array y{with(xs[0].shape, dim, 0), {}};
  for (const Array& x : xs) {
    const int64_t before = y.shape[dim];
    y = generate(with(y.shape, dim, before + x.shape[dim]), [&](const Index& i) {
      return i[dim] < before ? y(i) : x(with(i, dim, i[dim] - before));
    });
  }
  return y;
}

Array sum(const Array& x, int dim) {
  return generate(with(x.shape, dim, 1), [&](const Index& i) {
    return sum_over(x.shape[dim], [&](int64_t k) { return x(with(i, dim, k)); });
  });
}

Array softmax(const Array& x, int dim) {
  return generate(x.shape, [&](const Index& i) {
    return std::exp(x(i)) /
           sum_over(x.shape[dim], [&](int64_t k) { return std::exp(x(with(i, dim, k))); });
  });
}

Array matmul(const Array& a, const Array& b, MatmulOptions o) {
  const Array l = o.transpose_a ? permute(a, {1, 0}) : a,
              r = o.transpose_b ? permute(b, {1, 0}) : b;
  return generate({l.shape[0], r.shape[1]}, [&](const Index& i) {
    return sum_over(l.shape[1], [&](int64_t k) { return l({i[0], k}) * r({k, i[1]}); });
  });
}

Array conv2d(const Array& x, const Array& w, const Conv2dOptions& o, const Array* gate) {
  const kernels::Conv2dShape s = describe(x.shape, w.shape, o);
  return {{s.N, s.out_h(), s.out_w(), s.out_C}, conv2d(s, x.values, optional(gate), w.values)};
}

Array conv2d_input_grad(const Array& g,
                        const Array& w,
                        const Shape& x_shape,
                        const Conv2dOptions& o,
                        const Array* gate) {
  return {x_shape,
          conv2d_input_grad(describe(x_shape, w.shape, o), g.values, optional(gate), w.values)};
}

Array conv2d_weight_grad(const Array& x,
                         const Array& g,
                         const Shape& w_shape,
                         const Conv2dOptions& o,
                         const Array* gate) {
  return {w_shape,
          conv2d_weight_grad(describe(x.shape, w_shape, o), x.values, optional(gate), g.values)};
}

Array max_pool2d(const Array& x, const Pool2dOptions& o) {
  return {pooled(x.shape, o), max_pool2d(describe(x.shape, o), x.values).y};
}

Array max_pool2d_gather(const Array& from, const Array& x, const Pool2dOptions& o) {
  const kernels::Pool2dShape s = describe(x.shape, o);
  return {pooled(x.shape, o), max_pool2d_gather(s, from.values, max_pool2d(s, x.values).index)};
}

Array max_pool2d_scatter(const Array& g, const Array& x, const Pool2dOptions& o) {
  const kernels::Pool2dShape s = describe(x.shape, o);
  return {x.shape, max_pool2d_scatter(s, g.values, max_pool2d(s, x.values).index)};
}

Array avg_pool2d(const Array& x, const Pool2dOptions& o) {
  return {pooled(x.shape, o), avg_pool2d(describe(x.shape, o), x.values)};
}

Array avg_pool2d_backward(const Array& g, const Shape& x_shape, const Pool2dOptions& o) {
  return {x_shape, avg_pool2d_backward(describe(x_shape, o), g.values)};
}

Array statistics(const Array& x) {
  const Moments m = batch_norm_statistics(rows(x), channels(x), x.values);
  const Array parts[] = {{{channels(x)}, m.mean}, {{channels(x)}, m.var}};
  return flat(parts);
}

Array batch_norm(const Array& x, const Array& weight, const Array& bias) {
  const Moments m = batch_norm_statistics(rows(x), channels(x), x.values);
  return batch_norm_running(x, {{channels(x)}, m.mean}, {{channels(x)}, m.var}, weight, bias);
}

Array batch_norm_running(
    const Array& x, const Array& mean, const Array& var, const Array& weight, const Array& bias) {
  const Moments m{mean.values, var.values};
  return {x.shape,
          batch_norm(rows(x), channels(x), kBatchNormEps, x.values, m, weight.values, bias.values)};
}

Array batch_norm_backward(const Array& g, const Array& x, const Array& weight) {
  const Moments m = batch_norm_statistics(rows(x), channels(x), x.values);
  const BatchNormGradients d = batch_norm_backward(
      rows(x), channels(x), kBatchNormEps, g.values, x.values, m, weight.values);
  const Array parts[] = {{x.shape, d.x}, {{channels(x)}, d.weight}, {{channels(x)}, d.bias}};
  return flat(parts);
}

}  // namespace oche::ref
