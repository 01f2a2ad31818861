// What the candidates of a network cost.
#include "nas/costs.h"

#include "nas/genotype.h"

namespace oche::nas {
namespace {

struct Cost {
  int64_t parameters, operations, memory;
};

// A convolution of `weights` weights from `in` to `out` channels at `pixels` pixels of its result.
Cost convolution(int64_t weights, int64_t pixels, int64_t stride, int64_t in, int64_t out) {
  return {weights, weights * pixels, pixels * (stride * stride * in + out) + weights};
}

void add(Cost& sum, const Cost& more) {
  sum.parameters += more.parameters;
  sum.operations += more.operations;
  sum.memory += more.memory;
}

// C channels, `pixels` of the result.
Cost cost_of(const Branch& b, int64_t C, int64_t pixels, int64_t stride) {
  switch (b.kind) {
    case BranchKind::kMaxPool:
    case BranchKind::kAveragePool:
      return {0, 9 * pixels * C, pixels * (stride * stride + 1) * C};
    case BranchKind::kIdentity:
      return {0, 0, 2 * pixels * C};
    case BranchKind::kNoise:
      return {};
    case BranchKind::kConvolution:
      return convolution(b.kernel * b.kernel * C * C, pixels, stride, C, C);
    case BranchKind::kFactorizedReduce: {
      Cost sum = convolution(C * (C / 2), pixels, stride, C, C / 2);
      add(sum, convolution(C * (C - C / 2), pixels, stride, C, C - C / 2));
      return sum;
    }
    case BranchKind::kSeparable:
      break;
  }
  Cost sum{};
  for (int64_t i = 0; i < b.blocks; ++i) {
    add(sum, convolution(b.kernel * b.kernel * C, pixels, i == 0 ? stride : 1, C, C));
    add(sum, convolution(C * C, pixels, 1, C, C));
  }
  return sum;
}

CellCosts costs_of_cell(
    const CellSpace& space, bool reduction, bool plain, int64_t C, int64_t pixels, DType dtype) {
  std::vector<double> parameters, operations, memory;
  for (const SpaceEdge& edge : space.edges) {
    const int64_t stride = reduction && edge.from < kCellInputs ? 2 : 1;
    for (const std::string& name : edge.candidates) {
      const std::optional<Branch> branch = primitive_branch(name, stride, plain);
      const Cost cost = branch ? cost_of(*branch, C, pixels, stride) : Cost{};
      parameters.push_back(static_cast<double>(cost.parameters));
      operations.push_back(static_cast<double>(cost.operations));
      memory.push_back(static_cast<double>(cost.memory));
    }
  }
  const auto table = [&](const std::vector<double>& values) {
    return cast(Tensor::from(values, {space.rows(), space.columns()}), dtype);
  };
  return {reduction, table(parameters), table(operations), table(memory)};
}

}  // namespace

std::vector<CellCosts> costs_of(const NetworkOptions& o, int64_t height, int64_t width) {
  std::vector<CellCosts> costs;
  int64_t channels = o.channels;
  for (int64_t i = 0; i < o.layers; ++i) {
    const bool reduction = is_reduction(i, o.layers);
    if (reduction) {
      channels *= 2;
      height = (height + 1) / 2;
      width = (width + 1) / 2;
    }
    const CellSpace& space = reduction ? o.space.reduce : o.space.normal;
    if (space.rows() == 0) continue;
    costs.push_back(costs_of_cell(
        space, reduction, o.space.plain, channels / o.channel_share, height * width, o.dtype));
  }
  return costs;
}

}  // namespace oche::nas
