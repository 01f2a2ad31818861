// Bilevel problems small enough to be solved on paper, or to the last digit.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/nn.h"
#include "nas/arch_gradient.h"

namespace oche::nas {

// Owns what the losses of `bilevel` are made of.
struct ToyProblem {
  std::string name;
  std::vector<std::unique_ptr<Parameter>> parameters;
  Bilevel bilevel;
  InnerStep step;
  std::vector<double> hypergradient;    // in closed form; empty where there is none
  std::vector<std::string> candidates;  // columns of its alphas; empty where they are no table
};

//   quadratic  L_train = 1/2 (w - a)^T H (w - a), L_val = 1/2 |w - c|^2 with H = diag(10, 1, 0.1),
//              a = 0, c = 1, from w = 1/2: w* = a, and the hypergradient is a - c, whatever H
//   ridge      L_train = |Xw - y|^2 / 2n + 1/2 e^a |w|^2, L_val of two other points, a = -1
//   toy        a supernet of one cell without kinks: 32 images of 8x8, a convolution, two nodes of
//              4 channels, on each of their three edges a softmax over an identity, a convolution
//              of tanh and an average pool; cross entropy, weight decay 0.01
// In f64, or in f32 where that is asked for. Throws std::invalid_argument for another name.
ToyProblem make_toy_problem(std::string_view name, DType dtype = DType::kFloat64);
std::span<const std::string_view> toy_problem_names();

}  // namespace oche::nas
