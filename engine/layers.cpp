// The layers that the search networks are made of.
#include "engine/layers.h"

#include <cmath>

#include "engine/autograd.h"

namespace oche {
namespace {

Initialisation fan_in_uniform(int64_t fan_in) {
  return {.bound = 1 / std::sqrt(static_cast<double>(fan_in))};
}

}  // namespace

Initialisation conv_initialisation(const Shape& weight) {
  return fan_in_uniform(weight[0] * weight[1] * weight[2]);
}

Conv2d::Conv2d(Options o, DType dtype)
    : options_(o),
      weight_(add_parameter("weight",
                            {o.kernel, o.kernel, o.in / o.conv.groups, o.out},
                            dtype,
                            conv_initialisation({o.kernel, o.kernel, o.in / o.conv.groups, o.out}),
                            Layout::kConvWeight)) {}

Tensor Conv2d::forward(const Tensor& x) const {
  return options_.relu_first ? relu_conv2d(x, weight_.value, options_.conv)
                             : conv2d(x, weight_.value, options_.conv);
}

BatchNorm2d::BatchNorm2d(int64_t channels, Affine affine, DType dtype) {
  if (affine == Affine::kYes) {
    weight_ = &add_parameter("weight", {channels}, dtype, {.constant = 1});
    bias_ = &add_parameter("bias", {channels}, dtype, {.constant = 0});
  }
  running_mean_ = add_buffer("running_mean", Tensor::zeros({channels}, dtype));
  running_var_ = add_buffer("running_var", Tensor::ones({channels}, dtype));
  // On the CPU: a pass that asks a device for a count waits for it.
  batches_ = add_buffer("num_batches_tracked", Tensor::zeros({}, DType::kInt64, Device()));
}

Tensor BatchNorm2d::forward(const Tensor& x, const Pass& pass) const {
  const Tensor weight = weight_ ? weight_->value : Tensor();
  const Tensor bias = bias_ ? bias_->value : Tensor();
  if (pass.statistics == Statistics::kRunning) {
    return batch_norm_running(x, running_mean_, running_var_, weight, bias);
  }
  const BatchNormResult r = batch_norm(x, weight, bias);
  list_updates(r.mean, r.var, x.numel() / x.size(-1), pass);
  return r.y;
}

void BatchNorm2d::list_updates(const Tensor& mean,
                               const Tensor& var,
                               int64_t rows,
                               const Pass& pass) const {
  if (!pass.updates) return;
  const auto n = static_cast<double>(rows);
  const double unbiased = n > 1 ? n / (n - 1) : 1;
  pass.updates->push_back({running_mean_, mean, kRunningMomentum});
  pass.updates->push_back({running_var_, var, kRunningMomentum * unbiased});
  pass.updates->push_back({batches_, {}});
}

Linear::Linear(int64_t in, int64_t out, DType dtype)
    : weight_(add_parameter("weight", {out, in}, dtype, fan_in_uniform(in))),
      bias_(add_parameter("bias", {out}, dtype, fan_in_uniform(in))) {}

Tensor Linear::forward(const Tensor& x) const {
  return matmul(x, weight_.value, {.transpose_b = true}) + bias_.value;
}

}  // namespace oche
