// The differentiable operations. Images are NHWC; every op throws std::invalid_argument on unfit
// arguments, and can be differentiated any number of times unless its comment says otherwise.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/random.h"
#include "engine/tensor.h"

namespace oche {

// Elementwise, with NumPy broadcasting for the binary ones.
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor gate(const Tensor& a, const Tensor& b);  // a where not (b <= 0), else 0; constant in b
Tensor affine(const Tensor& x, double scale, double shift);
inline Tensor operator+(const Tensor& x, double c) {
  return affine(x, 1, c);
}
inline Tensor operator-(const Tensor& x, double c) {
  return affine(x, 1, -c);
}
inline Tensor operator*(const Tensor& x, double c) {
  return affine(x, c, 0);
}
inline Tensor operator/(const Tensor& x, double c) {
  return affine(x, 1 / c, 0);
}
inline Tensor operator*(double c, const Tensor& x) {
  return affine(x, c, 0);
}
inline Tensor operator+(double c, const Tensor& x) {
  return affine(x, 1, c);
}
inline Tensor operator-(double c, const Tensor& x) {
  return affine(x, -1, c);
}
Tensor operator-(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor abs(const Tensor& x);  // derivative 0 at 0
Tensor sign(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor relu(const Tensor& x);  // derivative 0 at 0
Tensor cast(const Tensor& x, DType dtype);

// Views and copies.
Tensor contiguous(const Tensor& x);
Tensor reshape(const Tensor& x, const Shape& shape);
Tensor permute(const Tensor& x,
               const std::vector<int>& dims);  // dimension i of the result is dims[i] of x
Tensor transpose(const Tensor& x);             // of a matrix
Tensor broadcast_to(const Tensor& x, const Shape& shape);
// The elements start, start + step, ... before stop along `dim`.
Tensor slice(const Tensor& x, int dim, int64_t start, int64_t stop, int64_t step = 1);
// The adjoint of slice: zeros with `size` elements along `dim`, x in the places start, start +
// step, ...
Tensor embed(const Tensor& x, int dim, int64_t size, int64_t start, int64_t step = 1);
Tensor pad(const Tensor& x, int dim, int64_t before, int64_t after);  // with zeros
Tensor shift(const Tensor& x,
             int dim,
             int64_t offset);  // y[i] = x[i + offset], zeros beyond the border
Tensor concat(const std::vector<Tensor>& xs, int dim);

// Reductions.
Tensor sum(const Tensor& x, int dim, bool keepdim = false);
Tensor sum(const Tensor& x);  // of everything, shape ()
Tensor mean(const Tensor& x, int dim, bool keepdim = false);
Tensor mean(const Tensor& x);
Tensor sum_to(const Tensor& x, const Shape& shape);  // the adjoint of broadcast_to
Tensor dot(const Tensor& a, const Tensor& b);        // sum_i a_i b_i over all elements, shape ()
struct MaxResult {
  Tensor values, indices;  // indices: i64; the first maximum along the dimension
};
MaxResult max(const Tensor& x, int dim, bool keepdim = false);
// y[.., k, ..] = x[.., index[.., k, ..], ..] along `dim`; index is i64 and agrees with x in the
// other dimensions. An index out of range is refused on the CPU; on a device, which would have to
// be waited for, it gives a NaN.
Tensor gather(const Tensor& x, int dim, const Tensor& index);
// The adjoint of gather: zeros with `size` elements along `dim`, x added into the places that index
// names; on a device not where there is no such place.
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, int64_t size);
Tensor global_avg_pool(const Tensor& x);  // (N, H, W, C) -> (N, C)

// Matrices (M, K) x (K, N) -> (M, N), either one transposed first when asked.
struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;
};
Tensor matmul(const Tensor& a, const Tensor& b, MatmulOptions options = {});

Tensor softmax(const Tensor& x, int dim);
Tensor log_softmax(const Tensor& x, int dim);
// Mean over the batch of -log softmax(logits)[label]. logits (N, classes), labels i64 (N). A
// label out of range is refused on the CPU; on a device the result is a NaN.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels);

struct Conv2dOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
// x (N, H, W, C), weight (kernel_h, kernel_w, C / groups, out_C) -> (N, out_h, out_w, out_C); see
// kernels/conv2d.h. With a `gate` of x's shape the convolution sees x only where the gate is
// positive: gate = x fuses a relu in front.
Tensor conv2d(const Tensor& x,
              const Tensor& weight,
              Conv2dOptions options = {},
              const Tensor& gate = {});
Tensor conv2d_input_grad(const Tensor& grad_output,
                         const Tensor& weight,
                         const Shape& x_shape,
                         Conv2dOptions options = {},
                         const Tensor& gate = {});
Tensor conv2d_weight_grad(const Tensor& x,
                          const Tensor& grad_output,
                          const Shape& weight_shape,
                          Conv2dOptions options = {},
                          const Tensor& gate = {});
// conv2d_input_grad and conv2d_weight_grad, in one pass over x and grad_output.
std::pair<Tensor, Tensor> conv2d_backward(const Tensor& x,
                                          const Tensor& grad_output,
                                          const Tensor& weight,
                                          Conv2dOptions options = {},
                                          const Tensor& gate = {});

// While one exists on this thread, activation() and relu_conv2d() smooth the kink of relu away:
// softplus(s x) / s, which differs from relu by at most log(2) / s. For studies of what kinks do to
// derivatives; fused cells know of relu alone.
class SmoothRelu {
 public:
  explicit SmoothRelu(double sharpness);
  ~SmoothRelu();
  SmoothRelu(const SmoothRelu&) = delete;
  SmoothRelu& operator=(const SmoothRelu&) = delete;

  static bool active();

 private:
  const double outer_;
};
Tensor activation(const Tensor& x);  // relu(x) elsewhere
// conv2d of activation(x), in one go where that is relu.
Tensor relu_conv2d(const Tensor& x, const Tensor& weight, Conv2dOptions options = {});

struct Pool2dOptions {
  int64_t kernel = 3, stride = 1, padding = 1;
};
// (N, H, W, C) -> (N, out_h, out_w, C). Padding never wins a maximum and is not counted in an
// average.
Tensor max_pool2d(const Tensor& x, Pool2dOptions options = {});
Tensor avg_pool2d(const Tensor& x, Pool2dOptions options = {});

inline constexpr double kBatchNormEps = 1e-5;
struct BatchNormResult {
  Tensor y, mean, var;  // mean and population variance of the batch, constants to autograd
};
// Normalises over all dimensions but the last; weight and bias (C) are both given or both absent.
// The gradient flows through the batch statistics.
BatchNormResult batch_norm(const Tensor& x,
                           const Tensor& weight = {},
                           const Tensor& bias = {},
                           double eps = kBatchNormEps);
// The same with given statistics, constant in them.
Tensor batch_norm_running(const Tensor& x,
                          const Tensor& mean,
                          const Tensor& var,
                          const Tensor& weight = {},
                          const Tensor& bias = {},
                          double eps = kBatchNormEps);

// sum_t weights[index[t]] * xs[t], in one pass. `weights` of any shape, `index` counts its elements
// row-major; every x of one shape.
Tensor mixed_sum(const Tensor& weights,
                 const std::vector<int64_t>& index,
                 const std::vector<Tensor>& xs);

// x * mask with P(mask = 0) = p and 1 / (1 - p) otherwise, drawn at `address`; 0 <= p < 1.
Tensor dropout(const Tensor& x, double p, RandomAddress address);

}  // namespace oche
