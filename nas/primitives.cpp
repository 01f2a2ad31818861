// The candidate operations of the DARTS space.
#include "nas/primitives.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace oche::nas {
namespace {

// All that there are, those of DARTS first.
constexpr std::array<std::string_view, 11> kPrimitives = {kNone,
                                                          "max_pool_3x3",
                                                          "avg_pool_3x3",
                                                          "skip_connect",
                                                          "sep_conv_3x3",
                                                          "sep_conv_5x5",
                                                          "dil_conv_3x3",
                                                          "dil_conv_5x5",
                                                          "nor_conv_1x1",
                                                          "nor_conv_3x3",
                                                          "noise"};
constexpr size_t kDarts = 8;

constexpr auto kPlainNorm = BatchNorm2d::Affine::kNo;

}  // namespace

// Names are those of the original modules, in which each relu counts.
Primitive::Primitive(Branch branch, int64_t in, int64_t out, int64_t stride, DType dtype)
    : branch_(std::move(branch)), stride_(stride) {
  const bool separable = branch_.kind == BranchKind::kSeparable;
  for (int64_t i = 0; separable && i < branch_.blocks; ++i) {
    add_weight(fmt::format("op.{}", 4 * i + 1), {branch_.kernel, branch_.kernel, 1, in}, dtype);
    add_weight(fmt::format("op.{}", 4 * i + 2), {1, 1, in, out}, dtype);
    add_norm(fmt::format("op.{}", 4 * i + 3), out, dtype);
  }
  if (branch_.kind == BranchKind::kFactorizedReduce) {
    add_weight("conv_1", {1, 1, in, out / 2}, dtype);
    add_weight("conv_2", {1, 1, in, out - out / 2}, dtype);
    add_norm("bn", out, dtype);
  }
  if (branch_.kind == BranchKind::kConvolution) {
    add_weight("op.1", {branch_.kernel, branch_.kernel, in, out}, dtype);
    add_norm("op.2", out, dtype);
  }
  const bool pool =
      branch_.kind == BranchKind::kMaxPool || branch_.kind == BranchKind::kAveragePool;
  if (pool && branch_.normalised) add_norm("1", out, dtype);
}

void Primitive::add_weight(std::string name, const Shape& shape, DType dtype) {
  weights_.push_back(&add_parameter(
      std::move(name) + ".weight", shape, dtype, conv_initialisation(shape), Layout::kConvWeight));
}

void Primitive::add_norm(std::string name, int64_t channels, DType dtype) {
  norms_.push_back(&add_module<BatchNorm2d>(std::move(name), channels, kPlainNorm, dtype));
}

std::vector<Tensor> Primitive::weights() const {
  std::vector<Tensor> values;
  for (const Parameter* p : weights_) values.push_back(p->value);
  return values;
}

Tensor Primitive::forward(const Tensor& x, const Pass& pass) const {
  return branch_forward(branch_, stride_, x, weights(), {[&](int64_t i, const Tensor& t) {
                          return norms_[i]->forward(t, pass);
                        }});
}

std::span<const std::string_view> darts_primitives() {
  return std::span(kPrimitives).first<kDarts>();
}

std::optional<Branch> primitive_branch(std::string_view name, int64_t stride, bool plain) {
  const auto sep = [](int64_t kernel) {
    return Branch{.kind = BranchKind::kSeparable, .kernel = kernel, .blocks = 2};
  };
  const auto dil = [](int64_t kernel) {
    return Branch{.kind = BranchKind::kSeparable, .kernel = kernel, .dilation = 2};
  };
  const auto conv = [](int64_t kernel) {
    return Branch{.kind = BranchKind::kConvolution, .kernel = kernel};
  };
  if (name == "max_pool_3x3") return Branch{.kind = BranchKind::kMaxPool, .normalised = !plain};
  if (name == "avg_pool_3x3") return Branch{.kind = BranchKind::kAveragePool, .normalised = !plain};
  if (name == "skip_connect" && stride == 1) return Branch{.kind = BranchKind::kIdentity};
  if (name == "skip_connect") return Branch{.kind = BranchKind::kFactorizedReduce};
  if (name == "sep_conv_3x3") return sep(3);
  if (name == "sep_conv_5x5") return sep(5);
  if (name == "dil_conv_3x3") return dil(3);
  if (name == "dil_conv_5x5") return dil(5);
  if (name == "nor_conv_1x1") return conv(1);
  if (name == "nor_conv_3x3") return conv(3);
  if (name == "noise") return Branch{.kind = BranchKind::kNoise};
  return std::nullopt;
}

bool is_primitive(std::string_view name) {
  return std::ranges::find(kPrimitives, name) != kPrimitives.end();
}

int64_t branch_weights(const Branch& b, int64_t in, int64_t out) {
  switch (b.kind) {
    case BranchKind::kSeparable:
      return b.blocks * (b.kernel * b.kernel * in + in * out);
    case BranchKind::kConvolution:
      return b.kernel * b.kernel * in * out;
    case BranchKind::kFactorizedReduce:
      return in * out;
    default:
      return 0;
  }
}

std::unique_ptr<Primitive> make_primitive(
    std::string_view name, int64_t C, int64_t stride, DType dtype, bool plain) {
  const std::optional<Branch> branch = primitive_branch(name, stride, plain);
  if (!branch) {
    throw std::invalid_argument(fmt::format(
        "primitive '{}' is not known; expected one of {}", name, fmt::join(kPrimitives, ", ")));
  }
  if (branch->kind == BranchKind::kFactorizedReduce)
    return std::make_unique<FactorizedReduce>(C, C, dtype);
  return std::make_unique<Primitive>(*branch, C, C, stride, dtype);
}

ReluConvBn::ReluConvBn(int64_t in, int64_t out, DType dtype, int64_t kernel, int64_t stride)
    : conv_(add_module<Conv2d>(
          "op.1",
          Conv2d::Options{.in = in,
                          .out = out,
                          .kernel = kernel,
                          .conv = {.stride = stride, .padding = (kernel - 1) / 2},
                          .relu_first = true},
          dtype)),
      norm_(add_module<BatchNorm2d>("op.2", out, kPlainNorm, dtype)) {}

Tensor ReluConvBn::forward(const Tensor& x, const Pass& pass) const {
  return norm_.forward(conv_.forward(x), pass);
}

FactorizedReduce::FactorizedReduce(int64_t in, int64_t out, DType dtype)
    : Primitive({.kind = BranchKind::kFactorizedReduce}, in, out, 2, dtype) {
  if (out % 2 != 0)
    throw std::invalid_argument(
        fmt::format("factorized reduce: {} output channels; expected an even number", out));
}

ResidualReduction::ResidualReduction(int64_t in, int64_t out, DType dtype)
    : first_(add_module<ReluConvBn>("conv_a", in, out, dtype, 3, 2)),
      second_(add_module<ReluConvBn>("conv_b", out, out, dtype, 3)),
      shortcut_(add_module<Conv2d>(
          "downsample.1", Conv2d::Options{.in = in, .out = out, .kernel = 1, .conv = {}}, dtype)) {}

Tensor ResidualReduction::forward(const Tensor& x, const Pass& pass) const {
  Tensor even = x;
  for (const int dim : {1, 2}) {
    if (x.size(dim) % 2 != 0) even = pad(even, dim, 0, 1);
  }
  const Tensor pooled = avg_pool2d(even, {.kernel = 2, .stride = 2, .padding = 0});
  return shortcut_.forward(pooled) + second_.forward(first_.forward(x, pass), pass);
}

}  // namespace oche::nas
