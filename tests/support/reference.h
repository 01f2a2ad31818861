// Naive double-precision references of the kernels, written from the equations in the kernels'
// headers, one loop each.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/optimizer.h"
#include "kernels/pool2d.h"

namespace oche::ref {

using Values = std::vector<double>;
using Indices = std::vector<int64_t>;

// An (outer, n, inner) tensor, reduced or normalised over n.
struct Middle {
  int64_t outer, n, inner;
  int64_t size() const { return outer * n * inner; }
  int64_t columns() const { return outer * inner; }
};

Values unary(kernels::Unary f, const Values& x);
// Both operands read through their strides; row-major result.
Values binary(kernels::Binary f,
              const Indices& shape,
              const Values& a,
              const Indices& a_strides,
              const Values& b,
              const Indices& b_strides);

Values sum(const Middle& m, const Values& x);
double dot(const Values& a, const Values& b);
struct Maximum {
  Values value;
  Indices index;
};
Maximum max(const Middle& m, const Values& x);
Values gather(const Middle& m, int64_t count, const Values& x, const Indices& index);
Values scatter_add(const Middle& m, int64_t count, const Values& y, const Indices& index);

Values softmax(const Middle& m, const Values& x);
Values log_softmax(const Middle& m, const Values& x);

struct MaxPool {
  Values y;
  std::vector<uint8_t> index;
};
MaxPool max_pool2d(const kernels::Pool2dShape& s, const Values& x);
Values max_pool2d_gather(const kernels::Pool2dShape& s,
                         const Values& x,
                         const std::vector<uint8_t>& index);
Values max_pool2d_scatter(const kernels::Pool2dShape& s,
                          const Values& grad_y,
                          const std::vector<uint8_t>& index);
Values avg_pool2d(const kernels::Pool2dShape& s, const Values& x);
Values avg_pool2d_backward(const kernels::Pool2dShape& s, const Values& grad_y);

struct Moments {
  Values mean, var;
};
Moments batch_norm_statistics(int64_t rows, int64_t C, const Values& x);
Values batch_norm(int64_t rows,
                  int64_t C,
                  double eps,
                  const Values& x,
                  const Moments& m,
                  const Values& weight,
                  const Values& bias);
struct BatchNormGradients {
  Values x, weight, bias;
};
BatchNormGradients batch_norm_backward(int64_t rows,
                                       int64_t C,
                                       double eps,
                                       const Values& g,
                                       const Values& x,
                                       const Moments& m,
                                       const Values& weight);

Values mixed_sum(const std::vector<Values>& x, const Values& w);

// In place, like the kernels.
void sgd(const kernels::SgdStep& step, const Values& g, Values& w, Values& buf);
void adam(const kernels::AdamStep& step, const Values& g, Values& w, Values& m, Values& v);

}  // namespace oche::ref
