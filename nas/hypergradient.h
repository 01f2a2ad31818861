// Estimators of the hypergradient dL_val(w*(alpha), alpha)/dalpha, and references for them.
//
// With w* = argmin over w of L_train + decay / 2 |w|^2, H its Hessian there, A = d2L_train /
// (dalpha dw) and v = dL_val/dw, it is dL_val/dalpha - A H^-1 v (the implicit function theorem),
// where the weights are w*; elsewhere that formula is one more estimate.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/arch_gradient.h"

namespace oche::nas {

struct Hypergradient {
  std::vector<Tensor> gradients = {};  // one for each alpha
  int64_t passes = 0;                  // forward and backward; an exact product counts as two
  std::vector<double> residuals = {};  // of a linear system, relative, after each iteration
  std::string fault = {};              // what makes it invalid, with its number; else empty
  // |dL_train/dw + decay w|, where an estimator rests on that being 0.
  std::optional<double> inner_gradient = {};
};

// The numbers of an estimator by name. All of them.
using EstimatorNumbers = std::map<std::string, double, std::less<>>;
// One that is among them.
inline double number(const EstimatorNumbers& n, std::string_view name) {
  return n.find(name)->second;
}
inline int64_t whole(const EstimatorNumbers& n, std::string_view name) {
  return static_cast<int64_t>(number(n, name));
}

// What a number may be; finite always.
enum class Takes {
  kPositive,
  kNotNegative,
  kCount,   // a whole number from 1
  kWhole,   // a whole number from 0
  kPoints,  // of a difference: 1, 2 or 4
  kChoice,  // 0 or 1
};
struct EstimatorNumber {
  std::string_view name;
  double value;  // by default
  std::string_view what;
  Takes takes;
};
struct Estimator {
  std::string_view name, what, source;
  // For problems small enough: bilevel-difference is the hypergradient itself, dense-implicit where
  // the weights solve the inner problem.
  bool reference;
  std::vector<EstimatorNumber> numbers;
  Hypergradient (*run)(const Bilevel& problem,
                       const InnerStep& step,
                       const EstimatorNumbers& numbers);

  EstimatorNumbers defaults() const;
  // Throws std::invalid_argument unless these are all of its numbers, each as it may be.
  void check(const EstimatorNumbers& numbers) const;
  // At the problem's weights, which `step` moves. Leaves weights, alphas and their gradients as
  // they were, to the bit. Checks the numbers; throws std::invalid_argument for a problem too
  // large.
  Hypergradient estimate(const Bilevel& problem,
                         const InnerStep& step,
                         const EstimatorNumbers& numbers) const;
};

std::span<const Estimator> estimators();
// Throws std::invalid_argument naming all for another name.
const Estimator& find_estimator(std::string_view name);

}  // namespace oche::nas
