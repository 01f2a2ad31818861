// What happens around the candidates of an edge: which channels they see, and what is dropped.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/mixed_cell.h"
#include "engine/nn.h"

namespace oche::nas {

// Probabilities that move with the epoch. They hold in the phases of a step; whatever is kept of a
// dropped value's kind is scaled by 1 / (1 - p).
struct EdgeRates {
  double skip_dropout = 0;  // of an element behind a skip connection of stride 1 (P-DARTS,
                            // arXiv:1904.12760, sec. 3.3)
  double op_dropout = 0;    // of a candidate's result, image by image
  double drop_path = 0;     // of an edge's sum, image by image (RobustDARTS, arXiv:1909.09656)
  bool any() const { return skip_dropout > 0 || op_dropout > 0 || drop_path > 0; }
  bool operator==(const EdgeRates&) const = default;
};

// Which random numbers a cell draws.
struct CellRandom {
  uint64_t seed = 0;
  std::string_view cell = {};  // its module's name
  const Pass* pass = nullptr;

  // Those of one edge, or of one of its candidates.
  RandomAddress at(Purpose purpose, size_t edge, std::string_view candidate = {}) const;
};

// Partial channels (PC-DARTS, arXiv:1907.05737, sec. 3.2): the first 1 / `share` of the channels
// pass the candidates, the others pass by, at stride 2 through a 2x2 maximum. Then the channels are
// shuffled in `share` groups: channel g * (C / share) + i goes to i * share + g.
Tensor shuffle_channels(const Tensor& x, int64_t groups);

// For mixed_cell_composite(). `edge_weights` (edges), undefined: 1, scale all of an edge, what
// passes by included.
EdgeHooks edge_hooks(int64_t share,
                     const Tensor& edge_weights,
                     const EdgeRates& rates,
                     const CellRandom& random);

// Softmax over the edges into one node: (edges) -> (edges). `sizes` counts the edges into each
// node.
Tensor node_softmax(const Tensor& beta, const std::vector<int64_t>& sizes);

}  // namespace oche::nas
