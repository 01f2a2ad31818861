// Pictures of cells: DOT text with one colour per kind of operation, laid out to SVG by Graphviz.
#include "nas/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#if OCHE_HAVE_GRAPHVIZ
#include <gvc.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "engine/error.h"
#endif

namespace oche::nas {
namespace {

struct Kind {
  std::string_view prefix, line, text;
};

// Lines are a step lighter than the names beside them.
constexpr std::array kKinds{Kind{"skip", "#9AA3AD", "#5F6B78"},
                            Kind{"max_pool", "#D08A52", "#9C5B26"},
                            Kind{"avg_pool", "#D08A52", "#9C5B26"},
                            Kind{"sep_", "#4F86BD", "#27598C"},
                            Kind{"dil_", "#9273B8", "#64458C"}};
constexpr Kind kOther{"", "#4E9E8E", "#27705F"};

const Kind& kind_of(std::string_view op) {
  const auto kind =
      std::ranges::find_if(kKinds, [&](const Kind& k) { return op.starts_with(k.prefix); });
  return kind == kKinds.end() ? kOther : *kind;
}

// A DOT string whose label reads as text does: Graphviz expands backslash escapes and HTML entities
// in labels.
std::string label(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"') {
      result += "\\\"";
    } else if (c == '\\') {
      result += "\\\\";
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '\n') {
      result += "\\n";
    } else {
      result += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
    }
  }
  return result + '"';
}

std::string state_name(int state) {
  return state < kCellInputs ? fmt::format("in{}", state)
                             : fmt::format("node{}", state - kCellInputs);
}

// Subscripts are Unicode characters: Graphviz 2.42 loses memory on every HTML-like label.
constexpr std::string_view kHeader = R"(digraph cell {
  graph [rankdir=LR, nodesep=0.32, ranksep=0.55, pad=0.2, bgcolor=white, outputorder=edgesfirst];
  graph [fontname="Helvetica", fontsize=15, fontcolor="#333B45", labelloc=t];
  node [shape=box, style="rounded,filled", penwidth=1.3, height=0.5, width=0.55, margin="0.13,0.05"];
  node [fontname="Helvetica", fontsize=14, fontcolor="#333B45", fillcolor="#DFE9F4", color="#7E9CBF"];
  edge [fontname="Helvetica", fontsize=11, penwidth=1.5, arrowsize=0.7];
  in0 [label="cₖ₋₂", fillcolor="#E0EEDD", color="#86AE7E"];
  in1 [label="cₖ₋₁", fillcolor="#E0EEDD", color="#86AE7E"];
  out [label="cₖ", fillcolor="#F8EDCF", color="#CDAA5B"];
  {rank=min; in0 -> in1 [style=invis];}
  {rank=max; out;}
)";

}  // namespace

std::string cell_to_dot(const CellGenotype& cell, std::string_view title) {
  validate(cell);
  std::string dot(kHeader);
  if (!title.empty()) dot += fmt::format("  label={};\n", label(fmt::format("{}\n ", title)));
  std::set<int> states(cell.concat.begin(), cell.concat.end());
  for (const GenotypeEdge& edge : cell.edges) states.insert({edge.from, edge.to});
  for (int node = 0; node < node_count(cell); ++node) {
    if (!states.contains(kCellInputs + node)) continue;
    const bool empty = edges_into(cell, kCellInputs + node) == 0;
    dot += fmt::format("  node{0} [label=\"{0}\"{1}];\n",
                       node,
                       empty ? R"(, style="rounded,dashed", color="#9AA3AD")" : "");
    // Keeps it in the column of the nodes, as a source it would drift.
    if (empty) dot += fmt::format("  in1 -> node{} [style=invis];\n", node);
  }
  if (cell.concat.empty()) dot += "  in1 -> out [style=invis];\n";
  for (const auto& [op, from, to] : cell.edges) {
    const Kind& kind = kind_of(op);
    dot += fmt::format("  {} -> {} [label={}, color=\"{}\", fontcolor=\"{}\"];\n",
                       state_name(from),
                       state_name(to),
                       label(" " + op + " "),
                       kind.line,
                       kind.text);
  }
  for (const int node : cell.concat) {
    dot += fmt::format("  {} -> out [color=\"#C3C8CE\", arrowsize=0.6];\n", state_name(node));
  }
  return dot + "}\n";
}

#if OCHE_HAVE_GRAPHVIZ

std::optional<std::string> dot_to_svg(const std::string& dot) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  agseterr(AGMAX);  // messages are kept for aglasterr instead of printed
  agreseterrors();
  struct Free {
    void operator()(GVC_t* context) const { gvFreeContext(context); }
    void operator()(Agraph_t* graph) const { agclose(graph); }
    void operator()(char* text) const { std::free(text); }
  };
  // One context for good: the text plugin keeps a pointer to the last font name, which the context
  // owns.
  static const std::unique_ptr<GVC_t, Free> context(gvContext());
  const std::unique_ptr<Agraph_t, Free> graph(agmemread(dot.c_str()));
  if (!graph || agerrors() != 0) {
    const std::unique_ptr<char, Free> message(aglasterr());
    throw std::invalid_argument("dot_to_svg: Graphviz refuses the text: " +
                                quote(message ? message.get() : "no graph"));
  }
  if (gvLayout(context.get(), graph.get(), "dot") != 0) return std::nullopt;
  char* data = nullptr;
  unsigned int size = 0;
  std::optional<std::string> svg;
  if (gvRenderData(context.get(), graph.get(), "svg", &data, &size) == 0) svg.emplace(data, size);
  gvFreeRenderData(data);
  gvFreeLayout(context.get(), graph.get());
  return svg;
}

#else

std::optional<std::string> dot_to_svg(const std::string&) {
  return std::nullopt;
}

#endif

}  // namespace oche::nas
