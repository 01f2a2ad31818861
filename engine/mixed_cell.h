// The body of a cell of mixed ops, described by data: as one fused op, and as the same function in
// small ops.
//
// A cell is a graph of states. States 0 and 1 come from outside, state 2 + i is node i, the
// weighted sum of all branches of all edges that lead to it; the last `multiplier` nodes side by
// side are the output. Every branch but the identity ends in a batch normalisation without affine
// part.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ops.h"

namespace oche {

enum class BranchKind {
  kMaxPool,
  kAveragePool,
  kIdentity,
  kFactorizedReduce,
  kSeparable,
  kConvolution,
  kNoise
};

// One candidate on an edge: (N, H, W, C) -> (N, H / stride, W / stride, C), rounded up.
//   pools              3x3, normalised or not
//   identity           stride 1 only
//   factorized reduce  stride 2 only: relu, two 1x1 convolutions of stride 2, the second one a
//   pixel
//                      further down and right, where an odd side ends with zeros; their channels
//                      side by side, normalised
//   separable          `blocks` times: relu, depthwise convolution, pointwise convolution,
//                      normalised; the stride is that of the first block, `kernel` is odd
//   convolution        relu, dense convolution of an odd `kernel`, normalised
//   noise              standard normal numbers of the right shape, whatever the input
struct Branch {
  BranchKind kind = BranchKind::kIdentity;
  int64_t kernel = 3, dilation = 1, blocks = 1;  // of a separable one or a convolution
  bool normalised = true;                        // of a pool
  int64_t place = 0;                             // of its weight in the table, counted row-major
  std::string name = {};                         // in labels
};
// Its convolution weights, in this order: of a separable branch depthwise (kernel, kernel, 1, C)
// and pointwise (1, 1, C, C), block after block; of a factorized reduce (1, 1, C, C / 2) and (1, 1,
// C, C - C / 2); of a convolution (kernel, kernel, C, C).
int64_t weight_count(const Branch& branch);
// How often it normalises.
int64_t norm_count(const Branch& branch);

struct CellEdge {
  int64_t from;    // state
  int64_t to;      // node
  int64_t stride;  // from states 0 and 1 that of the cell, 1 or 2; from nodes 1
  std::vector<Branch> branches = {};
};
// How much of a float a fused f32 cell keeps where it pays. f64 is always full.
//   fp32  everything
//   tf32  factors of the products of pointwise convolutions, forward and backward, have 10 bits of
//         fraction, as tensor cores read them
//   bf16  these factors are bfloat16, and so is what the cell keeps for its backward pass of the
//         results that it normalises: half the memory and traffic
// Sums, statistics, states, weights and gradients stay f32, and so do higher derivatives.
enum class Precision : uint8_t { kFloat32, kTensorFloat32, kBFloat16 };
inline constexpr std::string_view kPrecisionNames[] = {"fp32", "tf32", "bf16"};

struct MixedCellSpec {
  int64_t steps, multiplier;
  std::vector<CellEdge> edges;
  double eps = kBatchNormEps;
  Precision precision = Precision::kFloat32;
};

// While one exists on this thread, fused cells compute in fp32: for passes whose small differences
// are what is wanted.
class FullPrecision {
 public:
  FullPrecision();
  ~FullPrecision();
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;
  static bool active();
};

// Normalisations and convolution weights of a cell are counted edge after edge, branch after
// branch.
int64_t weight_count(const MixedCellSpec& spec);
int64_t norm_count(const MixedCellSpec& spec);

// True iff the fused op can run the cell: it knows neither noise, nor dense convolutions, nor pools
// without normalisation.
bool has_fused(const MixedCellSpec& spec);

// Normalises t, which is what the cell's (or branch's) i-th normalisation gets.
using Normalise = std::function<Tensor(int64_t i, const Tensor& t)>;

// What small ops leave to their caller.
struct BranchContext {
  Normalise normalise;
  std::function<Tensor(const Shape&)> noise = {};  // needed where a branch is noise
};

// One branch in small ops. A factorized reduce may change the number of channels.
Tensor branch_forward(const Branch& branch,
                      int64_t stride,
                      const Tensor& x,
                      std::span<const Tensor> weights,
                      const BranchContext& context);

// What happens around the branches of an edge, which is counted as in the spec.
struct EdgeHooks {
  // What the branches see of the state x that the edge comes from.
  std::function<Tensor(const Tensor& x)> before;
  // What becomes of a branch's result, before it is weighed.
  std::function<Tensor(size_t edge, const Branch& branch, const Tensor& y)> branch;
  // What becomes of the weighted sum of the edge, which is undefined where no branch runs;
  // undefined: nothing.
  std::function<Tensor(size_t edge, int64_t stride, const Tensor& x, const Tensor& sum)> after;
};
struct CellContext {
  Normalise normalise;
  std::function<Tensor(size_t edge, const Shape&)> noise = {};
  const EdgeHooks* hooks = nullptr;
};

// The cell in small ops: x0, x1 (N, H, W, C), the table of the branches' weights, of any shape, ->
// (N, H / stride, W / stride, multiplier * C). A node without a branch is zero. Labels name edge
// and branch.
Tensor mixed_cell_composite(const MixedCellSpec& spec,
                            const Tensor& x0,
                            const Tensor& x1,
                            const Tensor& table,
                            std::span<const Tensor> weights,
                            const CellContext& context);

// Of one normalisation, (C) each.
struct NormMoments {
  Tensor mean, var;
};

struct MixedCellResult {
  Tensor y;
  Tensor mean, var;  // (rows, C), the batch's, population variance; constants to autograd
  // For each normalisation of the cell its row of these. Pools of one state of one kind share one.
  std::vector<int64_t> rows;
};
// The same with batch statistics as one op (kernels/mixed_cell.h). Its backward pass is one op too,
// whose own derivative is that of the composite.
MixedCellResult mixed_cell(const MixedCellSpec& spec,
                           const Tensor& x0,
                           const Tensor& x1,
                           const Tensor& table,
                           std::span<const Tensor> weights);
// The same as one op where each normalisation uses given moments, constants to autograd, as in
// batch_norm_running().
Tensor mixed_cell_running(const MixedCellSpec& spec,
                          const Tensor& x0,
                          const Tensor& x1,
                          const Tensor& table,
                          std::span<const Tensor> weights,
                          std::span<const NormMoments> moments);

}  // namespace oche
