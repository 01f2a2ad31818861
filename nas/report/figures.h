// The plots of the page.
#pragma once

#include <string>

#include "nas/report/report_data.h"

namespace oche::nas::report {

// The figures of metrics.csv over the epochs, as <figure> elements. One epoch is enough.
std::string metric_figures(const std::vector<EpochMetrics>& epochs);

// For every edge a small plot of the weights of its candidates over the epochs, with a legend for
// all: edges that lead to one node in a row, all axes alike. Where edges have weights of their own,
// these are drawn as well. `rows` and `own` choose the cell's weights, `derived` what its last
// epoch kept.
std::string weight_figures(const std::vector<SpaceEdge>& edges,
                           const std::vector<EpochCells>& epochs,
                           EdgeRows CandidateWeights::*rows,
                           std::vector<double> CandidateWeights::*own,
                           const CellGenotype& derived);

}  // namespace oche::nas::report
