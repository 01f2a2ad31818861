// report.html: a run on one page.
#pragma once

#include <filesystem>
#include <string>

#include "nas/report/report_data.h"

namespace oche::nas::report {

// A whole HTML page that needs nothing else: pictures are SVG within it, there are no scripts, and
// its colours follow the reader's choice of light or dark. It says nothing that the run directory
// does not hold, so that equal records make equal pages.
std::string make_page(const ReportData& data);

// The page of the run in `directory`. Throws as read_report_data() does.
std::string page_of(const std::filesystem::path& directory);

}  // namespace oche::nas::report
