// What a search changes, and one step of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/optim.h"
#include "nas/arch_gradient.h"
#include "nas/data/batch.h"
#include "nas/decision.h"
#include "nas/network.h"
#include "nas/perturbation.h"
#include "nas/regulariser.h"
#include "nas/search_config.h"

namespace oche::nas {

// A network under search, with all that a step changes. It knows nothing of data sets.
class SearchState {
 public:
  // The space is that of the configuration, or what a stage left of it.
  SearchState(const SearchConfig& config, int64_t image_channels, int64_t classes);
  SearchState(const SearchConfig& config, Space space, int64_t image_channels, int64_t classes);
  const Relaxation& relaxation() const { return *relaxation_; }
  ~SearchState();

  const Space space;
  Network network;
  ArchParameters arch;
  Sgd sgd;
  Adam adam;

  struct StepResult {
    double train_loss, validation_loss;  // of the task alone
    double gradient_norm;                // before clipping
  };
  // One alpha step on the estimator's gradient and one weight step on `train` (DARTS alg. 1), in
  // the schedule's order; where the estimator is joint, both from one pass over `train`.
  // `lr` is the weights' rate of this step; `index` counts steps from 0 over the whole search.
  // Throws NonFinite naming the place, or OutOfMemory naming the op. Whatever is thrown, weights,
  // statistics, alphas and moments are then as before, to the bit, and the step can be repeated.
  StepResult step(const Batch& train, const Batch& validation, double lr, int64_t index);

  AlphaTables alphas() const;
  // What the cells of a pass run: the noise, if any, is that of its step and phase.
  CellMixtures mixtures(const Pass& pass = {}) const;
  // Of the relaxation, until it is set anew; recorded steps follow.
  void set_temperature(double temperature);
  double temperature() const { return temperature_.item(); }
  // Of the perturbation, likewise.
  void set_radius(double radius);
  // Of edges, of the steps from now on; a step is recorded anew when they have changed.
  void set_edge_rates(const EdgeRates& rates) { network.set_rates(rates); }
  // While the alphas rest, a step measures their loss and leaves them and their moments alone.
  void rest_alphas(bool rest) { alphas_rest_ = rest; }

  // Of the task alone, as the alpha half of a step sees it, on a batch of the search half.
  Tensor search_loss(const Batch& batch, int64_t index) const;
  // The problem that the estimators see: batch statistics, nothing moves.
  // `task` takes the validation loss without the regulariser, when it is evaluated.
  Bilevel bilevel(const Batch& train,
                  const Batch& validation,
                  int64_t index,
                  Tensor* task = nullptr);
  InnerStep inner_step(double lr) const;

  // On a CUDA device: whether steps are recorded, after the first, and replayed. Same bits.
  void use_graphs(bool wanted) { graphs_ = wanted; }
  bool uses_graphs() const { return graphs_; }
  // Of the step that is recorded, if one is: its kernels, copies and fills, and the memory they
  // share.
  struct RecordedCost {
    int64_t launches, arena_bytes;
  };
  std::optional<RecordedCost> recorded_cost() const;

 private:
  Pass pass(int64_t index, Phase phase) const;
  Tensor loss(const Batch& batch, const Pass& pass) const;
  Tensor loss(const Batch& batch, const CellMixtures& mixtures, const Pass& pass) const;
  // Of the weight half, which the perturbation has been at. The alphas are frozen.
  CellMixtures train_mixtures(const Batch& train, const Pass& pass);
  struct AlphaLoss {
    Tensor task, regularised;
  };
  AlphaLoss alpha_loss(const Batch& batch, const Pass& pass) const;
  std::span<const CellCosts> costs(const Batch& batch) const;  // where the regulariser wants them
  ArchGradientResult alpha_gradient(const Batch& train, const Batch& validation, int64_t index);
  struct WeightGradient;
  WeightGradient weight_gradient(const Batch& train, int64_t index);
  enum class Half : int64_t { kAlpha = 1, kWeights = 2 };  // also what the flag says
  std::vector<Half> halves() const;                        // of a step, in order
  void run_half(Half half, const Batch& train, const Batch& validation, int64_t index);
  // What the first of them changes.
  std::vector<Tensor> moved_first();
  // The two halves of a step. They read nothing back, and update nothing once the flag is up.
  void move_alphas(const std::vector<Tensor>& gradients);
  void alpha_step(const Batch& train, const Batch& validation, int64_t index);
  void weight_step(const Batch& train, int64_t index);
  void run_step(const Batch& train, const Batch& validation, int64_t index);
  // Does the half again that put up the flag, to name the place.
  [[noreturn]] void fail(int64_t flag, const Batch& train, const Batch& validation, int64_t index);

  const SearchConfig config_;
  std::unique_ptr<Relaxation> relaxation_;
  std::unique_ptr<Perturbation> perturbation_;
  std::unique_ptr<ArchGradient> arch_gradient_;
  std::unique_ptr<Regulariser> regulariser_;
  mutable std::vector<CellCosts> costs_;  // for images of one size
  // What a step takes and leaves, where the weights are.
  Tensor rate_, temperature_, radius_;  // (), of their dtype
  Tensor numbers_;                      // f64: the rate, Adam's two corrections
  Tensor losses_;                       // of their dtype: validation, train
  Tensor squares_;                      // f64: the squared norm of the weight gradient
  Tensor flag_;                         // i64: 0, or the half that met a value that is not finite
  Tensor step_;                         // i64: its number
  const int64_t* step_at_ = nullptr;    // where that lies, while a step runs
  std::vector<Tensor> counters_;        // of the batches that layers have seen, on the CPU

  struct Recorded;
  std::unique_ptr<Recorded> recorded_;
  bool graphs_ = true, warm_ = false, alphas_rest_ = false;
};

}  // namespace oche::nas
