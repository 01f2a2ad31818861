// Naive double-precision references of the kernels.
#include "tests/support/reference.h"

#include <cmath>
#include <limits>

namespace oche::ref {

using kernels::Binary;
using kernels::Pool2dShape;
using kernels::Unary;

Values unary(Unary f, const Values& x) {
  Values y;
  for (double v : x) {
    switch (f) {
      case Unary::kNegate:
        y.push_back(-v);
        break;
      case Unary::kExp:
        y.push_back(std::exp(v));
        break;
      case Unary::kLog:
        y.push_back(std::log(v));
        break;
      case Unary::kSqrt:
        y.push_back(std::sqrt(v));
        break;
      case Unary::kSigmoid:
        y.push_back(1 / (1 + std::exp(-v)));
        break;
      case Unary::kTanh:
        y.push_back(std::tanh(v));
        break;
      case Unary::kReciprocal:
        y.push_back(1 / v);
        break;
      case Unary::kAbs:
        y.push_back(std::abs(v));
        break;
      case Unary::kSign:
        y.push_back(v > 0 ? 1 : v < 0 ? -1 : v);
        break;
    }
  }
  return y;
}

Values binary(Binary f,
              const Indices& shape,
              const Values& a,
              const Indices& a_strides,
              const Values& b,
              const Indices& b_strides) {
  int64_t size = 1;
  for (int64_t extent : shape) size *= extent;
  Values y;
  for (int64_t i = 0; i < size; ++i) {
    int64_t rest = i, at_a = 0, at_b = 0;
    for (size_t d = shape.size(); d-- > 0; rest /= shape[d]) {
      at_a += rest % shape[d] * a_strides[d];
      at_b += rest % shape[d] * b_strides[d];
    }
    const double u = a[at_a], v = b[at_b];
    switch (f) {
      case Binary::kAdd:
        y.push_back(u + v);
        break;
      case Binary::kSubtract:
        y.push_back(u - v);
        break;
      case Binary::kMultiply:
        y.push_back(u * v);
        break;
      case Binary::kDivide:
        y.push_back(u / v);
        break;
      case Binary::kGate:
        y.push_back(v <= 0 ? 0 : u);
        break;
    }
  }
  return y;
}

namespace {

// body(column, first, step): element k of the column lies at first + k * step.
template <typename Body>
void for_columns(const Middle& m, const Body& body) {
  for (int64_t o = 0; o < m.outer; ++o) {
    for (int64_t i = 0; i < m.inner; ++i) body(o * m.inner + i, o * m.n * m.inner + i, m.inner);
  }
}

// body(o, i, tap): element o of y and element i of x meet at `tap`, inside the image; in scan order
// for each o.
template <typename Body>
void for_taps(const Pool2dShape& s, const Body& body) {
  int64_t o = 0;
  for (int64_t n = 0; n < s.N; ++n) {
    for (int64_t p = 0; p < s.out_h(); ++p) {
      for (int64_t q = 0; q < s.out_w(); ++q) {
        for (int64_t c = 0; c < s.C; ++c, ++o) {
          for (int64_t tap = 0; tap < s.kernel * s.kernel; ++tap) {
            const int64_t h = p * s.stride - s.padding + tap / s.kernel;
            const int64_t w = q * s.stride - s.padding + tap % s.kernel;
            if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
            body(o, ((n * s.H + h) * s.W + w) * s.C + c, tap);
          }
        }
      }
    }
  }
}

Values zeros_x(const Pool2dShape& s) {
  return Values(s.N * s.H * s.W * s.C);
}
Values zeros_y(const Pool2dShape& s) {
  return Values(s.N * s.out_h() * s.out_w() * s.C);
}

Values window_sizes(const Pool2dShape& s) {
  Values count = zeros_y(s);
  for_taps(s, [&](int64_t o, int64_t, int64_t) { ++count[o]; });
  return count;
}

}  // namespace

Values sum(const Middle& m, const Values& x) {
  Values y(m.columns());
  for_columns(m, [&](int64_t column, int64_t first, int64_t step) {
    for (int64_t k = 0; k < m.n; ++k) y[column] += x[first + k * step];
  });
  return y;
}

double dot(const Values& a, const Values& b) {
  double y = 0;
  for (size_t i = 0; i < a.size(); ++i) y += a[i] * b[i];
  return y;
}

Maximum max(const Middle& m, const Values& x) {
  Maximum y{Values(m.columns()), Indices(m.columns())};
  for_columns(m, [&](int64_t column, int64_t first, int64_t step) {
    int64_t best = 0;
    for (int64_t k = 1; k < m.n; ++k) {
      const double leader = x[first + best * step], v = x[first + k * step];
      if (!std::isnan(leader) && (std::isnan(v) || v > leader)) best = k;
    }
    y.value[column] = x[first + best * step];
    y.index[column] = best;
  });
  return y;
}

Values gather(const Middle& m, int64_t count, const Values& x, const Indices& index) {
  Values y;
  for (int64_t o = 0; o < m.outer; ++o) {
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t i = 0; i < m.inner; ++i) {
        y.push_back(x[(o * m.n + index[(o * count + k) * m.inner + i]) * m.inner + i]);
      }
    }
  }
  return y;
}

Values scatter_add(const Middle& m, int64_t count, const Values& y, const Indices& index) {
  Values x(m.size());
  for (int64_t o = 0; o < m.outer; ++o) {
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t i = 0; i < m.inner; ++i) {
        const int64_t at = (o * count + k) * m.inner + i;
        x[(o * m.n + index[at]) * m.inner + i] += y[at];
      }
    }
  }
  return x;
}

Values softmax(const Middle& m, const Values& x) {
  Values y = log_softmax(m, x);
  for (double& v : y) v = std::exp(v);
  return y;
}

