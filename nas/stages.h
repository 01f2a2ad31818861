// A search in stages: each begins with fresh weights and alphas, and keeps of the candidates of an
// edge those that the stage before found best (P-DARTS, arXiv:1904.12760, sec. 3.2).
#pragma once

#include <cstdint>
#include <vector>

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

// The rate of skip dropout in epoch e of E: p0 (E - e - 1) / E while the alphas rest, and
// p0 exp(-0.2 (e - alpha_from)) from then on (P-DARTS, as in its code), where the configuration
// wants it to fall; else p0.
double skip_dropout_at(const SearchConfig& stage, int64_t epoch);

}  // namespace oche::nas
