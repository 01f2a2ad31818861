// Estimates on the problems with known answers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/flat.h"
#include "nas/hypergradient.h"
#include "nas/inner_solver.h"
#include "nas/toy_problems.h"
#include "tests/support/catch.h"

namespace oche::nas {

inline Vector estimate(const ToyProblem& toy,
                       std::string_view name,
                       const EstimatorNumbers& numbers = {},
                       std::string* fault = nullptr) {
  const Estimator& e = find_estimator(name);
  EstimatorNumbers all = e.defaults();
  for (const auto& [key, value] : numbers) all.at(key) = value;
  const Hypergradient h = e.estimate(toy.bilevel, toy.step, all);
  if (fault) {
    *fault = h.fault;
  } else {
    CHECK(h.fault.empty());
  }
  return flatten(h.gradients);
}

inline void put(const ToyProblem& toy, const std::vector<Tensor>& weights) {
  for (size_t i = 0; i < weights.size(); ++i)
    toy.bilevel.weights[i].value = weights[i].clone().set_requires_grad(true);
}

inline double distance(const Vector& a, const Vector& b) {
  Vector d = a;
  add(d, -1, b);
  return norm(d) / norm(b);
}

// A toy with its weights at the optimum.
inline ToyProblem solved(std::string_view name, double decay = -1) {
  ToyProblem toy = make_toy_problem(name);
  if (decay >= 0) toy.step.weight_decay = decay;
  const InnerOptimum optimum = solve_inner(toy.bilevel, toy.step.weight_decay);
  REQUIRE(optimum.converged);
  put(toy, optimum.weights);
  return toy;
}

}  // namespace oche::nas
