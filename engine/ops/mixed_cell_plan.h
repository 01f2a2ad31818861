// What follows from the description of a cell alone: its terms, where their results lie, and what a
// backward pass needs.
#pragma once

#include <memory>
#include <vector>

#include "engine/mixed_cell.h"
#include "engine/op.h"
#include "kernels/mixed_cell.h"

namespace oche {

// The fused op has the inputs x0, x1, table, convolution weights, and the outputs y, mean, var and,
// if a backward pass may come, what else it needs: the *kept* tensors, all of the shape of a node.
//   - what each normalisation of a convolution gets: of a separable branch one for each block
//   - pooled values of stride 2, once for all edges that start from one state
//   - nodes outside of y
struct CellPlan {
  static constexpr size_t kTable = 2, kWeights = 3;  // inputs

  explicit CellPlan(MixedCellSpec spec);  // throws std::invalid_argument

  struct Pool {
    int64_t from, stride;
    kernels::CellPool kind;
    int64_t row;   // of its moments
    int64_t kept;  // -1: computed anew where it is read
  };
  struct Term {
    Branch branch;
    int64_t from, to, stride;
    int64_t weight;  // its first convolution weight
    int64_t row;     // of its first normalisation
    int64_t norm;    // its first normalisation
    int64_t kept;    // its first kept tensor
    int64_t pool;    // of a pool; otherwise -1

    bool separable() const { return branch.kind == BranchKind::kSeparable; }
    bool reduces() const { return branch.kind == BranchKind::kFactorizedReduce; }
    int64_t last() const { return branch.blocks - 1; }
  };

  bool in_output(int64_t node) const { return node >= spec.steps - spec.multiplier; }
  // Of a kept tensor of a cell whose states have that dtype.
  DType kept_dtype(int64_t i, DType dtype) const {
    const bool narrow = spec.precision == Precision::kBFloat16 && dtype == DType::kFloat32;
    return narrow && i < results ? DType::kBFloat16 : dtype;
  }
  // For each input, whether y depends on it.
  Needs reached() const;
  // Multiply-adds for each pixel of a node with C channels.
  int64_t macs(int64_t C) const;

  MixedCellSpec spec;
  int64_t stride = 1;       // of states 0 and 1
  std::vector<Term> terms;  // in the order of edges and branches
  std::vector<Pool> pools;
  std::vector<std::vector<size_t>> into, out_of;  // terms of each node, of each state
  std::vector<std::vector<size_t>> pools_of;      // of each state
  std::vector<bool> live;                         // nodes that y depends on
  std::vector<int64_t> outside;                   // kept tensor of a node outside of y, or -1
  std::vector<int64_t> norm_rows;                 // of each normalisation
  int64_t weights = 0, rows = 0, blocks = 1;      // blocks: the most that a branch has
  int64_t kept = 0, results = 0;                  // the first `results` kept ones are normalised
};

// What a backward pass computes, given for which inputs of the fused op a gradient is wanted.
struct CellDemand {
  CellDemand(const CellPlan& plan, const Needs& needs);

  bool weight(int64_t i) const { return needs[CellPlan::kWeights + i]; }
  bool weights_of(const CellPlan::Term& t) const;
  // The gradient of what convolution `block` of a separable branch writes.
  bool block(size_t term, int64_t block) const;
  // What the state that the term reads gets from it, or a weight of its first convolution.
  bool source(size_t term) const;
  // The sum over pixels of the node's gradient times the term.
  bool sums(size_t term) const;
  std::vector<bool> kept() const;  // for each kept tensor

  const CellPlan& plan;
  const Needs needs;
  bool table;
  std::vector<bool> state;  // states whose gradient is wanted
};

}  // namespace oche
