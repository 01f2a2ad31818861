// A search in stages: each begins with fresh weights and alphas, and keeps of the candidates of an
// edge those that the stage before found best (P-DARTS, arXiv:1904.12760, sec. 3.2).
#pragma once

#include <cstdint>
#include <vector>

#include "nas/edge.h"
#include "nas/search_config.h"
#include "nas/space.h"

namespace oche::nas {

// How many the configuration has: as many as the lists of its settings are long, 1 if all are
// empty. Throws std::invalid_argument naming the setting for a list that is none, or of another
// length, for candidates that do not fall from those of the space to 1 or more, or for stages of
// unequal length.
int64_t stage_count(const SearchConfig& config);
// What stage i is searched with: its epochs alone, its layers, its skip dropout.
SearchConfig stage_config(const SearchConfig& config, int64_t stage);
// How many candidates an edge has in stage i.
int64_t stage_candidates(const SearchConfig& config, int64_t stage);

// Leaves on each edge the `count` candidates with the largest scores, in their order; of those that
// score the same the first goes first.
CellSpace shrunk(const CellSpace& space, const EdgeRows& scores, int64_t count);

// True iff `space` is `all` with `count` of the candidates on each edge.
bool is_left_of(const Space& space, const Space& all, int64_t count);

// What moves with the epochs of a stage, e of E from 0:
//   temperature     evenly from first to last (GDAS, SNAS)
//   perturb_radius  evenly, and would reach its end in epoch E (SmoothDARTS)
//   skip dropout    as it is; with the curve p-darts p0 (E - e - 1) / E while the alphas rest, then
//                   p0 exp(-0.2 (e - alpha_from)) (P-DARTS, as in its code)
//   drop-path       as it is; with the curve linear p e / (E - 1) (RobustDARTS)
struct EpochNumbers {
  bool alphas_rest;
  double temperature, perturb_radius;
  EdgeRates rates;
};
EpochNumbers epoch_numbers(const SearchConfig& stage, int64_t epoch);

}  // namespace oche::nas
