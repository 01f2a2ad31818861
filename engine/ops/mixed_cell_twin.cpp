// A cell of mixed ops in small ops: what is run where the fused op is not, and what its higher
// derivatives are made of.
#include <fmt/format.h>

#include <stdexcept>

#include "engine/diagnose.h"
#include "engine/mixed_cell.h"

namespace oche {
namespace {

// The image a pixel further down and right; an odd side ends with zeros.
Tensor shifted(Tensor x) {
  for (const int dim : {1, 2}) {
    const int64_t size = x.size(dim);
    x = slice(x, dim, 1, size);
    if (size % 2 != 0) x = pad(x, dim, 0, 1);
  }
  return x;
}

Tensor separable_block(const Branch& b,
                       int64_t stride,
                       const Tensor& x,
                       const Tensor& depthwise,
                       const Tensor& pointwise) {
  const Conv2dOptions options{.stride = stride,
                              .padding = b.dilation * (b.kernel - 1) / 2,
                              .dilation = b.dilation,
                              .groups = x.size(3)};
  return conv2d(relu_conv2d(x, depthwise, options), pointwise);
}

}  // namespace

int64_t weight_count(const Branch& b) {
  if (b.kind == BranchKind::kSeparable) return 2 * b.blocks;
  return b.kind == BranchKind::kFactorizedReduce ? 2 : 0;
}
int64_t norm_count(const Branch& b) {
  if (b.kind == BranchKind::kSeparable) return b.blocks;
  return b.kind == BranchKind::kIdentity ? 0 : 1;
}
int64_t weight_count(const MixedCellSpec& spec) {
  int64_t count = 0;
  for (const CellEdge& edge : spec.edges) {
    for (const Branch& b : edge.branches) count += weight_count(b);
  }
  return count;
}
int64_t norm_count(const MixedCellSpec& spec) {
  int64_t count = 0;
  for (const CellEdge& edge : spec.edges) {
    for (const Branch& b : edge.branches) count += norm_count(b);
  }
  return count;
}

Tensor branch_forward(const Branch& b,
                      int64_t stride,
                      const Tensor& x,
                      std::span<const Tensor> weights,
                      const Normalise& normalise) {
  if (x.rank() != 4) {
    throw std::invalid_argument(
        fmt::format("branch: shape {}; expected (N, H, W, C)", to_string(x.shape())));
  }
  switch (b.kind) {
    case BranchKind::kMaxPool:
      return normalise(0, max_pool2d(x, {.stride = stride}));
    case BranchKind::kAveragePool:
      return normalise(0, avg_pool2d(x, {.stride = stride}));
    case BranchKind::kIdentity:
      return x;
    case BranchKind::kFactorizedReduce: {
      const Conv2dOptions options{.stride = stride};
      return normalise(0,
                       concat({relu_conv2d(x, weights[0], options),
                               relu_conv2d(shifted(x), weights[1], options)},
                              3));
    }
    case BranchKind::kSeparable:
      break;
  }
  Tensor y = x;
  for (int64_t i = 0; i < b.blocks; ++i) {
    y = normalise(i,
                  separable_block(b, i == 0 ? stride : 1, y, weights[2 * i], weights[2 * i + 1]));
  }
  return y;
}

Tensor mixed_cell_composite(const MixedCellSpec& spec,
                            const Tensor& x0,
                            const Tensor& x1,
                            const Tensor& table,
                            std::span<const Tensor> weights,
                            const Normalise& normalise) {
  std::vector<Tensor> states{x0, x1};
  Shape shape = x0.shape();  // of a node
  for (const CellEdge& edge : spec.edges) {
    if (edge.from > 1) continue;
    for (const int dim : {1, 2}) shape[dim] = (x0.size(dim) + edge.stride - 1) / edge.stride;
  }
  for (int64_t node = 0; node < spec.steps; ++node) {
    std::vector<Tensor> terms;
    std::vector<int64_t> places;
    int64_t weight = 0, norm = 0;
    for (size_t e = 0; e < spec.edges.size(); ++e) {
      const CellEdge& edge = spec.edges[e];
      for (const Branch& b : edge.branches) {
        if (edge.to == node) {
          const Label label(fmt::format("edge {}, {}", e, b.name));
          terms.push_back(
              branch_forward(b,
                             edge.stride,
                             states[edge.from],
                             weights.subspan(weight, weight_count(b)),
                             [&](int64_t i, const Tensor& t) { return normalise(norm + i, t); }));
          places.push_back(b.place);
        }
        weight += weight_count(b);
        norm += norm_count(b);
      }
    }
    if (terms.empty()) {
      states.push_back(Tensor::zeros(shape, x0.dtype(), x0.device()));
      continue;
    }
    const Label label(fmt::format("node {}", node));
    states.push_back(mixed_sum(table, places, terms));
  }
  return concat({states.end() - spec.multiplier, states.end()}, 3);
}

}  // namespace oche
