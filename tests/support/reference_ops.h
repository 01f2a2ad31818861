// Naive double-precision references of the ops that take more than one line.
#pragma once

#include "engine/ops.h"
#include "tests/support/array.h"

namespace oche::ref {

// f(a, b) with NumPy broadcasting.
Array binary(const Array& a, const Array& b, double (*f)(double, double));
Array broadcast_to(const Array& x, const Shape& shape);
Array permute(const Array& x, const std::vector<int>& dims);
Array slice(const Array& x, int dim, int64_t start, int64_t stop, int64_t step);
Array embed(const Array& x, int dim, int64_t size, int64_t start, int64_t step);
Array concat(Arrays xs, int dim);

Array sum(const Array& x, int dim);  // keeps the dimension
Array softmax(const Array& x, int dim);
Array matmul(const Array& a, const Array& b, MatmulOptions options);

// gate: nullptr for none.
Array conv2d(const Array& x, const Array& w, const Conv2dOptions& o, const Array* gate = nullptr);
Array conv2d_input_grad(const Array& g,
                        const Array& w,
                        const Shape& x_shape,
                        const Conv2dOptions& o,
                        const Array* gate = nullptr);
Array conv2d_weight_grad(const Array& x,
                         const Array& g,
                         const Shape& w_shape,
                         const Conv2dOptions& o,
                         const Array* gate = nullptr);

Array max_pool2d(const Array& x, const Pool2dOptions& o);
// The elements of `from` (like x) that win the maxima of x; and g put back to where x won.
Array max_pool2d_gather(const Array& from, const Array& x, const Pool2dOptions& o);
Array max_pool2d_scatter(const Array& g, const Array& x, const Pool2dOptions& o);
Array avg_pool2d(const Array& x, const Pool2dOptions& o);
Array avg_pool2d_backward(const Array& g, const Shape& x_shape, const Pool2dOptions& o);

Array statistics(const Array& x);  // mean, population variance: (2 C)
Array batch_norm(const Array& x, const Array& weight, const Array& bias);
Array batch_norm_running(
    const Array& x, const Array& mean, const Array& var, const Array& weight, const Array& bias);
// (dx, dweight, dbias), flat
Array batch_norm_backward(const Array& g, const Array& x, const Array& weight);

}  // namespace oche::ref
