// The DARTS search network.
#include "nas/network.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/dispatch.h"
#include "kernels/random.h"

namespace oche::nas {

MixedOp::MixedOp(int64_t channels, int64_t stride, DType dtype) {
  for (size_t k = 0; k < darts_primitives().size(); ++k) {
    const std::string_view name = darts_primitives()[k];
    branches_.push_back(name == kNone
                            ? nullptr
                            : &adopt_module(fmt::format("_ops.{}", k),
                                            make_primitive(name, channels, stride, dtype)));
  }
}

int64_t edge_count(int64_t steps) {
  return first_edge(steps);
}

Cell::Cell(const CellOptions& o, DType dtype) : options_(o) {
  if (o.reduction_before) {
    preprocess_0_ =
        &add_module<FactorizedReduce>("preprocess0", o.channels_before_last, o.channels, dtype);
  } else {
    preprocess_0_ =
        &add_module<ReluConvBn>("preprocess0", o.channels_before_last, o.channels, dtype);
  }
  preprocess_1_ = &add_module<ReluConvBn>("preprocess1", o.channels_last, o.channels, dtype);
  for (int64_t i = 0; i < o.steps; ++i) {
    for (int64_t j = 0; j < 2 + i; ++j) {
      edges_.push_back(&add_module<MixedOp>(
          fmt::format("_ops.{}", edges_.size()), o.channels, o.reduction && j < 2 ? 2 : 1, dtype));
    }
  }
}

Tensor Cell::forward(const Tensor& before_last,
                     const Tensor& last,
                     const Mixture& mixture,
                     const Pass& pass) const {
  std::vector<Tensor> states;
  {
    const Label label("preprocess 0");
    states.push_back(preprocess_0_->forward(before_last, pass));
  }
  {
    const Label label("preprocess 1");
    states.push_back(preprocess_1_->forward(last, pass));
  }
  for (int64_t i = 0; i < options_.steps; ++i) states.push_back(node(i, states, mixture, pass));
  return concat({states.end() - options_.multiplier, states.end()}, 3);
}

// The sum over all incoming edges and candidates at once: one pass over memory instead of one for
// each term.
Tensor Cell::node(int64_t i,
                  const std::vector<Tensor>& states,
                  const Mixture& mixture,
                  const Pass& pass) const {
  const auto candidates = static_cast<int64_t>(darts_primitives().size());
  std::vector<Tensor> terms;
  std::vector<int64_t> places;
  for (int64_t j = 0; j < 2 + i; ++j) {
    const int64_t edge = first_edge(i) + j;
    for (int64_t k = 0; k < candidates; ++k) {
      const int64_t place = edge * candidates + k;
      if (!edges_[edge]->has_branch(k) || !mixture.run[place]) continue;
      const Label label(fmt::format("edge {}, {}", edge, darts_primitives()[k]));
      terms.push_back(edges_[edge]->branch(k, states[j], pass));
      places.push_back(place);
    }
  }
  if (terms.empty()) {  // every candidate is `none` or masked; a stride-1 state has the node's
                        // shape, so take the last one
    const Tensor& like = states.back();
    Shape shape = like.shape();
    if (options_.reduction && i == 0) {
      shape[1] = (shape[1] + 1) / 2;
      shape[2] = (shape[2] + 1) / 2;
    }
    return Tensor::zeros(shape, like.dtype(), like.device());
  }
  const Label label(fmt::format("node {}", i));
  return mixed_sum(mixture.weights, places, terms);
}

Network::Network(const NetworkOptions& o)
    : options_(o),
      stem_(add_module<Conv2d>("stem.0",
                               Conv2d::Options{.in = o.image_channels,
                                               .out = o.stem_multiplier * o.channels,
                                               .kernel = 3,
                                               .conv = {.padding = 1}},
                               o.dtype)),
      stem_norm_(add_module<BatchNorm2d>(
          "stem.1", o.stem_multiplier * o.channels, BatchNorm2d::Affine::kYes, o.dtype)) {
  if (o.layers < 1 || o.channels < 1 || o.steps < 1 || o.multiplier < 1 || o.multiplier > o.steps) {
    throw std::invalid_argument(
        fmt::format("network: {} layers, {} channels, {} steps, multiplier {}; expected all >= 1 "
                    "and multiplier <= steps",
                    o.layers,
                    o.channels,
                    o.steps,
                    o.multiplier));
  }
  int64_t before_last = o.stem_multiplier * o.channels, last = before_last, channels = o.channels;
  bool reduction_before = false;
  for (int64_t i = 0; i < o.layers; ++i) {
    const bool reduction = i == o.layers / 3 || i == 2 * o.layers / 3;
    if (reduction) channels *= 2;
    cells_.push_back(&add_module<Cell>(fmt::format("cells.{}", i),
                                       CellOptions{.steps = o.steps,
                                                   .multiplier = o.multiplier,
                                                   .channels_before_last = before_last,
                                                   .channels_last = last,
                                                   .channels = channels,
                                                   .reduction = reduction,
                                                   .reduction_before = reduction_before},
                                       o.dtype));
    before_last = last;
    last = o.multiplier * channels;
    reduction_before = reduction;
  }
  classifier_ = &add_module<Linear>("classifier", last, o.classes, o.dtype);
}

Tensor Network::forward(const Tensor& images,
                        const CellMixtures& mixtures,
                        const Pass& pass,
                        const CellObserver& observer) const {
  Tensor before_last, last;
  {
    const Label label("stem");
    before_last = last = stem_norm_.forward(stem_.forward(images), pass);
  }
  for (size_t i = 0; i < cells_.size(); ++i) {
    const Label label(fmt::format("cell {}", i));
    const Mixture& mixture = cells_[i]->reduction() ? mixtures.reduce : mixtures.normal;
    Tensor output = cells_[i]->forward(before_last, last, mixture, pass);
    if (observer) observer(i, output);
    before_last = std::exchange(last, std::move(output));
  }
  const Label label("classifier");
  return classifier_->forward(global_avg_pool(last));
}

ArchParameters::ArchParameters(int64_t steps, double deviation, uint64_t seed, DType dtype)
    : normal_(add_parameter("alphas_normal",
                            {edge_count(steps), static_cast<int64_t>(darts_primitives().size())},
                            dtype,
                            {})),
      reduce_(add_parameter("alphas_reduce",
                            {edge_count(steps), static_cast<int64_t>(darts_primitives().size())},
                            dtype,
                            {})) {
  if (DryRun::active()) return;
  for (const auto& [name, p] : named_parameters()) {
    const RandomKey key = random_key(seed, module_id(name), Purpose::kAlphaInit);
    dispatch(p->value, [&, &alpha = p->value]<typename T>(auto& ctx) {
      kernels::fill_normal<T>(
          ctx, key, {}, alpha.numel(), 0, deviation, alpha.template mutable_data<T>());
    });
  }
}

}  // namespace oche::nas
