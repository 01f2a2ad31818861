// The search: two halves of the images, one bilevel step for each pair of batches, a report for
// each epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "nas/data/dataset.h"
#include "nas/data/feed.h"
#include "nas/decision.h"
#include "nas/edge_record.h"
#include "nas/search_config.h"
#include "nas/search_state.h"
#include "nas/stop.h"

namespace oche::nas {

// How far a search has come. With the SearchState, all that the rest of it depends on: images and
// random numbers are addressed by step.
struct SearchProgress {
  int64_t epochs = 0;  // reported
  int64_t steps = 0;   // over all epochs
  // Of the epoch under way: sums over its steps so far, the time they took, the peak of tensors.
  double train_loss = 0, validation_loss = 0, seconds = 0;
  int64_t peak_bytes = 0;
};

struct StepReport {
  int64_t epoch, step, steps;  // within the epoch
  double train_loss, validation_loss, images_per_second;
};

struct EpochReport {
  int64_t epoch;
  double lr;
  double train_loss, validation_loss;  // means over the epoch's steps
  double train_accuracy,
      search_accuracy;  // running statistics, no augmentation, a fixed subset of each half
  double
      discrete_accuracy;  // of the derived cells with the same weights, on the search half's subset
  Genotype genotype;
  CandidateWeights weights;           // at its end
  double temperature;                 // of the relaxation
  double seconds, images_per_second;  // of the whole epoch; of its steps alone
  int64_t peak_bytes;                 // of tensors
  std::optional<double>
      eigenvalue;  // of the alphas' Hessian, the largest, where the stop wanted it
  double discretisation_gap() const { return search_accuracy - discrete_accuracy; }
};

class SearchObserver {
 public:
  virtual ~SearchObserver() = default;
  virtual void on_step(const StepReport&) {}
  virtual void on_epoch(const EpochReport&) {}
  // Asked after each step; false ends the search there.
  virtual bool keep_going() { return true; }
};

struct SearchResult {
  Genotype genotype;
  double train_accuracy, search_accuracy, discrete_accuracy;  // over the whole halves
  bool finished;                                              // false when the observer ended it
  std::optional<Ending> ending;                               // what the stop said, if it ended it
};

class Search {
 public:
  Search(const SearchConfig& config, const Dataset& images);

  // Begins stage `index` with fresh weights and alphas of this space, what is left of the
  // configuration's. Throws std::invalid_argument where there is no such stage.
  void begin_stage(int64_t index, Space space);
  int64_t stage() const { return stage_; }

  // Goes on from here in place of the start; the state is to be brought there as well. Throws
  // std::invalid_argument where a search of this configuration and these images never comes.
  void continue_from(const SearchProgress& progress);
  SearchResult run(SearchObserver& observer);

  // Of the present stage: another one begins with another.
  SearchState& state() { return *state_; }
  const SearchConfig& config() const { return config_; }
  const SearchConfig& stage_config() const { return stage_config_; }
  const SearchProgress& progress() const { return progress_; }
  // What the stop remembers, and what it said in the end: part of where a search is.
  struct Stopped {
    std::unique_ptr<Stop> stop;
    std::optional<Ending> ending;
  };
  Stopped& stopped() { return stopped_; }
  int64_t steps_per_epoch() const;  // the last short batch is dropped
  Genotype genotype() const;
  // Of the weights, in the step that comes next; after the last one, in that.
  double rate() const;
  // The k-th pair of batches of `size` images from a fixed shuffle of each half, without
  // augmentation: what the present weights are studied on. {train, validation}.
  std::pair<Batch, Batch> study_batches(int64_t k, int64_t size) const;

 private:
  void next_stage();
  CellMixtures discrete_mixtures(const Genotype& genotype) const;
  void ask_stop(EpochReport& report);
  double largest_eigenvalue();
  // Whatever moves with the epoch.
  void set_epoch();
  // Returns false when the observer ended the search.
  bool run_epoch(SearchObserver& observer);
  std::pair<Batch, Batch> next_batches();  // validation, train
  Pass last_pass() const;  // whose noise accuracies are measured with, where mixtures have any
  double accuracy(const std::vector<int64_t>& images, const CellMixtures& mixtures) const;

  const SearchConfig config_;
  const int64_t stages_;
  int64_t stage_ = 0;
  SearchConfig stage_config_;
  const Dataset& images_;
  std::vector<int64_t> train_images_, search_images_;
  std::unique_ptr<const Decision> decision_;
  std::unique_ptr<SearchState> state_;
  SearchProgress progress_;
  Stopped stopped_;
  std::optional<BatchFeed> train_feed_, search_feed_;  // the latter unless one level
};

// What a search will take, found by walking one step through without data (see DryRun).
struct SearchCost {
  int64_t weights, alphas;  // how many; of the largest stage, as is what follows
  int64_t macs_per_image;   // multiply-adds of one forward pass
  int64_t tensor_bytes;     // the most that tensors hold at once in a step
  int64_t memory_bytes;     // what the process holds for tensors on the CPU, images and batches
  int64_t device_bytes;     // what tensors take of a device that is not the CPU
  int64_t steps;            // of the whole search
};
SearchCost estimate_cost(const SearchConfig& config, const DatasetShape& set);

}  // namespace oche::nas
