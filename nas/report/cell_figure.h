// A derived cell on the page.
#pragma once

#include <string>
#include <string_view>

#include "nas/genotype.h"

namespace oche::nas::report {

// A state as the pictures call it: "cₖ₋₂", "cₖ₋₁", then nodes from "0" on.
std::string state_label(int state);

// The picture of nas/picture.h as an <svg> element of a page, titled: without prolog, comments and
// ids, which a page may have once only. Empty in a build that lays out none.
std::string cell_picture(const CellGenotype& cell, std::string_view title);

// A <table> of the cell's edges and what makes its output.
std::string cell_table(const CellGenotype& cell);

}  // namespace oche::nas::report
