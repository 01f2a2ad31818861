// Naive double-precision references of the ops: equations over indices, and those of the kernels
// behind arrays.
#include "tests/support/reference_ops.h"

#include <cmath>

#include "tests/support/reference.h"

namespace oche::ref {
namespace {

int64_t out_extent(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  return (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

double gated(const Array& x, const Array* gate, const Index& i) {
  return gate && (*gate)(i) <= 0 ? 0 : x(i);
}

// Calls f(r, s, h, w) for the taps of output pixel (p, q) that lie inside the image (H, W).
template <typename F>
void for_taps(const Index& extents,
              int64_t p,
              int64_t q,
              int64_t stride,
              int64_t padding,
              int64_t dilation,
              F&& f) {
  const int64_t kernel_h = extents[0], kernel_w = extents[1], H = extents[2], W = extents[3];
  for (int64_t r = 0; r < kernel_h; ++r) {
    for (int64_t s = 0; s < kernel_w; ++s) {
      const int64_t h = p * stride - padding + r * dilation,
                    w = q * stride - padding + s * dilation;
      if (h >= 0 && h < H && w >= 0 && w < W) f(r, s, h, w);
    }
  }
}

// Calls f(x index, weight index, output index) for every product that a convolution sums.
template <typename F>
void for_products(const Shape& x, const Shape& w, const Conv2dOptions& o, F&& f) {
  const int64_t P = out_extent(x[1], w[0], o.stride, o.padding, o.dilation);
  const int64_t Q = out_extent(x[2], w[1], o.stride, o.padding, o.dilation);
  const int64_t per_group = w[3] / o.groups;
  generate({x[0], P, Q, w[3]}, [&](const Index& i) {
    const int64_t first_channel = i[3] / per_group * w[2];
    for_taps({w[0], w[1], x[1], x[2]},
             i[1],
             i[2],
             o.stride,
             o.padding,
             o.dilation,
             [&](int64_t r, int64_t s, int64_t h, int64_t q) {
               for (int64_t c = 0; c < w[2]; ++c)
                 f(Index{i[0], h, q, first_channel + c}, Index{r, s, c, i[3]}, i);
             });
    return 0.0;
  });
}

Array zeros(const Shape& shape) {
  return {shape, std::vector<double>(numel(shape))};
}

double& element(Array& x, const Index& i) {
  int64_t at = 0;
  for (size_t d = 0; d < i.size(); ++d) at = at * x.shape[d] + i[d];
  return x.values[static_cast<size_t>(at)];
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
  Array y = zeros(with(xs[0].shape, dim, 0));
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
  Array y = zeros({x.shape[0],
                   out_extent(x.shape[1], w.shape[0], o.stride, o.padding, o.dilation),
                   out_extent(x.shape[2], w.shape[1], o.stride, o.padding, o.dilation),
                   w.shape[3]});
  for_products(x.shape, w.shape, o, [&](const Index& i, const Index& j, const Index& k) {
    element(y, k) += gated(x, gate, i) * w(j);
  });
  return y;
}

Array conv2d_input_grad(const Array& g,
                        const Array& w,
                        const Shape& x_shape,
                        const Conv2dOptions& o,
                        const Array* gate) {
  Array dx = zeros(x_shape);
  for_products(x_shape, w.shape, o, [&](const Index& i, const Index& j, const Index& k) {
    if (!gate || (*gate)(i) > 0) element(dx, i) += g(k) * w(j);
  });
  return dx;
}

Array conv2d_weight_grad(const Array& x,
                         const Array& g,
                         const Shape& w_shape,
                         const Conv2dOptions& o,
                         const Array* gate) {
  Array dw = zeros(w_shape);
  for_products(x.shape, w_shape, o, [&](const Index& i, const Index& j, const Index& k) {
    element(dw, j) += gated(x, gate, i) * g(k);
  });
  return dw;
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
