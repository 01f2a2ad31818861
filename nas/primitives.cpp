// The candidate operations of the DARTS space.
#include "nas/primitives.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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
  if (branch_.kind == BranchKind::kMaxPool || branch_.kind == BranchKind::kAveragePool)
    add_norm("1", out, dtype);
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
  return branch_forward(branch_, stride_, x, weights(), [&](int64_t i, const Tensor& t) {
    return norms_[i]->forward(t, pass);
  });
}

std::span<const std::string_view> darts_primitives() {
  return kDarts;
}

int64_t costliest_candidate() {
  return std::ranges::find(kDarts, "sep_conv_5x5") - std::begin(kDarts);
}

std::unique_ptr<Primitive> make_primitive(std::string_view name,
                                          int64_t C,
                                          int64_t stride,
                                          DType dtype) {
  const auto make = [&](Branch branch) {
    return std::make_unique<Primitive>(std::move(branch), C, C, stride, dtype);
  };
  const auto sep = [&](int64_t kernel) {
    return make({.kind = BranchKind::kSeparable, .kernel = kernel, .blocks = 2});
  };
  const auto dil = [&](int64_t kernel) {
    return make({.kind = BranchKind::kSeparable, .kernel = kernel, .dilation = 2});
  };
  if (name == "max_pool_3x3") return make({.kind = BranchKind::kMaxPool});
  if (name == "avg_pool_3x3") return make({.kind = BranchKind::kAveragePool});
  if (name == "skip_connect" && stride == 1) return make({.kind = BranchKind::kIdentity});
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
    : Primitive({.kind = BranchKind::kFactorizedReduce}, in, out, 2, dtype) {
  if (out % 2 != 0)
    throw std::invalid_argument(
        fmt::format("factorized reduce: {} output channels; expected an even number", out));
}

}  // namespace oche::nas
