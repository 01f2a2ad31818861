// What happens around the candidates of an edge.
#include "nas/edge.h"

#include <fmt/format.h>

#include "engine/ops.h"

namespace oche::nas {
namespace {

// The maximum of each 2x2 pixels; an odd side ends with its last pixels once more.
Tensor halved(Tensor x) {
  for (const int dim : {1, 2}) {
    const int64_t size = x.size(dim);
    if (size % 2 != 0) x = concat({x, slice(x, dim, size - 1, size)}, dim);
  }
  return max_pool2d(x, {.kernel = 2, .stride = 2, .padding = 0});
}

// 1 / (1 - p) or 0 for each image.
Tensor image_mask(const Tensor& like, double p, const RandomAddress& at) {
  return dropout(Tensor::full({like.size(0), 1, 1, 1}, 1, like.dtype()), p, at);
}

}  // namespace

RandomAddress CellRandom::at(Purpose purpose, size_t edge, std::string_view candidate) const {
  const uint64_t module = module_id(fmt::format("{}._ops.{}.{}", cell, edge, candidate));
  return pass->random(random_key(seed, module, purpose));
}

Tensor shuffle_channels(const Tensor& x, int64_t groups) {
  const Shape& s = x.shape();
  const Tensor apart = reshape(x, {s[0], s[1], s[2], groups, s[3] / groups});
  return reshape(contiguous(permute(apart, {0, 1, 2, 4, 3})), s);
}

EdgeHooks edge_hooks(int64_t share,
                     const Tensor& edge_weights,
                     const EdgeRates& rates,
                     const CellRandom& random) {
  EdgeHooks hooks;
  hooks.before = [share](const Tensor& x) {
    return share == 1 ? x : slice(x, 3, 0, x.size(3) / share);
  };
  hooks.branch = [rates, random](size_t edge, const Branch& b, const Tensor& y) {
    Tensor kept = y;
    if (rates.skip_dropout > 0 && b.kind == BranchKind::kIdentity)
      kept = dropout(kept, rates.skip_dropout, random.at(Purpose::kDropout, edge, b.name));
    if (rates.op_dropout > 0) {
      const RandomAddress at = random.at(Purpose::kOpDropout, edge, b.name);
      kept = kept * image_mask(kept, rates.op_dropout, at);
    }
    return kept;
  };
  hooks.after = [=](size_t edge, int64_t stride, const Tensor& x, const Tensor& sum) {
    Tensor y = sum;
    if (share > 1) {
      Tensor by = slice(x, 3, x.size(3) / share, x.size(3));
      if (stride == 2) by = halved(by);
      Shape mixed = by.shape();
      mixed[3] = x.size(3) / share;
      y = sum ? sum : Tensor::zeros(mixed, x.dtype(), x.device());
      y = shuffle_channels(concat({y, by}, 3), share);
    }
    if (!y) return y;
    if (edge_weights) y = mixed_sum(edge_weights, {static_cast<int64_t>(edge)}, {y});
    if (rates.drop_path > 0)
      y = y * image_mask(y, rates.drop_path, random.at(Purpose::kDropPath, edge));
    return y;
  };
  return hooks;
}

Tensor node_softmax(const Tensor& beta, const std::vector<int64_t>& sizes) {
  std::vector<Tensor> nodes;
  int64_t start = 0;
  for (const int64_t size : sizes) {
    if (size > 0) nodes.push_back(softmax(slice(beta, 0, start, start + size), 0));
    start += size;
  }
  return concat(nodes, 0);
}

}  // namespace oche::nas
