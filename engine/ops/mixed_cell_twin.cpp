// A cell of mixed ops in small ops: what is run where the fused op is not, and what its higher
// derivatives are made of.
#include <fmt/format.h>

#include <algorithm>
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

Shape strided(Shape shape, int64_t stride) {
  for (const int dim : {1, 2}) shape[dim] = (shape[dim] + stride - 1) / stride;
  return shape;
}

// Results of branches with the places of their weights.
struct Terms {
  std::vector<Tensor> xs;
  std::vector<int64_t> places;

  Tensor sum(const Tensor& table) const {  // undefined iff there are none
    return xs.empty() ? Tensor() : mixed_sum(table, places, xs);
  }
};

}  // namespace

int64_t weight_count(const Branch& b) {
  switch (b.kind) {
    case BranchKind::kSeparable:
      return 2 * b.blocks;
    case BranchKind::kFactorizedReduce:
      return 2;
    case BranchKind::kConvolution:
      return 1;
    default:
      return 0;
  }
}
int64_t norm_count(const Branch& b) {
  switch (b.kind) {
    case BranchKind::kSeparable:
      return b.blocks;
    case BranchKind::kIdentity:
    case BranchKind::kNoise:
      return 0;
    default:
      return b.normalised ? 1 : 0;
  }
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

bool has_fused(const MixedCellSpec& spec) {
  return std::ranges::all_of(spec.edges, [](const CellEdge& edge) {
    return std::ranges::all_of(edge.branches, [](const Branch& b) {
      return b.kind != BranchKind::kConvolution && b.kind != BranchKind::kNoise && b.normalised;
    });
  });
}

Tensor branch_forward(const Branch& b,
                      int64_t stride,
                      const Tensor& x,
                      std::span<const Tensor> weights,
                      const BranchContext& context) {
  if (x.rank() != 4) {
    throw std::invalid_argument(
        fmt::format("branch: shape {}; expected (N, H, W, C)", to_string(x.shape())));
  }
  const Normalise& normalise = context.normalise;
  const auto pooled = [&](const Tensor& y) { return b.normalised ? normalise(0, y) : y; };
  switch (b.kind) {
    case BranchKind::kMaxPool:
      return pooled(max_pool2d(x, {.stride = stride}));
    case BranchKind::kAveragePool:
      return pooled(avg_pool2d(x, {.stride = stride}));
    case BranchKind::kIdentity:
      return x;
    case BranchKind::kNoise:
      return context.noise(strided(x.shape(), stride));
    case BranchKind::kConvolution:
      return normalise(
          0, relu_conv2d(x, weights[0], {.stride = stride, .padding = (b.kernel - 1) / 2}));
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
                            const CellContext& context) {
  std::vector<Tensor> states{x0, x1};
  Shape shape = x0.shape();  // of a node
  for (const CellEdge& edge : spec.edges) {
    if (edge.from <= 1) shape = strided(x0.shape(), edge.stride);
  }
  for (int64_t node = 0; node < spec.steps; ++node) {
    Terms of_node;
    std::vector<Tensor> sums;  // of edges, where each is looked at by itself
    int64_t weight = 0, norm = 0;
    for (size_t e = 0; e < spec.edges.size(); ++e) {
      const CellEdge& edge = spec.edges[e];
      Terms of_edge;
      Terms& terms = context.hooks ? of_edge : of_node;
      for (const Branch& b : edge.branches) {
        if (edge.to == node) {
          const Label label(fmt::format("edge {}, {}", e, b.name));
          const Tensor& state = states[edge.from];
          Tensor y = branch_forward(
              b,
              edge.stride,
              context.hooks ? context.hooks->before(state) : state,
              weights.subspan(weight, weight_count(b)),
              {[&](int64_t i, const Tensor& t) { return context.normalise(norm + i, t); },
               [&](const Shape& s) { return context.noise(e, s); }});
          terms.xs.push_back(context.hooks ? context.hooks->branch(e, b, y) : std::move(y));
          terms.places.push_back(b.place);
        }
        weight += weight_count(b);
        norm += norm_count(b);
      }
      if (!context.hooks || edge.to != node) continue;
      const Label label(fmt::format("edge {}", e));
      if (const Tensor sum =
              context.hooks->after(e, edge.stride, states[edge.from], of_edge.sum(table)))
        sums.push_back(sum);
    }
    const Label label(fmt::format("node {}", node));
    Tensor state = of_node.sum(table);
    for (const Tensor& s : sums) state = state ? state + s : s;
    states.push_back(state ? state : Tensor::zeros(shape, x0.dtype(), x0.device()));
  }
  return concat({states.end() - spec.multiplier, states.end()}, 3);
}

}  // namespace oche
