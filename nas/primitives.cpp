// The candidate operations of the DARTS space.
#include "nas/primitives.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <stdexcept>

namespace oche::nas {
namespace {

constexpr std::array<std::string_view, 8> kDarts = {kNone,
                                                    "max_pool_3x3",
                                                    "avg_pool_3x3",
                                                    "skip_connect",
                                                    "sep_conv_3x3",
                                                    "sep_conv_5x5",
                                                    "dil_conv_3x3",
                                                    "dil_conv_5x5"};

constexpr auto kPlainNorm = BatchNorm2d::Affine::kNo;

class Identity : public Primitive {
 public:
  Tensor forward(const Tensor& x, const Pass&) const override { return x; }
};

class Pool : public Primitive {
 public:
  using Function = Tensor (*)(const Tensor&, Pool2dOptions);
  Pool(Function pool, int64_t channels, int64_t stride, DType dtype)
      : pool_(pool),
        stride_(stride),
        norm_(add_module<BatchNorm2d>("1", channels, kPlainNorm, dtype)) {}
  Tensor forward(const Tensor& x, const Pass& pass) const override {
    return norm_.forward(pool_(x, {.kernel = 3, .stride = stride_, .padding = 1}), pass);
  }

 private:
  Function pool_;
  int64_t stride_;
  BatchNorm2d& norm_;
};

// Relu, depthwise convolution, pointwise convolution, batch normalisation.
class DepthwiseSeparable : public Primitive {
 public:
  struct Options {
    int64_t channels, kernel, stride = 1, dilation = 1;
    int first_name = 1;  // of the three modules, which count on from here
  };
  DepthwiseSeparable(Options o, DType dtype)
      : depthwise_(
            add_module<Conv2d>(fmt::format("{}", o.first_name),
                               Conv2d::Options{.in = o.channels,
                                               .out = o.channels,
                                               .kernel = o.kernel,
                                               .conv = {.stride = o.stride,
                                                        .padding = o.dilation * (o.kernel - 1) / 2,
                                                        .dilation = o.dilation,
                                                        .groups = o.channels},
                                               .relu_first = true},
                               dtype)),
        pointwise_(add_module<Conv2d>(
            fmt::format("{}", o.first_name + 1),
            Conv2d::Options{.in = o.channels, .out = o.channels, .kernel = 1, .conv = {}},
            dtype)),
        norm_(add_module<BatchNorm2d>(
            fmt::format("{}", o.first_name + 2), o.channels, kPlainNorm, dtype)) {}
  Tensor forward(const Tensor& x, const Pass& pass) const override {
    return norm_.forward(pointwise_.forward(depthwise_.forward(x)), pass);
  }

 private:
  Conv2d &depthwise_, &pointwise_;
  BatchNorm2d& norm_;
};

// Its modules stand under "op": one separable block for a dilated convolution, two for a separable
// one.
class SeparableConv : public Primitive {
 public:
  SeparableConv(DepthwiseSeparable::Options first, int blocks, DType dtype) {
    for (int i = 0; i < blocks; ++i) {
      blocks_.push_back(&add_module<DepthwiseSeparable>("op", first, dtype));
      first.stride = 1;
      first.first_name += 4;  // three modules and the relu
    }
  }
  Tensor forward(const Tensor& x, const Pass& pass) const override {
    Tensor y = x;
    for (const DepthwiseSeparable* block : blocks_) y = block->forward(y, pass);
    return y;
  }

 private:
  std::vector<DepthwiseSeparable*> blocks_;
};

}  // namespace

std::span<const std::string_view> darts_primitives() {
  return kDarts;
}

std::unique_ptr<Primitive> make_primitive(std::string_view name,
                                          int64_t C,
                                          int64_t stride,
                                          DType dtype) {
  const auto sep = [&](int64_t kernel) {
    return std::make_unique<SeparableConv>(
        DepthwiseSeparable::Options{.channels = C, .kernel = kernel, .stride = stride}, 2, dtype);
  };
  const auto dil = [&](int64_t kernel) {
    return std::make_unique<SeparableConv>(
        DepthwiseSeparable::Options{
            .channels = C, .kernel = kernel, .stride = stride, .dilation = 2},
        1,
        dtype);
  };
  if (name == "max_pool_3x3") return std::make_unique<Pool>(max_pool2d, C, stride, dtype);
  if (name == "avg_pool_3x3") return std::make_unique<Pool>(avg_pool2d, C, stride, dtype);
  if (name == "skip_connect" && stride == 1) return std::make_unique<Identity>();
  if (name == "skip_connect") return std::make_unique<FactorizedReduce>(C, C, dtype);
  if (name == "sep_conv_3x3") return sep(3);
  if (name == "sep_conv_5x5") return sep(5);
  if (name == "dil_conv_3x3") return dil(3);
  if (name == "dil_conv_5x5") return dil(5);
  throw std::invalid_argument(fmt::format(
      "primitive '{}' is not known; expected one of {}", name, fmt::join(kDarts, ", ")));
}

ReluConvBn::ReluConvBn(int64_t in, int64_t out, DType dtype)
    : conv_(add_module<Conv2d>(
          "op.1",
          Conv2d::Options{.in = in, .out = out, .kernel = 1, .conv = {}, .relu_first = true},
          dtype)),
      norm_(add_module<BatchNorm2d>("op.2", out, kPlainNorm, dtype)) {}

Tensor ReluConvBn::forward(const Tensor& x, const Pass& pass) const {
  return norm_.forward(conv_.forward(x), pass);
}

FactorizedReduce::FactorizedReduce(int64_t in, int64_t out, DType dtype)
    : conv_1_(add_module<Conv2d>(
          "conv_1",
          Conv2d::Options{
              .in = in, .out = out / 2, .kernel = 1, .conv = {.stride = 2}, .relu_first = true},
          dtype)),
      conv_2_(add_module<Conv2d>("conv_2",
                                 Conv2d::Options{.in = in,
                                                 .out = out - out / 2,
                                                 .kernel = 1,
                                                 .conv = {.stride = 2},
                                                 .relu_first = true},
                                 dtype)),
      norm_(add_module<BatchNorm2d>("bn", out, kPlainNorm, dtype)) {
  if (out % 2 != 0)
    throw std::invalid_argument(
        fmt::format("factorized reduce: {} output channels; expected an even number", out));
}

Tensor FactorizedReduce::forward(const Tensor& x, const Pass& pass) const {
  if (x.rank() != 4) {
    throw std::invalid_argument(
        fmt::format("factorized reduce: shape {}; expected (N, H, W, C)", to_string(x.shape())));
  }
  Tensor shifted = x;
  for (const int dim : {1, 2}) {
    shifted = slice(shifted, dim, 1, x.size(dim));
    if (x.size(dim) % 2 != 0) shifted = pad(shifted, dim, 0, 1);
  }
  return norm_.forward(concat({conv_1_.forward(x), conv_2_.forward(shifted)}, 3), pass);
}

}  // namespace oche::nas
