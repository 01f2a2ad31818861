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
  size_t candidate;
  double score;
};

class Decision {
 public:
  virtual ~Decision() = default;
  virtual std::string_view name() const = 0;
  // scores: (edges, candidates), of a cell of `steps` nodes of which the last `multiplier` make the
  // output. Throws std::invalid_argument for another shape.
  CellGenotype derive(const Tensor& scores, int64_t steps, int64_t multiplier) const;

 private:
  // What one node keeps, best first. `all` are the candidates of its edges, best first; those that
  // score the same by predecessor, then in the order of the primitives.
  virtual std::vector<Choice> choose(const std::vector<Choice>& all) const = 0;
  // True iff nodes without edges go, from the output and from nodes behind them; else they are
  // zero.
  virtual bool drops_empty_nodes() const { return false; }
};

struct DecisionOptions {
  double threshold = 0.85;
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
// `none` is kept by no rule, and competes in all-edges alone. Throws std::invalid_argument for
// another name, naming them, and for options out of range.
std::unique_ptr<Decision> make_decision(std::string_view name, const DecisionOptions& options = {});
std::span<const std::string_view> decision_names();

struct AlphaTables {
  Tensor normal, reduce;
};
// Of both cells, by the relaxation's scores in float64.
Genotype derive(const Decision& decision,
                const Relaxation& relaxation,
                const AlphaTables& alphas,
                int64_t steps,
                int64_t multiplier);

// Weight 1 for what the genotype kept; nothing else is run.
CellMixtures discrete_mixtures(const Genotype& genotype, int64_t steps, DType dtype);

}  // namespace oche::nas
