// The candidate operations of the DARTS space, by the names that genotypes use, and the blocks they
// share with the cells. In a search network batch normalisation has no affine part, and pooling is
// followed by one (DARTS, appendix A.1).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/layers.h"
#include "engine/mixed_cell.h"

namespace oche::nas {

// What makes one feature map of another.
class Block : public Module {
 public:
  virtual Tensor forward(const Tensor& x, const Pass& pass) const = 0;
};

// A candidate on an edge: (N, H, W, C) -> (N, H / stride, W / stride, C), rounded up. What it
// computes is data; with its weights and normalisations a cell can compute it among others.
class Primitive : public Block {
 public:
  // Only a factorized reduce may have in != out.
  Primitive(Branch branch, int64_t in, int64_t out, int64_t stride, DType dtype);
  Tensor forward(const Tensor& x, const Pass& pass) const override;

  const Branch& branch() const { return branch_; }
  std::vector<Tensor> weights() const;  // their present values, in the order of the branch
  const std::vector<BatchNorm2d*>& norms() const { return norms_; }

 private:
  void add_weight(std::string name, const Shape& shape, DType dtype);
  void add_norm(std::string name, int64_t channels, DType dtype);

  Branch branch_;
  int64_t stride_;
  std::vector<Parameter*> weights_;
  std::vector<BatchNorm2d*> norms_;
};

// none, max_pool_3x3, avg_pool_3x3, skip_connect, sep_conv_3x3, sep_conv_5x5, dil_conv_3x3,
// dil_conv_5x5: the columns of alpha in the space of DARTS.
std::span<const std::string_view> darts_primitives();
inline constexpr std::string_view kNone = "none", kSkipConnect = "skip_connect";

// What a primitive computes: one of DARTS', or nor_conv_1x1, nor_conv_3x3 (NAS-Bench-201) or noise
// (RobustDARTS). In a plain cell pools are not normalised. nullopt for `none`, which is never run,
// and for a name that is not known.
std::optional<Branch> primitive_branch(std::string_view name, int64_t stride, bool plain = false);
bool is_primitive(std::string_view name);
// How many weights its convolutions have.
int64_t branch_weights(const Branch& branch, int64_t in, int64_t out);

// Throws std::invalid_argument naming the known ones for an unknown name and for `none`.
std::unique_ptr<Primitive> make_primitive(
    std::string_view name, int64_t channels, int64_t stride, DType dtype, bool plain = false);

// Relu, convolution, batch normalisation: (N, H, W, in) -> (N, H / stride, W / stride, out).
class ReluConvBn : public Block {
 public:
  ReluConvBn(int64_t in, int64_t out, DType dtype, int64_t kernel = 1, int64_t stride = 1);
  Tensor forward(const Tensor& x, const Pass& pass) const override;

 private:
  Conv2d& conv_;
  BatchNorm2d& norm_;
};

// Halves height and width, rounded up, without losing pixels: relu, two 1x1 convolutions of stride
// 2, one a pixel further down and right, side by side, batch normalisation. There an odd side ends
// with zeros, where the original code fails. (N, H, W, in) -> (N, (H+1)/2, (W+1)/2, out), out even.
class FactorizedReduce : public Primitive {
 public:
  FactorizedReduce(int64_t in, int64_t out, DType dtype);
};

// The reduction of NAS-Bench-201 (arXiv:2001.00326, sec. 2.1): two 3x3 blocks, the first of stride
// 2, beside the mean of 2x2 pixels and a pointwise convolution; an odd side ends with zeros there.
// (N, H, W, in) -> (N, (H+1)/2, (W+1)/2, out).
class ResidualReduction : public Block {
 public:
  ResidualReduction(int64_t in, int64_t out, DType dtype);
  Tensor forward(const Tensor& x, const Pass& pass) const override;

 private:
  ReluConvBn &first_, &second_;
  Conv2d& shortcut_;
};

}  // namespace oche::nas
