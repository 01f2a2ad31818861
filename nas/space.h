// Search spaces as data: which edges a cell has, and what may stand on each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oche::nas {

// Numbers of one cell type: for each edge one for each of its candidates.
using EdgeRows = std::vector<std::vector<double>>;

// States of a cell are numbered as in a genotype: 0 and 1 are its inputs, 2 and up its nodes.
struct SpaceEdge {
  int from, to;
  std::vector<std::string> candidates;  // primitives, in the order of the columns of alpha
  bool operator==(const SpaceEdge&) const = default;
};

// One type of cell. Its edges, node after node and within a node by predecessor, are the rows of a
// table of alphas; every edge has as many candidates. Without edges nothing is searched: the cell
// is a residual block.
struct CellSpace {
  std::vector<SpaceEdge> edges;

  int64_t rows() const { return std::ssize(edges); }
  int64_t columns() const { return edges.empty() ? 0 : std::ssize(edges.front().candidates); }
  // How many weights each candidate has with as many channels as in the first cell of DARTS; -1 for
  // `none`, which is less than what runs without any.
  EdgeRows sizes() const;
  // Of each edge the candidate with the most.
  std::vector<int64_t> costliest() const;
  bool has(std::string_view primitive) const;  // on any edge
  // How many edges lead into each node that has any, in order.
  std::vector<int64_t> edges_into_nodes() const;
  bool operator==(const CellSpace&) const = default;
};

struct Space {
  std::string name;
  int64_t steps;  // nodes of a cell
  CellSpace normal, reduce;
  // True: a cell takes the cell before alone, as its state 1, and as it is; pools are not
  // normalised, and the network ends in a normalisation and a relu. Else as in DARTS.
  bool plain = false;

  bool has(std::string_view primitive) const {
    return normal.has(primitive) || reduce.has(primitive);
  }
  bool operator==(const Space&) const = default;
};

//   darts-cnn          the eight primitives of DARTS on every edge (arXiv:1806.09055, sec. 3.1.1)
//   darts-cnn-no-none  the same without `none` (Fair DARTS, SmoothDARTS, DARTS-PT)
//   darts-s1           two primitives on each edge, others on every one, of cells of 4 steps
//   darts-s2           skip_connect, sep_conv_3x3
//   darts-s3           none, skip_connect, sep_conv_3x3
//   darts-s4           noise, sep_conv_3x3        (s1 to s4: RobustDARTS, arXiv:1909.09656, sec. 3)
//   nas-bench-201      five primitives on the six edges of a cell with one input and 3 steps, whose
//                      last one is the output; reductions are residual blocks (arXiv:2001.00326)
// `steps` is the number of nodes where the space leaves it open. Throws std::invalid_argument for
// another name, naming them, and for a number of steps that the space does not have.
Space make_space(std::string_view name, int64_t steps);
std::span<const std::string_view> space_names();

// True iff reduction cells of this space are not searched; also for names that are not known:
// false.
bool has_fixed_reduction(std::string_view name);

// What a space fixes of the network; 0 where it leaves it open.
struct SpaceSizes {
  int64_t steps = 0, multiplier = 0, stem_multiplier = 0, layers = 0;
};
SpaceSizes sizes_of(std::string_view name);

// Edges of a cell where every node has all states before it as predecessors.
int64_t edge_count(int64_t steps);
inline int64_t first_edge(int64_t node) {
  return node * (node + 3) / 2;
}

// {"name": "darts-s2", "steps": 4, "plain": false, "normal": [[0, 2, ["skip_connect",
// "sep_conv_3x3"]], ...], "reduce": [...]}, on one line. The reader throws FormatError with the
// place inside the document, also for edges out of order, of unequal length, or with a primitive
// that is not known.
std::string to_json(const Space& space);
Space parse_space(std::string_view json, const std::string& source = "space");

}  // namespace oche::nas
