// A search in safetensors files: checkpoints, weight files, and the states that a search starts
// from. Convolution weights are OIHW in all of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/safetensors.h"
#include "nas/decision.h"
#include "nas/search.h"

namespace oche::nas {

// All that a search continues from, in one file with checksum: arrays w/NAME, buffer/NAME,
// momentum/NAME, and alpha/T, adam_m/T, adam_v/T for the cell types T = normal, reduce, as far as
// they are searched; where edges have weights of their own also beta/T, adam_m/beta_T,
// adam_v/beta_T. Metadata: kind "oche-checkpoint", schema, sha256, config (the merged
// configuration, TOML), seed, the stage and its space (JSON, see
// space.h), what the network has to be, what makes
// weights and a genotype of alphas, the genotype so far where it has a text; and the
// SearchProgress: epoch (how many are complete), step, and of the epoch under way train_loss_sum,
// search_loss_sum, seconds, peak_bytes; and adam_step. Random numbers and batches are addressed by
// seed and step, so there is no generator to keep.
void save_checkpoint(const std::filesystem::path& path,
                     Search& search,
                     const std::string& config_toml);

// Throws FormatError unless the file is a checkpoint, and whole.
void verify_checkpoint(const SafetensorsFile& file);
// A checkpoint that is whole. Throws IoError, or FormatError for any other file.
SafetensorsFile open_checkpoint(const std::filesystem::path& path);
// Puts a new search, of the same configuration and images, where the saved one was: it runs on to
// the same bits. Throws FormatError if the two do not fit; the search is then half overwritten.
void load_checkpoint(Search& search, const SafetensorsFile& checkpoint);

// Parameters and buffers under their bare names: a state_dict of the original network. What the
// network has to be is in the metadata. The file carries a checksum as well.
void save_weights(const std::filesystem::path& path, Search& search);

// What the metadata says of `key`, as a whole or a floating number. Throws FormatError for anything
// else.
template <typename T>
T metadata_number(const SafetensorsFile& file, const std::string& key);

// The alphas of a checkpoint or state file (alpha/normal, alpha/reduce, beta/normal, beta/reduce)
// or of a plain array file (alphas_normal, ...), in the file's precision, and their space: what the
// metadata says, else that of DARTS with as many steps as the edges make. Throws FormatError where
// there are none, where they do not fit the space, or are not finite, and for a damaged file of
// ours.
struct SavedAlphas {
  AlphaTables tables;
  Space space;
};
SavedAlphas read_alphas(const SafetensorsFile& file);

// Overwrites weights with those of a checkpoint or state file (w/NAME) or a weight file (bare
// names), and also buffers, momentum and alphas as far as the file holds them. Adam starts afresh.
// Throws FormatError for a damaged file of ours and for arrays that are missing, too many, or of
// another shape than the network's; the state is then half overwritten.
void load_initial_state(SearchState& state, const SafetensorsFile& file);

}  // namespace oche::nas
