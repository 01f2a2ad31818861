// The DARTS search network: a stem, cells of mixed ops, a classifier.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "nas/primitives.h"
#include "nas/relaxation.h"

namespace oche::nas {

// The candidates of one edge, in the order of darts_primitives().
class MixedOp : public Module {
 public:
  MixedOp(int64_t channels, int64_t stride, DType dtype);

  // Candidate k; not for `none`, which has_branch() is false for.
  bool has_branch(size_t k) const { return branches_[k] != nullptr; }
  const Primitive& branch(size_t k) const { return *branches_[k]; }

 private:
  std::vector<Primitive*> branches_;
};

struct CellOptions {
  int64_t steps = 4;       // intermediate nodes
  int64_t multiplier = 4;  // how many of the last nodes make the output
  int64_t channels_before_last, channels_last, channels;
  bool reduction = false, reduction_before = false;
  bool fuse = true;                           // all edges run as one op
  Precision precision = Precision::kFloat32;  // of a fused cell
};

// Edges are numbered node after node, and within a node by predecessor: states 0 and 1 are the
// preprocessed outputs of the two cells before, state 2 + i is node i.
int64_t edge_count(int64_t steps);
inline int64_t first_edge(int64_t node) {
  return node * (node + 3) / 2;
}

class Cell : public Module {
 public:
  Cell(const CellOptions& options, DType dtype);
  // (N, H, W, .) twice -> (N, H', W', multiplier * channels).
  Tensor forward(const Tensor& before_last,
                 const Tensor& last,
                 const Mixture& mixture,
                 const Pass& pass) const;
  bool reduction() const { return options_.reduction; }

 private:
  // What a mixture runs of the edges, with all weights and normalisations in its order.
  struct Body {
    MixedCellSpec spec;
    std::vector<Tensor> weights;
    std::vector<const BatchNorm2d*> norms;
  };
  Body body(const std::vector<bool>& run) const;

  CellOptions options_;
  Block *preprocess_0_, *preprocess_1_;
  std::vector<MixedOp*> edges_;
};

struct NetworkOptions {
  int64_t image_channels = 3, classes = 10;
  int64_t layers = 8, channels = 16, steps = 4;
  int64_t multiplier = 4, stem_multiplier = 3;
  bool fuse = true;  // see CellOptions
  Precision precision = Precision::kFloat32;
  DType dtype = DType::kFloat32;
};

struct CellMixtures {
  Mixture normal, reduce;
};

class Network : public Module {
 public:
  explicit Network(const NetworkOptions& options);

  using CellObserver = std::function<void(size_t index, const Tensor& output)>;
  // images (N, H, W, image_channels) -> logits (N, classes).
  Tensor forward(const Tensor& images,
                 const CellMixtures& mixtures,
                 const Pass& pass,
                 const CellObserver& observer = {}) const;

  const NetworkOptions& options() const { return options_; }
  Weights weights() { return Weights(named_parameters()); }
  size_t cell_count() const { return cells_.size(); }
  bool is_reduction(size_t cell) const { return cells_[cell]->reduction(); }

 private:
  NetworkOptions options_;
  Conv2d& stem_;
  BatchNorm2d& stem_norm_;
  std::vector<Cell*> cells_;
  Linear* classifier_;
};

// The architecture parameters of a network: (edges, candidates) for each cell type.
class ArchParameters : public Module {
 public:
  // Drawn from deviation * N(0, 1) (DARTS: 1e-3).
  ArchParameters(int64_t steps, double deviation, uint64_t seed, DType dtype);

  const Tensor& normal() const { return normal_.value; }
  const Tensor& reduce() const { return reduce_.value; }
  CellMixtures mixtures() const { return {softmax_mixture(normal()), softmax_mixture(reduce())}; }
  Alphas alphas() { return Alphas(named_parameters()); }  // alphas_normal, alphas_reduce

 private:
  Parameter &normal_, &reduce_;
};

}  // namespace oche::nas
