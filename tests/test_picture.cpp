// Pictures of cells: the DOT text, and its layout where Graphviz is built in.
#include <set>
#include <stdexcept>
#include <string>

#include "nas/picture.h"
#include "nas/published.h"
#include "tests/support/catch.h"

namespace oche::nas {
namespace {

const CellGenotype kTwoOpsOnAnEdge{
    {{"skip_connect", 0, 2}, {"sep_conv_5x5", 0, 2}, {"skip_connect", 1, 2}}, {2}};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

TEST_CASE("picture: DOT shows every edge once, coloured by kind", "[picture]") {
  const std::string dot = cell_to_dot(find_published("DARTS_V2")->normal, "normal");
  CHECK(dot.starts_with("digraph cell {"));
  CHECK(dot.ends_with("}\n"));
  CHECK(contains(dot, "rankdir=LR"));
  CHECK(contains(dot, "label=\"normal"));
  CHECK(occurrences(dot, "sep_conv_3x3") == 5);
  CHECK(occurrences(dot, "skip_connect") == 2);
  CHECK(occurrences(dot, "in1 -> node0 [label=\" sep_conv_3x3 \"") == 1);
  CHECK(occurrences(dot, "node0 -> node3 [label=\" dil_conv_3x3 \"") == 1);
  CHECK(occurrences(dot, "-> out [") == 4);
  CHECK(occurrences(dot, "dashed") == 0);

  std::set<std::string> colours;
  for (const std::string op :
       {"skip_connect", "max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3", "dil_conv_3x3", "x"}) {
    const std::string line = cell_to_dot({{{op, 0, 2}}, {2}}, "");
    const size_t at = line.find("color=", line.find("in0 -> node0"));
    colours.insert(line.substr(at, 15));
  }
  CHECK(colours.size() == 5);  // both pools share one
}

TEST_CASE("picture: all 14 edges, and nothing of an invalid cell", "[picture]") {
  CellGenotype cell{{}, {2, 3, 4, 5}};
  for (int to = 2; to < 6; ++to) {
    for (int from = 0; from < to; ++from) cell.edges.push_back({"none", from, to});
  }
  CHECK(occurrences(cell_to_dot(cell, ""), "[label=\" none \"") == 14);
  CHECK(occurrences(cell_to_dot(cell, ""), "  label=") == 0);
  cell.edges[0].op = "a\"b";
  CHECK_THROWS_AS(cell_to_dot(cell, ""), std::invalid_argument);
}

TEST_CASE("picture: nodes without edges and parallel edges", "[picture]") {
  const CellGenotype cell{{{"skip_connect", 0, 2}, {"dil_conv_3x3", 3, 4}}, {2, 3, 4}};
  const std::string empty = cell_to_dot(cell, "");
  CHECK(occurrences(empty, "node1 [label=\"1\", style=\"rounded,dashed\"") == 1);
  CHECK(occurrences(empty, "dashed") == 1);
  CHECK(occurrences(empty, "in1 -> node1 [style=invis]") == 1);
  CHECK(occurrences(cell_to_dot(kTwoOpsOnAnEdge, ""), "in0 -> node0 [label=") == 2);
}

TEST_CASE("picture: a node that is not there, and an empty cell", "[picture]") {
  const CellGenotype gap{{{"skip_connect", 0, 2}, {"dil_conv_3x3", 2, 4}}, {4}};
  const std::string dot = cell_to_dot(gap, "");
  CHECK(occurrences(dot, "node1") == 0);
  CHECK(occurrences(dot, "node0 -> node2 [label=") == 1);
  CHECK(occurrences(dot, "-> out [color") == 1);
  const std::string empty = cell_to_dot({}, "");
  CHECK(occurrences(empty, "node0") == 0);
  CHECK(occurrences(empty, "in1 -> out [style=invis]") == 1);
  for (const std::string& text : {dot, empty}) {
    const auto svg = dot_to_svg(text);
    CHECK((!svg || contains(*svg, "cₖ₋₁")));
  }
}

TEST_CASE("picture: titles are escaped", "[picture]") {
  const std::string dot = cell_to_dot(kTwoOpsOnAnEdge, "a \"b\" \\N & <c>\x01\nd");
  CHECK(contains(dot, R"(label="a \"b\" \\N &amp; <c> \nd\n )"));
}

TEST_CASE("picture: Graphviz lays it out", "[picture]") {
  const auto svg = dot_to_svg(cell_to_dot(kTwoOpsOnAnEdge, "a \"b\" \\N &lt; <c>"));
  if (!svg) SKIP("built without Graphviz");
  CHECK(contains(*svg, "<svg"));
  CHECK(svg->ends_with("</svg>\n"));
  CHECK(contains(*svg, "a &quot;b&quot; \\N &amp;lt; &lt;c&gt;"));
  CHECK(occurrences(*svg, "class=\"node\"") == 4);
  CHECK(occurrences(*svg, "skip_connect") == 2);
  for (const std::string bad : {"", "digraph {", "not a graph"}) {
    CHECK_THROWS_AS(dot_to_svg(bad), std::invalid_argument);
  }
  CHECK(dot_to_svg("digraph { a -> b }").has_value());  // an error leaves nothing behind
}

}  // namespace
}  // namespace oche::nas
