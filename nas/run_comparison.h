// What two runs found, side by side.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "nas/decision.h"
#include "nas/genotype.h"

namespace oche::nas {

// A line of genotypes.jsonl.
struct EpochArchitecture {
  int64_t epoch;       // from 1
  AlphaTables alphas;  // (edges, candidates) each, and (edges) of edges themselves; float64
  Genotype genotype;
};

// The newest of the run in `directory`; nullopt before the end of its first epoch. Throws
// FormatError naming file and line for one that is malformed.
std::optional<EpochArchitecture> read_newest_architecture(const std::filesystem::path& directory);

// The edges of two cells: the same where both have the same operation between the same nodes.
struct EdgeComparison {
  std::vector<GenotypeEdge> shared, only_first, only_second;
};
EdgeComparison compare_edges(const CellGenotype& first, const CellGenotype& second);

// Of the difference of two tables and, for scale, of the tables themselves: Euclidean norms, and
// the largest absolute element.
struct AlphaDistance {
  double norm, largest;
  double norm_first, norm_second;
};
// nullopt for tables of different shapes.
std::optional<AlphaDistance> alpha_distance(const Tensor& first, const Tensor& second);

}  // namespace oche::nas
