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
  const Body b = body(mixture.run);
  // While each value is looked at, every op of every edge is one that can be named.
  if (!options_.fuse || FiniteChecks::active()) {
    return mixed_cell_composite(
        b.spec, states[0], states[1], mixture.weights, b.weights, [&](int64_t i, const Tensor& t) {
          return b.norms[i]->forward(t, pass);
        });
  }
  const Label label("edges");
  if (pass.statistics == Statistics::kRunning) {
    std::vector<NormMoments> moments;
    for (const BatchNorm2d* norm : b.norms)
      moments.push_back({norm->running_mean(), norm->running_var()});
    return mixed_cell_running(b.spec, states[0], states[1], mixture.weights, b.weights, moments);
  }
  const MixedCellResult r = mixed_cell(b.spec, states[0], states[1], mixture.weights, b.weights);
  if (pass.updates) {
    const int64_t pixels = r.y.numel() / r.y.size(3);
    const auto row = [](const Tensor& all, int64_t i) {
      return reshape(slice(all, 0, i, i + 1), {all.size(1)});
    };
    for (size_t i = 0; i < r.rows.size(); ++i)
      b.norms[i]->list_updates(row(r.mean, r.rows[i]), row(r.var, r.rows[i]), pixels, pass);
  }
  return r.y;
}

Cell::Body Cell::body(const std::vector<bool>& run) const {
  Body b{{.steps = options_.steps,
          .multiplier = options_.multiplier,
          .edges = {},
          .precision = options_.precision},
         {},
         {}};
  const size_t candidates = darts_primitives().size();
  for (int64_t i = 0; i < options_.steps; ++i) {
    for (int64_t j = 0; j < 2 + i; ++j) {
      const auto e = static_cast<size_t>(first_edge(i) + j);
      CellEdge edge{.from = j, .to = i, .stride = options_.reduction && j < 2 ? 2 : 1};
      for (size_t k = 0; k < candidates; ++k) {
        const size_t place = e * candidates + k;
        if (!edges_[e]->has_branch(k) || !run[place]) continue;
        const Primitive& primitive = edges_[e]->branch(k);
        edge.branches.push_back(primitive.branch());
        edge.branches.back().place = static_cast<int64_t>(place);
        edge.branches.back().name = darts_primitives()[k];
        const std::vector<Tensor> weights = primitive.weights();
        b.weights.insert(b.weights.end(), weights.begin(), weights.end());
        b.norms.insert(b.norms.end(), primitive.norms().begin(), primitive.norms().end());
      }
      b.spec.edges.push_back(std::move(edge));
    }
  }
  return b;
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
                                                   .reduction_before = reduction_before,
                                                   .fuse = o.fuse,
                                                   .precision = o.precision},
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
