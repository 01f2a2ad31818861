// Naive double-precision convolution and matrix product: every product of the equation, one after
// the other.
#include "tests/support/reference_conv.h"

namespace oche::ref {

namespace {

using kernels::Conv2dShape;

Values gated(Values x, const Values& gate) {
  for (size_t i = 0; i < gate.size(); ++i) {
    if (gate[i] <= 0) x[i] = 0;
  }
  return x;
}

// body(index in x, index in w, index in y) for every product x * w that y is a sum of.
template <typename Body>
void for_products(const Conv2dShape& s, const Body& body) {
  const int64_t in = s.C / s.groups, out = s.out_C / s.groups;
  for (int64_t n = 0; n < s.N; ++n)
    for (int64_t p = 0; p < s.out_h(); ++p)
      for (int64_t q = 0; q < s.out_w(); ++q)
        for (int64_t r = 0; r < s.kernel_h; ++r)
          for (int64_t t = 0; t < s.kernel_w; ++t) {
            const int64_t h = p * s.stride - s.padding + r * s.dilation;
            const int64_t w = q * s.stride - s.padding + t * s.dilation;
            if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
            for (int64_t c = 0; c < in; ++c)
              for (int64_t o = 0; o < s.out_C; ++o)
                body(((n * s.H + h) * s.W + w) * s.C + o / out * in + c,
                     ((r * s.kernel_w + t) * in + c) * s.out_C + o,
                     ((n * s.out_h() + p) * s.out_w() + q) * s.out_C + o);
          }
}

}  // namespace

Values conv2d(const Conv2dShape& s, const Values& x, const Values& gate, const Values& w) {
  const Values gx = gated(x, gate);
  Values y(s.N * s.out_h() * s.out_w() * s.out_C);
  for_products(s, [&](int64_t i, int64_t j, int64_t k) { y[k] += gx[i] * w[j]; });
  return y;
}

Values conv2d_input_grad(const Conv2dShape& s,
                         const Values& grad_y,
                         const Values& gate,
                         const Values& w) {
  Values grad_x(s.N * s.H * s.W * s.C);
  for_products(s, [&](int64_t i, int64_t j, int64_t k) { grad_x[i] += grad_y[k] * w[j]; });
  return gated(grad_x, gate);
}

Values conv2d_weight_grad(const Conv2dShape& s,
                          const Values& x,
                          const Values& gate,
                          const Values& grad_y) {
  const Values gx = gated(x, gate);
  Values grad_w(s.kernel_h * s.kernel_w * (s.C / s.groups) * s.out_C);
  for_products(s, [&](int64_t i, int64_t j, int64_t k) { grad_w[j] += gx[i] * grad_y[k]; });
  return grad_w;
}

Values gemm(const kernels::GemmShape& s, const Values& a, const Values& b) {
  Values c(s.M * s.N);
  for (int64_t i = 0; i < s.M; ++i)
    for (int64_t j = 0; j < s.N; ++j)
      for (int64_t k = 0; k < s.K; ++k)
        c[i * s.N + j] += a[s.transpose_a ? k * s.M + i : i * s.K + k] *
                          b[s.transpose_b ? j * s.K + k : k * s.N + j];
  return c;
}

}  // namespace oche::ref