Values log_softmax(const Middle& m, const Values& x) {
  Values y(m.size());
  for_columns(m, [&](int64_t, int64_t first, int64_t step) {
    double top = -std::numeric_limits<double>::infinity(), total = 0;
    for (int64_t k = 0; k < m.n; ++k) top = std::max(top, x[first + k * step]);
    for (int64_t k = 0; k < m.n; ++k) total += std::exp(x[first + k * step] - top);
    for (int64_t k = 0; k < m.n; ++k) {
      y[first + k * step] = x[first + k * step] - top - std::log(total);
    }
  });
  return y;
}

MaxPool max_pool2d(const Pool2dShape& s, const Values& x) {
  const size_t size = zeros_y(s).size();
  MaxPool pool{Values(size), std::vector<uint8_t>(size)};
  std::vector<bool> begun(size);
  for_taps(s, [&](int64_t o, int64_t i, int64_t tap) {
    const double leader = pool.y[o];
    if (begun[o] && (std::isnan(leader) || (!std::isnan(x[i]) && x[i] <= leader))) return;
    begun[o] = true;
    pool.y[o] = x[i];
    pool.index[o] = static_cast<uint8_t>(tap);
  });
  return pool;
}

Values max_pool2d_gather(const Pool2dShape& s, const Values& x, const std::vector<uint8_t>& index) {
  Values y = zeros_y(s);
  for_taps(s, [&](int64_t o, int64_t i, int64_t tap) {
    if (tap == index[o]) y[o] = x[i];
  });
  return y;
}

Values max_pool2d_scatter(const Pool2dShape& s,
                          const Values& grad_y,
                          const std::vector<uint8_t>& index) {
  Values x = zeros_x(s);
  for_taps(s, [&](int64_t o, int64_t i, int64_t tap) {
    if (tap == index[o]) x[i] += grad_y[o];
  });
  return x;
}

Values avg_pool2d(const Pool2dShape& s, const Values& x) {
  const Values count = window_sizes(s);
  Values y = zeros_y(s);
  for_taps(s, [&](int64_t o, int64_t i, int64_t) { y[o] += x[i]; });
  for (size_t o = 0; o < y.size(); ++o) y[o] /= count[o];
  return y;
}

Values avg_pool2d_backward(const Pool2dShape& s, const Values& grad_y) {
  const Values count = window_sizes(s);
  Values x = zeros_x(s);
  for_taps(s, [&](int64_t o, int64_t i, int64_t) { x[i] += grad_y[o] / count[o]; });
  return x;
}

Moments batch_norm_statistics(int64_t rows, int64_t C, const Values& x) {
  Moments m{Values(C), Values(C)};
  for (int64_t i = 0; i < rows * C; ++i) m.mean[i % C] += x[i] / rows;
  for (int64_t i = 0; i < rows * C; ++i) m.var[i % C] += std::pow(x[i] - m.mean[i % C], 2) / rows;
  return m;
}

Values batch_norm(int64_t rows,
                  int64_t C,
                  double eps,
                  const Values& x,
                  const Moments& m,
                  const Values& weight,
                  const Values& bias) {
  Values y(rows * C);
  for (int64_t i = 0; i < rows * C; ++i) {
    const int64_t c = i % C;
    y[i] = (x[i] - m.mean[c]) / std::sqrt(m.var[c] + eps) * weight[c] + bias[c];
  }
  return y;
}

BatchNormGradients batch_norm_backward(int64_t rows,
                                       int64_t C,
                                       double eps,
                                       const Values& g,
                                       const Values& x,
                                       const Moments& m,
                                       const Values& weight) {
  const Values xhat = batch_norm(rows, C, eps, x, m, Values(C, 1), Values(C, 0));
  BatchNormGradients d{Values(rows * C), Values(C), Values(C)};
  for (int64_t i = 0; i < rows * C; ++i) {
    d.weight[i % C] += g[i] * xhat[i];
    d.bias[i % C] += g[i];
  }
  for (int64_t i = 0; i < rows * C; ++i) {
    const int64_t c = i % C;
    d.x[i] = weight[c] / std::sqrt(m.var[c] + eps) *
             (g[i] - d.bias[c] / rows - xhat[i] * d.weight[c] / rows);
  }
  return d;
}

Values mixed_sum(const std::vector<Values>& x, const Values& w) {
  Values y(x.empty() ? 0 : x[0].size());
  for (size_t k = 0; k < x.size(); ++k) {
    for (size_t i = 0; i < y.size(); ++i) y[i] += w[k] * x[k][i];
  }
  return y;
}

void sgd(const kernels::SgdStep& step, const Values& g, Values& w, Values& buf) {
  for (size_t i = 0; i < g.size(); ++i) {
    const double d = step.grad_scale * g[i] + step.weight_decay * w[i];
    buf[i] = step.momentum * buf[i] + d;
    w[i] -= step.lr * (step.nesterov ? d + step.momentum * buf[i] : buf[i]);
  }
}

void adam(const kernels::AdamStep& step, const Values& g, Values& w, Values& m, Values& v) {
  for (size_t i = 0; i < g.size(); ++i) {
    const double d = g[i] + step.weight_decay * w[i];
    m[i] = step.beta1 * m[i] + (1 - step.beta1) * d;
    v[i] = step.beta2 * v[i] + (1 - step.beta2) * d * d;
    const double mhat = m[i] / (1 - std::pow(step.beta1, step.step));
    const double vhat = v[i] / (1 - std::pow(step.beta2, step.step));
    w[i] -= step.lr * mhat / (std::sqrt(vhat) + step.eps);
  }
}

}  // namespace oche::ref
