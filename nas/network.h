// The DARTS search network: a stem, cells of mixed ops, a classifier.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nas/edge.h"
#include "nas/primitives.h"
#include "nas/relaxation.h"
#include "nas/space.h"

namespace oche::nas {

// The candidates of one edge, in the order of its space.
class MixedOp : public Module {
 public:
  MixedOp(const std::vector<std::string>& candidates,
          int64_t channels,
          int64_t stride,
          DType dtype,
          bool plain = false);

  // Candidate k; not for `none`, which has_branch() is false for.
  bool has_branch(size_t k) const { return branches_[k] != nullptr; }
  const Primitive& branch(size_t k) const { return *branches_[k]; }

 private:
  std::vector<Primitive*> branches_;
};

struct CellOptions {
  const CellSpace* space;  // outlives the cell
  int64_t steps = 4;       // intermediate nodes
  int64_t multiplier = 4;  // how many of the last nodes make the output
  int64_t channels_before_last, channels_last, channels;
  bool reduction = false, reduction_before = false;
  bool plain = false;                         // see Space
  bool fuse = true;                           // all edges run as one op, where one can
  Precision precision = Precision::kFloat32;  // of a fused cell
  int64_t channel_share = 1;                  // see edge_hooks()
  std::string name = {};
  uint64_t seed = 0;  // with the name, of what a pass draws
};

class Cell : public Module {
 public:
  Cell(const CellOptions& options, DType dtype);
  // (N, H, W, .) twice -> (N, H', W', multiplier * channels).
  Tensor forward(const Tensor& before_last,
                 const Tensor& last,
                 const Mixture& mixture,
                 const Pass& pass,
                 const EdgeRates& rates = {}) const;

 private:
  // What a mixture runs of the edges, with all weights and normalisations in its order.
  struct Body {
    MixedCellSpec spec;
    std::vector<Tensor> weights;
    std::vector<const BatchNorm2d*> norms;
  };
  Body body(const std::vector<bool>& run) const;
  int64_t stride(const SpaceEdge& edge) const;
  Tensor composite(const Body& body,
                   const std::vector<Tensor>& inputs,
                   const Mixture& mixture,
                   const EdgeRates& rates,
                   const Pass& pass) const;

  const CellOptions options_;
  Block *preprocess_0_ = nullptr, *preprocess_1_ = nullptr;  // absent in a plain cell
  std::vector<MixedOp*> edges_;
};

struct NetworkOptions {
  int64_t image_channels = 3, classes = 10;
  int64_t layers = 8, channels = 16, steps = 4;
  int64_t multiplier = 4, stem_multiplier = 3;
  Space space = make_space("darts-cnn", steps);
  bool fuse = true;  // see CellOptions
  Precision precision = Precision::kFloat32;
  int64_t channel_share = 1;
  uint64_t seed = 0;
  DType dtype = DType::kFloat32;
};

// Cell i of a network is one that halves height and width and doubles the channels.
inline bool is_reduction(int64_t i, int64_t layers) {
  return i == layers / 3 || i == 2 * layers / 3;
}

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
  bool is_reduction(size_t cell) const { return cells_[cell].reduction; }
  // Of the passes from now on.
  void set_rates(const EdgeRates& rates) { rates_ = rates; }
  const EdgeRates& rates() const { return rates_; }

 private:
  struct Stage {  // one of the two
    const Cell* cell;
    const Block* fixed;
    bool reduction;
  };
  Tensor run(const Stage& stage,
             const Tensor& before_last,
             const Tensor& last,
             const CellMixtures& mixtures,
             const Pass& pass) const;

  const NetworkOptions options_;
  EdgeRates rates_;
  Conv2d& stem_;
  BatchNorm2d& stem_norm_;
  std::vector<Stage> cells_;
  BatchNorm2d* last_norm_ = nullptr;  // of a plain network
  Linear* classifier_;
};

struct ArchOptions {
  double deviation = 1e-3;    // of N(0, 1) that everything is drawn from
  bool edge_weights = false;  // also of edges
  uint64_t seed = 0;
  DType dtype = DType::kFloat32;
};
// The architecture parameters of a space: for each type of cell that has edges alphas (edges,
// candidates), and betas (edges) where edges have weights of their own.
class ArchParameters : public Module {
 public:
  ArchParameters(const Space& space, const ArchOptions& options);

  // Undefined where there are none.
  const Tensor& normal() const { return value(normal_); }
  const Tensor& reduce() const { return value(reduce_); }
  const Tensor& normal_edges() const { return value(normal_edges_); }
  const Tensor& reduce_edges() const { return value(reduce_edges_); }
  // alphas_normal, alphas_reduce, betas_normal, betas_reduce, as far as there are.
  Alphas alphas() { return Alphas(named_parameters()); }

 private:
  static const Tensor& value(const Parameter* p);

  const Parameter *normal_, *reduce_, *normal_edges_, *reduce_edges_;
};

}  // namespace oche::nas
