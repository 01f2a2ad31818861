// A search held still: at a checkpoint, or in a state that PyTorch wrote, with batches to study it
// on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nas/checkpoint_files.h"
#include "nas/search.h"

namespace oche::tools {

struct FreezeOptions {
  std::optional<DType> dtype = {};  // else that of the run; a state file: f64
  std::string data = {};            // where its data set lies, if not where it lay
  bool fuse = true;                 // false: cells in small ops
};

class FrozenSearch {
 public:
  // From a checkpoint of ours, with the configuration that it carries. Throws FormatError for any
  // other file, and DataError without its data.
  static FrozenSearch from_checkpoint(const std::filesystem::path& path,
                                      const FreezeOptions& options);
  // From a state file as the peer in benchmarks/peers writes them: weights, alphas, a batch of each
  // half. Throws FormatError naming what is missing or does not fit.
  static FrozenSearch from_state(const std::filesystem::path& path, const FreezeOptions& options);

  nas::SearchState& state() { return search_ ? search_->state() : *state_; }
  const nas::SearchConfig& config() const { return config_; }  // of the stage
  double rate() const { return rate_; }                        // of the weights' next step
  int64_t epoch() const { return epoch_; }                     // how many are complete
  int64_t step() const { return step_; }
  const std::string& source() const { return source_; }

  struct Pair {
    nas::Batch train, validation;
  };
  // How many there may be: of a state file one.
  std::optional<int64_t> most_pairs() const;
  // See Search::study_batches(); of a state file its own, whole.
  Pair pair(int64_t k, int64_t size) const;

 private:
  std::string source_;
  nas::SearchConfig config_;
  std::unique_ptr<nas::Dataset> images_;
  std::unique_ptr<nas::Search> search_;
  std::unique_ptr<nas::SearchState> state_;  // of a state file, and its batches
  std::optional<Pair> own_;
  double rate_ = 0;
  int64_t epoch_ = 0, step_ = 0;
};

// A checkpoint, or those of a run directory after complete epochs, oldest first: all, or those of
// `epochs`. Throws UsageError where there is none, naming those that there are.
std::vector<std::filesystem::path> checkpoints_of(const std::filesystem::path& path,
                                                  const std::vector<int64_t>& epochs);

}  // namespace oche::tools
