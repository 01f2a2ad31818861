// Pictures of cells: DOT text, and SVG where Graphviz is built in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nas/genotype.h"

namespace oche::nas {

// A left-to-right digraph: the two cell inputs, intermediate nodes from 0 as the papers count them,
// and the output. An arrow is one operation, coloured by its kind; grey arrows gather the output; a
// node without edges is dashed. title is UTF-8 and may be empty. Throws std::invalid_argument
// unless validate(cell) passes.
std::string cell_to_dot(const CellGenotype& cell, std::string_view title);

// The laid-out picture of DOT text; std::invalid_argument if that is malformed. nullopt iff this
// build has no Graphviz, or Graphviz finds none of its plugins. Calls are serialised, as Graphviz
// has global state.
std::optional<std::string> dot_to_svg(const std::string& dot);

}  // namespace oche::nas
