// What a study of gradients leaves: a table, JSON, CSV, arrays, a page.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/gradient_study.h"
#include "tools/json_output.h"

namespace oche::tools {

// The columns over pairs of batches are means; +- is the deviation.
std::string study_table(const Study& study);
// Each estimator's means and deviations, and its groups (docs/formats.md).
Json to_json(const Study& study);
// A line for each estimator, point of a run, pair and group ("all": everything); `valid` is 1 where
// nothing is wrong with the estimate, its start and its reference.
std::string csv_of(const std::vector<Study>& studies);
// <estimator>/<alphas> and reference/<alphas>, f64, the means over the pairs; of several points of
// a run behind "epoch-N/".
void dump(const std::filesystem::path& path, const std::vector<Study>& studies);

}  // namespace oche::tools
