// The directory that a search leaves behind: configuration, figures, checkpoints, result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "nas/search.h"

namespace oche::nas {

// config.toml     the merged configuration          genotype.json, genotype.txt  the result
// env.json        see environment_json()            weights.safetensors          see save_weights()
// metrics.csv     see EpochMetrics                  normal.svg, reduce.svg       pictures of it, or
// events.jsonl    start, epochs and end                                          .dot text
// genotypes.jsonl alphas and cells of each epoch    ckpt/epoch-0001.safetensors  see
// save_checkpoint()
// A trace.json, which the tools add where they are asked for one, counts as part of a run.
enum class Existing { kRefuse, kReplace };

// True iff the checkpoint after `epoch` (from 1) outlives the ones that follow it: every
// keep_every-th epoch, or with 0 the first, the middle and the last one of the run.
bool is_kept(int64_t epoch, int64_t epochs, int64_t keep_every);

// Every file is written whole or appended to and synced, so a kill loses at most what was under
// way. Errors of the file system come as IoError.
class RunDirectory {
 public:
  // Creates the directory. Throws std::invalid_argument if it holds anything, unless told to
  // replace: then the files of a former run are removed, and nothing else.
  RunDirectory(std::filesystem::path path, Existing existing, int64_t keep_every = 0);

  const std::filesystem::path& path() const { return path_; }

  void write_config(const std::string& toml);  // first of all: checkpoints carry it
  void write_environment(const std::string& json) const;

  // In this order, record_epoch() once for each epoch.
  void record_start(Search& search) const;
  void record_epoch(Search& search, const EpochReport& report) const;
  // Writes the result, or just a checkpoint, ckpt/step-00000123.safetensors, when the search was
  // ended early. Returns the files written, relative to the directory.
  std::vector<std::string> finish(Search& search, const SearchResult& result) const;

 private:
  void remove_former_run() const;
  void drop_checkpoint(int64_t epoch, int64_t epochs) const;
  std::string write_picture(const Genotype& genotype, std::string_view cell) const;

  std::filesystem::path path_;
  int64_t keep_every_;
  std::string config_toml_;
};

}  // namespace oche::nas
