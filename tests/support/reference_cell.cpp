// Naive references of the passes of a fused cell.
#include "tests/support/reference_cell.h"

#include <cmath>
#include <limits>

namespace oche::ref {
namespace {

using kernels::CellConv;
using kernels::CellIncoming;
using kernels::CellPool;
using kernels::CellPoolBackward;
using kernels::CellShape;
using kernels::CellSource;
using kernels::CellTerm;
using kernels::CellTermKind;
using kernels::Moments;
using kernels::Pixels;

// A dense image in double.
struct Image {
  Image(int64_t N, int64_t H, int64_t W, int64_t C)
      : N(N), H(H), W(W), C(C), values(N * H * W * C, 0.0) {}
  double& at(int64_t n, int64_t h, int64_t w, int64_t c) {
    return values[((n * H + h) * W + w) * C + c];
  }
  double at(int64_t n, int64_t h, int64_t w, int64_t c) const {
    return values[((n * H + h) * W + w) * C + c];
  }
  int64_t pixels() const { return N * H * W; }

  int64_t N, H, W, C;
  std::vector<double> values;
};

Image image(const CellShape& s) {
  return Image(s.N, s.H, s.W, s.C);
}
Image strided(const CellShape& s, int64_t stride, int64_t channels) {
  return Image(s.N, (s.H + stride - 1) / stride, (s.W + stride - 1) / stride, channels);
}

// References compute in double, so they keep nothing narrow; `from` is Pixels or StoredPixels.
template <typename Stored>
void read(const Stored& from, Image& to) {
  for (int64_t p = 0; p < to.pixels(); ++p) {
    for (int64_t c = 0; c < to.C; ++c) to.values[p * to.C + c] = from.data[p * from.pitch + c];
  }
}
template <typename Stored>
void write(const Image& from, const Stored& to) {
  using T = std::remove_pointer_t<decltype(to.data)>;
  for (int64_t p = 0; p < from.pixels(); ++p) {
    for (int64_t c = 0; c < from.C; ++c)
      to.data[p * to.pitch + c] = static_cast<T>(from.values[p * from.C + c]);
  }
}

template <typename T>
void normalise(const Moments<const T>& m, double eps, Image& x) {
  if (m.mean == nullptr) return;
  for (int64_t p = 0; p < x.pixels(); ++p) {
    for (int64_t c = 0; c < x.C; ++c) {
      double& v = x.values[p * x.C + c];
      v = (v - m.mean[c]) / std::sqrt(m.var[c] + eps);
    }
  }
}

template <typename T>
void write_moments(const Image& y, Moments<T> m) {
  if (m.mean == nullptr) return;
  const auto M = static_cast<double>(y.pixels());
  for (int64_t c = 0; c < y.C; ++c) {
    double sum = 0, squares = 0;
    for (int64_t p = 0; p < y.pixels(); ++p) sum += y.values[p * y.C + c];
    for (int64_t p = 0; p < y.pixels(); ++p) {
      const double d = y.values[p * y.C + c] - sum / M;
      squares += d * d;
    }
    m.mean[c] = static_cast<T>(sum / M);
    m.var[c] = static_cast<T>(squares / M);
  }
}

template <typename T>
Image normalised_source(const CellShape& s, const CellSource<T>& source) {
  Image x = image(s);
  read(source.x, x);
  normalise(source.moments, s.eps, x);
  return x;
}

// A factor of a pointwise product, as floats round it.
double rounded(const CellShape& shape, double v) {
  switch (shape.products) {
    case kernels::CellProducts::kTensorFloat32:
      return kernels::round_to_tf32(static_cast<float>(v));
    case kernels::CellProducts::kBFloat16:
      return kernels::round_to_bfloat16(static_cast<float>(v));
    default:
      return v;
  }
}

double gated(double a, double b) {
  return b <= 0 ? 0 : a;
}

// f(n, p, q, h, w, tap) for every pixel (p, q) of y and every tap of it that lies in the image.
template <typename T, typename F>
void for_each_tap(const CellConv<T>& conv, const Image& x, const Image& y, const F& f) {
  for (int64_t n = 0; n < y.N; ++n) {
    for (int64_t p = 0; p < y.H; ++p) {
      for (int64_t q = 0; q < y.W; ++q) {
        for (int64_t r = 0; r < conv.kernel; ++r) {
          for (int64_t s = 0; s < conv.kernel; ++s) {
            const int64_t h = p * conv.stride + conv.offset + r * conv.dilation;
            const int64_t w = q * conv.stride + conv.offset + s * conv.dilation;
            if (h < 0 || h >= x.H || w < 0 || w >= x.W) continue;
            f(n, p, q, h, w, r * conv.kernel + s);
          }
        }
      }
    }
  }
}

template <typename T>
double tap_weight(const CellConv<T>& conv, int64_t tap, int64_t C, int64_t c) {
  return conv.depthwise ? conv.depthwise[tap * C + c] : 1;
}

// What lies between the depthwise and the pointwise convolution.
template <typename T>
Image depthwise(const CellShape& shape, const CellConv<T>& conv, const Image& x) {
  Image z = strided(shape, conv.stride, x.C);
  for_each_tap(conv, x, z, [&](int64_t n, int64_t p, int64_t q, int64_t h, int64_t w, int64_t tap) {
    for (int64_t c = 0; c < x.C; ++c) {
      const double v = x.at(n, h, w, c);
      z.at(n, p, q, c) += tap_weight(conv, tap, x.C, c) * gated(v, v);
    }
  });
  return z;
}

// f(n, p, q, c, h, w, count): of the window at (p, q), each pixel (h, w) that its value depends on,
// and how many make it up.
template <typename F>
void for_each_pooled(CellPool pool, int64_t stride, const Image& x, const Image& y, const F& f) {
  for (int64_t n = 0; n < y.N; ++n) {
    for (int64_t p = 0; p < y.H; ++p) {
      for (int64_t q = 0; q < y.W; ++q) {
        for (int64_t c = 0; c < x.C; ++c) {
          std::vector<std::pair<int64_t, int64_t>> window;
          for (int64_t h = p * stride - 1; h <= p * stride + 1; ++h) {
            for (int64_t w = q * stride - 1; w <= q * stride + 1; ++w) {
              if (h >= 0 && h < x.H && w >= 0 && w < x.W) window.emplace_back(h, w);
            }
          }
          if (pool == CellPool::kMax) {
            auto best = window[0];
            for (const auto& at : window) {
              const double v = x.at(n, at.first, at.second, c);
              const double highest = x.at(n, best.first, best.second, c);
              if (v > highest || (std::isnan(v) && !std::isnan(highest))) best = at;
            }
            window = {best};
          }
          const auto count = static_cast<double>(window.size());
          for (const auto& at : window) f(n, p, q, c, at.first, at.second, count);
        }
      }
    }
  }
}

Image pooled(const CellShape& shape, CellPool pool, int64_t stride, const Image& x) {
  Image y = strided(shape, stride, x.C);
  for_each_pooled(
      pool,
      stride,
      x,
      y,
      [&](int64_t n, int64_t p, int64_t q, int64_t c, int64_t h, int64_t w, double count) {
        y.at(n, p, q, c) += x.at(n, h, w, c) / count;
      });
  return y;
}

template <typename T>
Image term_value(const CellShape& shape, const CellTerm<T>& term) {
  Image x = image(shape);
  read(term.x, x);
  if (term.kind == CellTermKind::kIdentity) return x;
  if (term.kind == CellTermKind::kMaxPool) x = pooled(shape, CellPool::kMax, 1, x);
  if (term.kind == CellTermKind::kAveragePool) x = pooled(shape, CellPool::kAverage, 1, x);
  normalise(term.moments, shape.eps, x);
  return x;
}

// Adds the gradient that reaches y, whose normalised values are `xhat`.
template <typename T>
void add_incoming(const CellIncoming<T>& in,
                  const Moments<const T>& moments,
                  double eps,
                  const Image& xhat,
                  Image& grad_y) {
  Image g(xhat.N, xhat.H, xhat.W, xhat.C);
  read(in.g, g);
  const auto M = static_cast<double>(g.pixels());
  const double weight = in.weight ? *in.weight : 1;
  for (int64_t p = 0; p < g.pixels(); ++p) {
    for (int64_t c = 0; c < g.C; ++c) {
      const int64_t i = p * g.C + c;
      grad_y.values[i] += weight / std::sqrt(moments.var[c] + eps) *
                          (g.values[i] - in.sum_g[c] / M - xhat.values[i] * in.sum_gx[c] / M);
    }
  }
}

template <typename T>
void conv_backward(const CellShape& shape,
                   const kernels::CellConvBackward<T>& b,
                   const Image& x,
                   Image& grad) {
  const CellConv<T>& conv = b.conv;
  Image xhat = strided(shape, conv.stride, conv.out);
  read(b.y, xhat);
  normalise(b.moments, shape.eps, xhat);
  Image grad_y = strided(shape, conv.stride, conv.out);
  add_incoming(b.incoming, b.moments, shape.eps, xhat, grad_y);

  const Image z = depthwise(shape, conv, x);
  Image grad_z = strided(shape, conv.stride, x.C);
  std::vector<double> grad_pointwise(x.C * conv.out, 0.0);
  for (int64_t p = 0; p < z.pixels(); ++p) {
    for (int64_t c = 0; c < x.C; ++c) {
      for (int64_t o = 0; o < conv.out; ++o) {
        const double g = rounded(shape, grad_y.values[p * conv.out + o]);
        grad_z.values[p * x.C + c] += rounded(shape, conv.pointwise[c * conv.out + o]) * g;
        grad_pointwise[c * conv.out + o] += rounded(shape, z.values[p * x.C + c]) * g;
      }
    }
  }
  std::vector<double> grad_depthwise(conv.kernel * conv.kernel * x.C, 0.0);
  for_each_tap(conv, x, z, [&](int64_t n, int64_t p, int64_t q, int64_t h, int64_t w, int64_t tap) {
    for (int64_t c = 0; c < x.C; ++c) {
      const double v = x.at(n, h, w, c), g = grad_z.at(n, p, q, c);
      grad_depthwise[tap * x.C + c] += g * gated(v, v);
      grad.at(n, h, w, c) += gated(tap_weight(conv, tap, x.C, c) * g, v);
    }
  });
  for (size_t i = 0; b.grad_depthwise && i < grad_depthwise.size(); ++i)
    b.grad_depthwise[i] = static_cast<T>(grad_depthwise[i]);
  for (size_t i = 0; b.grad_pointwise && i < grad_pointwise.size(); ++i)
    b.grad_pointwise[i] = static_cast<T>(grad_pointwise[i]);
}

template <typename T>
void pool_backward(const CellShape& shape,
                   const CellPoolBackward<T>& b,
                   const Image& x,
                   Image& grad) {
  Image xhat = pooled(shape, b.pool, b.stride, x);
  normalise(b.moments, shape.eps, xhat);
  Image grad_y = strided(shape, b.stride, x.C);
  for (const CellIncoming<T>& in : b.incoming) add_incoming(in, b.moments, shape.eps, xhat, grad_y);
  for_each_pooled(
      b.pool,
      b.stride,
      x,
      grad_y,
      [&](int64_t n, int64_t p, int64_t q, int64_t c, int64_t h, int64_t w, double count) {
        grad.at(n, h, w, c) += grad_y.at(n, p, q, c) / count;
      });
}

}  // namespace

template <typename T>
void cell_source_forward(const CellShape& shape,
                         const std::vector<kernels::CellSourceForward<T>>& sources) {
  for (const auto& source : sources) {
    const Image x = normalised_source(shape, source.source);
    for (const auto& f : source.convs) {
      const Image z = depthwise(shape, f.conv, x);
      Image y = strided(shape, f.conv.stride, f.conv.out);
      for (int64_t p = 0; p < y.pixels(); ++p) {
        for (int64_t o = 0; o < y.C; ++o) {
          for (int64_t c = 0; c < x.C; ++c)
            y.values[p * y.C + o] += rounded(shape, f.conv.pointwise[c * y.C + o]) *
                                     rounded(shape, z.values[p * x.C + c]);
        }
      }
      write(y, f.y);
      write_moments(y, f.moments);
    }
    Image stored = image(shape);
    read(source.source.x, stored);
    for (const auto& f : source.pools) {
      const Image y = pooled(shape, f.pool, f.stride, stored);
      if (f.y.data != nullptr) write(y, f.y);
      write_moments(y, f.moments);
    }
  }
}

template <typename T>
void cell_node_forward(const CellShape& shape,
                       const std::vector<CellTerm<T>>& terms,
                       const T* weights,
                       Pixels<T> y) {
  Image total = image(shape);
  for (const CellTerm<T>& term : terms) {
    const Image value = term_value(shape, term);
    for (size_t i = 0; i < value.values.size(); ++i)
      total.values[i] += weights[term.place] * value.values[i];
  }
  write(total, y);
}

template <typename T>
void cell_node_reduce(const CellShape& shape,
                      const std::vector<CellTerm<T>>& terms,
                      Pixels<const T> g,
                      T* sums,
                      T* grad_weights) {
  Image grad = image(shape);
  read(g, grad);
  for (size_t row = 0; row <= terms.size(); ++row) {
    const Image value = row == 0 ? image(shape) : term_value(shape, terms[row - 1]);
    double total = 0;
    for (int64_t c = 0; c < shape.C; ++c) {
      double sum = 0;
      for (int64_t p = 0; p < grad.pixels(); ++p) {
        const int64_t i = p * shape.C + c;
        sum += grad.values[i] * (row == 0 ? 1 : value.values[i]);
      }
      sums[static_cast<int64_t>(row) * shape.C + c] = static_cast<T>(sum);
      total += sum;
    }
    if (row > 0 && grad_weights) grad_weights[terms[row - 1].place] = static_cast<T>(total);
  }
}

template <typename T>
void cell_source_backward(const CellShape& shape,
                          const std::vector<kernels::CellSourceBackward<T>>& sources) {
  for (const auto& source : sources) {
    const Image x = normalised_source(shape, source.source);
    Image grad = image(shape);
    if (source.initial.data != nullptr) read(source.initial, grad);
    for (const auto& b : source.convs) conv_backward(shape, b, x, grad);
    for (const auto& b : source.pools) pool_backward(shape, b, x, grad);
    for (const auto& skip : source.skips) {
      Image g = image(shape);
      read(skip.g, g);
      for (size_t i = 0; i < g.values.size(); ++i)
        grad.values[i] += (skip.weight ? *skip.weight : 1) * g.values[i];
    }
    write(grad, source.grad);
    for (int64_t c = 0; c < shape.C; ++c) {
      double sum = 0, product = 0;
      for (int64_t p = 0; p < grad.pixels(); ++p) {
        sum += grad.values[p * shape.C + c];
        product += grad.values[p * shape.C + c] * x.values[p * shape.C + c];
      }
      if (source.sum_g) source.sum_g[c] = static_cast<T>(sum);
      if (source.sum_gx) source.sum_gx[c] = static_cast<T>(product);
    }
  }
}

template void cell_source_forward(const CellShape&,
                                  const std::vector<kernels::CellSourceForward<float>>&);
template void cell_node_forward(const CellShape&,
                                const std::vector<CellTerm<float>>&,
                                const float*,
                                Pixels<float>);
template void cell_node_reduce(
    const CellShape&, const std::vector<CellTerm<float>>&, Pixels<const float>, float*, float*);
template void cell_source_backward(const CellShape&,
                                   const std::vector<kernels::CellSourceBackward<float>>&);
template void cell_source_forward(const CellShape&,
                                  const std::vector<kernels::CellSourceForward<double>>&);
template void cell_node_forward(const CellShape&,
                                const std::vector<CellTerm<double>>&,
                                const double*,
                                Pixels<double>);
template void cell_node_reduce(
    const CellShape&, const std::vector<CellTerm<double>>&, Pixels<const double>, double*, double*);
template void cell_source_backward(const CellShape&,
                                   const std::vector<kernels::CellSourceBackward<double>>&);

}  // namespace oche::ref
