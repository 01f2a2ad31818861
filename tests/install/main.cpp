// Uses an installed oche: a convolution, its gradient, a genotype.
#include <cstdio>
#include <string>
#include <vector>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/runtime.h"
#include "nas/genotype.h"
#include "nas/published.h"

int main() {
  // y = sum of a 2x2 box filter over a 3x3 image: each pixel counts as often as a box covers it.
  const oche::Tensor x = oche::Tensor::ones({1, 3, 3, 1}, oche::DType::kFloat32);
  const oche::Tensor w = oche::Tensor::ones({2, 2, 1, 1}, oche::DType::kFloat32);
  x.set_requires_grad(true);
  const oche::Tensor y = oche::sum(oche::conv2d(x, w));
  const std::vector<oche::Tensor> gradients = oche::grad(y, std::vector{x});
  std::printf("%g:", y.item());
  for (const float g : gradients[0].to_vector<float>()) std::printf(" %g", static_cast<double>(g));

  const oche::nas::Genotype& darts = *oche::nas::find_published("DARTS_V2");
  const std::string text = oche::nas::to_text(darts);
  const bool same = oche::nas::parse_genotype_text(text) == darts;
  std::printf("\n%zu edges, %s\n", darts.normal.edges.size(), same ? "read back" : "changed");
  std::printf("%s\n", std::string(oche::instruction_set()).c_str());
}
