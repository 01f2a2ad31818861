// A study of gradients on one HTML page.
#pragma once

#include <string>
#include <vector>

#include "tools/gradient_study.h"

namespace oche::tools {

// Plots of what there is: cosine by epoch, error against what is swept, error and bias by
// candidate, cost against error; the tables as text. Needs nothing else, as report.html.
std::string gradient_page(const std::vector<Study>& studies);

}  // namespace oche::tools
