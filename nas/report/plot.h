// Line plots as SVG, for a page whose style sheet has the colours.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oche::nas::report {

// A line: y over x, of the same length. What is not drawable leaves a gap; a point without
// neighbours is a dot.
struct Series {
  std::string label;
  std::string style;  // classes of its line: "k3 dashed"
  std::vector<double> x, y;
};

struct Plot {
  std::string title;             // for who cannot see it; the page shows it above
  std::string x_label, y_label;  // with the unit
  std::vector<Series> series = {};
  std::optional<std::pair<double, double>> x_range = {}, y_range = {};  // else what the series need
  bool from_zero = false;  // the y axis reaches to zero
  bool whole = false;      // y counts; x always does
  bool legend = true;      // names the lines above the plot
  bool small = false;      // one of many
  int width = 420, height = 240;
};

// An <svg> element with a <title>, both axes with ticks at round numbers and their labels, and for
// each series an element <g class="line STYLE"> with its own <title>. The same bytes for the same
// plot. Throws std::invalid_argument where a series has x and y of different lengths.
std::string line_plot(const Plot& plot);

// The plot as a <figure> with a caption, which is HTML.
std::string figure(std::string_view caption, const Plot& plot);

// An <svg> element that names lines by their styles, in rows of at most `width`.
std::string line_legend(const std::vector<Series>& series, int width);

}  // namespace oche::nas::report
