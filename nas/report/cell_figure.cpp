// A derived cell on the page.
#include "nas/report/cell_figure.h"

#include <fmt/format.h>

#include <optional>

#include "nas/picture.h"
#include "nas/report/html.h"

namespace oche::nas::report {
namespace {

// Takes out every piece from `begin` to the next `end`, both included.
void remove_pieces(std::string& text, std::string_view begin, std::string_view end) {
  for (size_t at = text.find(begin); at != text.npos; at = text.find(begin, at)) {
    const size_t stop = text.find(end, at + begin.size());
    if (stop == text.npos) return;
    text.erase(at, stop + end.size() - at);
  }
}

}  // namespace

std::string state_label(int state) {
  if (state >= kCellInputs) return fmt::format("{}", state - kCellInputs);
  return state == 0 ? "cₖ₋₂" : "cₖ₋₁";
}

std::string cell_picture(const CellGenotype& cell, std::string_view title) {
  std::optional<std::string> svg = dot_to_svg(cell_to_dot(cell, ""));
  if (!svg) return "";
  const size_t begin = svg->find("<svg");
  if (begin == svg->npos) return "";
  svg->erase(0, begin);
  remove_pieces(*svg, "<!--", "-->\n");
  remove_pieces(*svg, " id=\"", "\"");
  const size_t end_of_tag = svg->find('>');
  svg->insert(end_of_tag + 1, fmt::format("\n<title>{}</title>", escape(title)));
  svg->insert(4, R"( class="cell" role="img")");
  return *svg;
}

std::string cell_table(const CellGenotype& cell) {
  std::string html =
      "<table>\n<thead><tr><th>from</th><th>to</th><th>operation</th></tr></thead>\n<tbody>\n";
  for (const auto& [op, from, to] : cell.edges) {
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                        state_label(from),
                        state_label(to),
                        escape(op));
  }
  html += "</tbody>\n</table>\n";
  std::string output;
  for (const int node : cell.concat) output += (output.empty() ? "" : ", ") + state_label(node);
  return html + fmt::format("<p class=\"note\">{}</p>\n",
                            output.empty()
                                ? "Nothing is left of this cell."
                                : fmt::format("Output cₖ: nodes {}, side by side.", output));
}

}  // namespace oche::nas::report
