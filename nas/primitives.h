// The candidate operations of the DARTS space, by the names that genotypes use, and the blocks they
// share with the cells. In a search network batch normalisation has no affine part, and pooling is
// followed by one (DARTS, appendix A.1).
#pragma once

#include <memory>
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
// dil_conv_5x5: the order of the columns of alpha.
std::span<const std::string_view> darts_primitives();
// The one that takes the most memory and time.
int64_t costliest_candidate();
inline constexpr std::string_view kNone = "none";

// Throws std::invalid_argument naming the known ones for an unknown name. `none` is not a module: a
// mixed op leaves it out.
std::unique_ptr<Primitive> make_primitive(std::string_view name,
                                          int64_t channels,
                                          int64_t stride,
                                          DType dtype);

// Relu, 1x1 convolution, batch normalisation: (N, H, W, in) -> (N, H, W, out).
class ReluConvBn : public Block {
 public:
  ReluConvBn(int64_t in, int64_t out, DType dtype);
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

}  // namespace oche::nas
