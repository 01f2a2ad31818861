// From architecture parameters to the weights of the candidates.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/random.h"
#include "engine/tensor.h"

namespace oche::nas {

// What a mixed op multiplies its candidates with. A candidate outside the mask is not run and gets
// no gradient; a weight that happens to be 0 means nothing special.
struct Mixture {
  Tensor weights;            // (edges, candidates)
  std::vector<bool> run;     // the mask, same order
  Tensor edge_weights = {};  // (edges), factors of whole edges; undefined: 1
};

// What a relaxation may look at besides the alphas.
struct MixtureInput {
  Tensor temperature;                   // shape (), of the alphas' dtype; undefined: 1
  RandomAddress noise;                  // of this table in this pass
  std::vector<int64_t> costliest = {};  // of each edge the candidate that a dry run takes for drawn
};

class Relaxation {
 public:
  virtual ~Relaxation() = default;
  virtual std::string_view name() const = 0;
  // alpha: (edges, candidates), of one type of cell.
  virtual Mixture mix(const Tensor& alpha, const MixtureInput& input) const = 0;
  // What decisions compare, within an edge and between edges: weights without noise at temperature
  // 1, same shape.
  virtual Tensor scores(const Tensor& alpha) const = 0;
  // An edge's weights are not negative and sum to 1.
  virtual bool simplex_rows() const { return true; }
  // Weights that are not what the gradient goes through: that is nobody's derivative, and has none.
  virtual bool straight_through() const { return false; }
  // MixtureInput::temperature counts.
  virtual bool has_temperature() const { return false; }
  // The mask is drawn anew in each pass, on the host.
  virtual bool draws_mask() const { return false; }
};

//   softmax       softmax of an edge's alphas (DARTS, arXiv:1806.09055, eq. 2)
//   sigmoid       each alpha by itself (Fair DARTS, arXiv:1911.12126, sec. 4.1)
//   gumbel-soft   softmax((alpha + G) / T), G standard Gumbel noise (SNAS, arXiv:1812.09926, eq. 4)
//   gumbel-hard   of that the largest entry runs, with weight 1 and the gradient of the soft one
//                 (GDAS, arXiv:1910.04465, eq. 3 to 7)
// Throws std::invalid_argument naming them for another name.
std::unique_ptr<Relaxation> make_relaxation(std::string_view name);
std::span<const std::string_view> relaxation_names();

// The formulas by themselves. `noise` has alpha's shape, temperature () or undefined.
Tensor gumbel_softmax(const Tensor& alpha, const Tensor& noise, const Tensor& temperature);
// hard + (soft - soft): the values of `hard`, the gradient of `soft`.
Tensor straight_through(const Tensor& hard, const Tensor& soft);
// 1 at the first largest entry of each row.
struct RowMaxima {
  Tensor one_hot;
  std::vector<bool> where;
};
// In a dry run at the columns `in_dry_run`.
RowMaxima row_maxima(const Tensor& x, const std::vector<int64_t>& in_dry_run = {});

Mixture softmax_mixture(const Tensor& alpha);

// Standard normal numbers.
Tensor random_normal(const Shape& shape, DType dtype, const RandomAddress& at);

}  // namespace oche::nas
