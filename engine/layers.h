// The layers that the search networks are made of. PyTorch's default initialisation: uniform within
// 1/sqrt(fan_in).
#pragma once

#include "engine/nn.h"
#include "engine/ops.h"

namespace oche {

// Where a convolution weight (kernel_h, kernel_w, in / groups, out) starts.
Initialisation conv_initialisation(const Shape& weight);

// A convolution without bias, with or without a relu in front. (N, H, W, C) -> (N, out_h, out_w,
// out_C).
class Conv2d : public Module {
 public:
  struct Options {
    int64_t in, out, kernel;
    Conv2dOptions conv;
    bool relu_first = false;
  };
  Conv2d(Options options, DType dtype);
  Tensor forward(const Tensor& x) const;

 private:
  Options options_;
  Parameter& weight_;
};

// Batch normalisation over N, H, W. Running statistics move by kRunningMomentum towards the batch's
// mean and unbiased variance.
class BatchNorm2d : public Module {
 public:
  enum class Affine { kNo, kYes };

  BatchNorm2d(int64_t channels, Affine affine, DType dtype);
  Tensor forward(const Tensor& x, const Pass& pass) const;
  const Tensor& running_mean() const { return running_mean_; }
  const Tensor& running_var() const { return running_var_; }
  // Lists the move of the running statistics towards those of a batch of `rows` pixels, whose
  // variance is the population's, if `pass` wants it.
  void list_updates(const Tensor& mean, const Tensor& var, int64_t rows, const Pass& pass) const;

 private:
  Parameter *weight_ = nullptr, *bias_ = nullptr;
  Tensor running_mean_, running_var_, batches_;
};

// (N, in) -> (N, out); weight (out, in), bias (out).
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, DType dtype);
  Tensor forward(const Tensor& x) const;

 private:
  Parameter &weight_, &bias_;
};

}  // namespace oche
