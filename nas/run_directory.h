// The directory that a search leaves behind: configuration, figures, checkpoints, result.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/directory_lock.h"
#include "nas/run_record.h"
#include "nas/search.h"

namespace oche::nas {

// config.toml     the merged configuration          genotype.json, genotype.txt  the result
// env.json        see environment_json()            weights.safetensors          see save_weights()
// metrics.csv, events.jsonl, genotypes.jsonl        normal.svg, reduce.svg       pictures of it, or
//                 see RunRecord                                                  .dot text
// ckpt/           see checkpoint_files.h            report.html                  all of it on a
// page A trace.json, which the tools add where they are asked for one, counts as part of a run.
enum class Existing { kRefuse, kReplace, kContinue };

struct RunOptions {
  int64_t keep_every = 0;         // see is_kept()
  double checkpoint_minutes = 0;  // between checkpoints within an epoch; 0: none
};

// Every file is written whole or appended to and synced. From the moment that start() returns,
// whenever the process is killed, the run can be continued from its newest checkpoint to the same
// bits. Errors of the file system come as IoError.
class RunDirectory {
 public:
  // Creates the directory. Throws std::invalid_argument if another process has one on it; or if it
  // holds anything, unless told to replace, when the files of a former run are removed and nothing
  // else, or to continue.
  RunDirectory(std::filesystem::path path, Existing existing, const RunOptions& options = {});

  const std::filesystem::path& path() const { return path_; }

  // First of all, either: checkpoints carry the configuration, and there is one from step 0 on.
  void start(Search& search, const std::string& config_toml);
  // The search has been brought to a checkpoint of this run, which carried the configuration: cuts
  // back what was recorded after it. Throws std::invalid_argument if config.toml differs. Returns
  // the environment_changes() since the start, which may cost the run its bits.
  std::vector<std::string> resume(const Search& search, const std::string& config_toml);

  // Once for each step and each epoch.
  void record_step(Search& search);
  void record_epoch(Search& search, const EpochReport& report);
  // Writes the result, or a checkpoint when the search was ended early, and the page. Returns the
  // files written, relative to the directory.
  std::vector<std::string> finish(Search& search, const SearchResult& result);

 private:
  using Clock = std::chrono::steady_clock;

  void remove_former_run() const;
  // Writes ckpt/NAME and removes what it supersedes. Returns the file, relative to the directory.
  std::filesystem::path save(Search& search, const std::string& name);
  std::string write_picture(const Genotype& genotype, std::string_view cell) const;

  RunOptions options_;
  std::filesystem::path path_;
  DirectoryLock lock_;
  RunRecord record_;
  std::string config_toml_;
  Clock::time_point saved_ = Clock::now();  // the newest checkpoint
};

}  // namespace oche::nas
