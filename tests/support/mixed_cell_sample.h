// Cells of mixed ops with inputs and weights, for tests of the fused op against the composite.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "engine/autograd.h"
#include "engine/mixed_cell.h"
#include "tests/support/values.h"

namespace oche {

inline const std::vector<Branch>& darts_branches() {
  static const std::vector<Branch> all = {
      {.kind = BranchKind::kMaxPool},
      {.kind = BranchKind::kAveragePool},
      {.kind = BranchKind::kIdentity},
      {.kind = BranchKind::kSeparable, .kernel = 3, .blocks = 2},
      {.kind = BranchKind::kSeparable, .kernel = 5, .blocks = 2},
      {.kind = BranchKind::kSeparable, .kernel = 3, .dilation = 2},
      {.kind = BranchKind::kSeparable, .kernel = 5, .dilation = 2},
  };
  return all;
}

// An edge from each earlier state to each node, with the branches of `all` that runs(edge, branch)
// says. With stride 2 an identity becomes a factorized reduce.
inline MixedCellSpec cell_spec(
    int64_t steps,
    int64_t multiplier,
    int64_t stride,
    const std::function<bool(size_t, size_t)>& runs = [](size_t, size_t) { return true; },
    const std::vector<Branch>& all = darts_branches()) {
  MixedCellSpec spec{.steps = steps, .multiplier = multiplier, .edges = {}};
  for (int64_t to = 0; to < steps; ++to) {
    for (int64_t from = 0; from < 2 + to; ++from) {
      const size_t e = spec.edges.size();
      CellEdge edge{.from = from, .to = to, .stride = from < 2 ? stride : 1};
      for (size_t k = 0; k < all.size(); ++k) {
        if (!runs(e, k)) continue;
        edge.branches.push_back(all[k]);
        Branch& b = edge.branches.back();
        b.place = static_cast<int64_t>(e * all.size() + k);
        if (b.kind == BranchKind::kIdentity && edge.stride == 2)
          b.kind = BranchKind::kFactorizedReduce;
      }
      spec.edges.push_back(std::move(edge));
    }
  }
  return spec;
}

struct CellSample {
  MixedCellSpec spec;
  std::vector<Tensor> inputs;  // x0, x1, table, convolution weights; leaves

  CellSample(MixedCellSpec description,
             const Shape& x,
             DType dtype = DType::kFloat64,
             size_t candidates = darts_branches().size(),
             uint32_t seed = 1)
      : spec(std::move(description)) {
    const int64_t C = x[3];
    const auto add = [&](const Shape& shape, double scale) {
      ref::Values v = random_values(numel(shape), -scale, scale, 100 * seed++);
      inputs.push_back(cast(Tensor::from(v, shape), dtype).detach().set_requires_grad(true));
    };
    add(x, 2);
    add(x, 2);
    add({static_cast<int64_t>(spec.edges.size()), static_cast<int64_t>(candidates)}, 1);
    for (const CellEdge& e : spec.edges) {
      for (const Branch& b : e.branches) {
        for (int64_t i = 0; b.kind == BranchKind::kSeparable && i < b.blocks; ++i) {
          add({b.kernel, b.kernel, 1, C}, 0.5);
          add({1, 1, C, C}, 1);
        }
        if (b.kind == BranchKind::kFactorizedReduce) {
          add({1, 1, C, C / 2}, 1);
          add({1, 1, C, C - C / 2}, 1);
        }
      }
    }
  }
};

// y of either way, as a function of the inputs.
inline Tensor fused(const MixedCellSpec& spec, std::span<const Tensor> in) {
  return mixed_cell(spec, in[0], in[1], in[2], in.subspan(3)).y;
}
inline Tensor composite(const MixedCellSpec& spec, std::span<const Tensor> in) {
  return mixed_cell_composite(
      spec, in[0], in[1], in[2], in.subspan(3), {[&](int64_t, const Tensor& t) {
        return batch_norm(t, {}, {}, spec.eps).y;
      }});
}

inline std::vector<double> doubles(const Tensor& t) {
  return cast(t.detach(), DType::kFloat64).to_vector<double>();
}
// The largest difference over the largest element of `want`, or over `floor` if that is larger;
// infinite where something is not finite, or only one of them is defined.
inline double difference(const Tensor& got, const Tensor& want, double floor = 1e-3) {
  if (!got.defined() || !want.defined()) return got.defined() == want.defined() ? 0 : INFINITY;
  if (got.shape() != want.shape()) return INFINITY;
  const std::vector<double> a = doubles(got), b = doubles(want);
  double worst = 0, scale = floor;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(a[i] - b[i]);
    if (!std::isfinite(error)) return INFINITY;
    worst = std::max(worst, error);
    scale = std::max(scale, std::abs(b[i]));
  }
  return worst / scale;
}

}  // namespace oche
