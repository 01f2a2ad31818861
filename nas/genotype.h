// An architecture as data: which operation joins which nodes in the normal and the reduction cell,
// as JSON and as the text that the DARTS tools read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace oche::nas {

inline constexpr int kCellInputs = 2;         // the outputs of the two cells before
inline constexpr int kMaxGenotypeNodes = 64;  // intermediate nodes of one cell
inline constexpr size_t kMaxGenotypeBytes = size_t{1} << 20;

// States of a cell: 0 and 1 are its inputs, 2 and up its intermediate nodes.
struct GenotypeEdge {
  std::string op;  // a primitive's name, [a-z0-9_]+
  int from = 0;    // any state before `to`
  int to = 0;      // an intermediate node
  bool operator==(const GenotypeEdge&) const = default;
};

struct CellGenotype {
  std::vector<GenotypeEdge>
      edges;  // node after node, in score order inside a node; one edge may hold several ops
  std::vector<int> concat;  // the nodes that make the cell's output, increasing; a node without
                            // edges is zero
  bool operator==(const CellGenotype&) const = default;
};

struct Genotype {
  std::string space = "darts-cnn";
  CellGenotype normal, reduce;
  bool operator==(const Genotype&) const = default;
};

// Intermediate nodes, those without edges included: up to the last one that an edge or concat
// names.
int node_count(const CellGenotype& cell);

// Edges that lead to a node.
int edges_into(const CellGenotype& cell, int node);

// Edges that carry op.
int count_op(const CellGenotype& cell, std::string_view op);

// True iff edges lead from the cell's inputs to its output.
bool is_connected(const CellGenotype& cell);

// Throws std::invalid_argument unless names are well formed, every edge runs from an earlier state
// to a node, edges are grouped by node, and concat increases over the nodes; it is empty only in a
// cell of which nothing is left. Primitives are not looked up: a genotype may come from another
// space.
void validate(const Genotype& genotype);
void validate(const CellGenotype& cell);

// Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=range(2, 6), reduce=[...],
// reduce_concat=range(2, 6)). Throws std::invalid_argument unless there are nodes and every one has
// exactly two edges: pair i belongs to node 2 + i / 2. The text does not carry the space.
std::string to_text(const Genotype& genotype);
bool has_text(const Genotype& genotype);  // true iff to_text gives one

// Schema 1: {"schema": 1, "space": ..., "normal": {"edges": [[op, from, to], ...], "concat":
// [...]}, "reduce": ...}.
std::string to_json(const Genotype& genotype);

// Readers. They throw FormatError: "<source>: line 1, column 9: expected ..., found ..." (columns
// count bytes), or with the place inside the JSON document. The text form may be spread over lines,
// with Python comments, either quote, lists or tuples, keywords in any order, trailing commas and
// `NAME =` in front.
Genotype parse_genotype_text(std::string_view text, const std::string& source = "genotype");
Genotype parse_genotype_json(std::string_view text, const std::string& source = "genotype");

// Either form, or the name of a published genotype.
Genotype parse_genotype(std::string_view text, const std::string& source = "genotype");

// Of the readers: is op spelled as a primitive's name; FormatError iff text exceeds
// kMaxGenotypeBytes.
bool is_op_name(std::string_view op);
void check_genotype_size(std::string_view text, const std::string& source);

}  // namespace oche::nas
