// The checkpoints of a run: their names, their order, which of them stay, and the newest that is
// whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/safetensors.h"

namespace oche::nas {

// Where in its run a checkpoint was taken.
struct CheckpointFile {
  std::filesystem::path path;
  int64_t epoch = 0;  // from 1, of epoch-0003.safetensors: the epoch is complete and recorded
  int64_t step = 0;   // how many were done; step-00000123.safetensors was taken within an epoch
};

std::string epoch_checkpoint_name(int64_t epoch);
std::string step_checkpoint_name(int64_t step);

// The files with such names in a directory, oldest first; none where it is missing.
std::vector<CheckpointFile> list_checkpoints(const std::filesystem::path& directory,
                                             int64_t steps_per_epoch);

// True iff the checkpoint after `epoch` (from 1) outlives the ones that follow it: every
// keep_every-th epoch, or with 0 the first, the middle and the last one of the run.
bool is_kept(int64_t epoch, int64_t epochs, int64_t keep_every);

// The newest of the files, at least one and oldest first, that is a whole checkpoint. `tell` gets
// one line for each newer one: what is wrong with it and which is tried instead. When none is
// whole, throws what was wrong with the last one tried.
SafetensorsFile open_newest(const std::vector<CheckpointFile>& files,
                            const std::function<void(const std::string&)>& tell);

}  // namespace oche::nas
