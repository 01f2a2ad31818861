// From scores of candidates to a genotype, and back to a mixture that runs only what the genotype
// kept.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "nas/genotype.h"
#include "nas/network.h"

namespace oche::nas {

// One candidate of one edge into a node.
struct Choice {
  int from;
  std::string_view op;
  double score;
};

enum class CellType { kNormal, kReduce };

class Decision {
 public:
  virtual ~Decision() = default;
  virtual std::string_view name() const = 0;
  // scores: (edges, candidates), of a cell of `steps` nodes of which the last `multiplier` make the
  // output. Throws std::invalid_argument for another shape. Of a cell without edges nothing is
  // left.
  CellGenotype derive(const Tensor& scores,
                      const CellSpace& space,
                      int64_t steps,
                      int64_t multiplier,
                      CellType type = CellType::kNormal) const;

 private:
  // Changes scores, row by row of the space, before nodes choose.
  virtual void prepare(std::vector<double>&, const CellSpace&, CellType) const {}
  // What one node keeps, best first. `all` are the candidates of its edges, best first; those that
  // score the same by predecessor, then in the order of the candidates.
  virtual std::vector<Choice> choose(const std::vector<Choice>& all) const = 0;
  // True iff nodes without edges go, from the output and from nodes behind them; else they are
  // zero.
  virtual bool drops_empty_nodes() const { return false; }
};

struct DecisionOptions {
  double threshold = 0.85;
  int64_t skips = 2;
};

//   top2        of each node's edges the two best, each with its best candidate (DARTS,
//               arXiv:1806.09055, sec. 2.4)
//   top2-pairs  the two best candidates of each node, which may lie on one edge (GDAS,
//               arXiv:1910.04465, as in its code)
//   all-edges   on each edge the best candidate; the edge goes where that is `none` (SNAS,
//               arXiv:1812.09926, as in its code)
//   threshold   top2, of which stays what scores at least options.threshold. Nodes without edges
//               go, and with them what they alone led to; nothing may be left (Fair DARTS,
//               arXiv:1911.12126, as in its code)
//   progressive of each node's edges the two best, in order of their predecessors, each with its
//               best candidate; of what scores the same the later edge, the last candidate. While a
//               normal cell has more than options.skips skip connections, the one that scores least
//               is taken for 0, and all is decided anew (P-DARTS, arXiv:1904.12760, as in its code)
// `none` is kept by no rule, and competes in all-edges alone. Throws std::invalid_argument for
// another name, naming them, and for options out of range.
std::unique_ptr<Decision> make_decision(std::string_view name, const DecisionOptions& options = {});
std::span<const std::string_view> decision_names();

// (edges, candidates) for each type of cell, and (edges) where edges have weights of their own;
// undefined where there are none.
struct AlphaTables {
  Tensor normal, reduce;
  Tensor normal_edges = {}, reduce_edges = {};
};
// Of both cells, by the relaxation's scores in float64, times the softmax of the edges' own weights
// over the edges into a node.
Genotype derive(const Decision& decision,
                const Relaxation& relaxation,
                const AlphaTables& alphas,
                const Space& space,
                int64_t multiplier);

// Weight 1 for what the genotype kept; nothing else is run. With partial channels an edge
// `bypasses` some whatever its candidates: then an edge of which nothing was kept has the factor 0.
CellMixtures discrete_mixtures(const Genotype& genotype,
                               const Space& space,
                               DType dtype,
                               bool bypasses = false);

}  // namespace oche::nas
