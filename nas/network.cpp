// The DARTS search network.
#include "nas/network.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/dispatch.h"
#include "kernels/random.h"
#include "nas/genotype.h"

namespace oche::nas {

namespace {

// An edge weight scales what its candidates weigh.
Tensor table_of(const Mixture& m) {
  return m.edge_weights ? m.weights * reshape(m.edge_weights, {m.edge_weights.numel(), 1})
                        : m.weights;
}

}  // namespace

MixedOp::MixedOp(const std::vector<std::string>& candidates,
                 int64_t channels,
                 int64_t stride,
                 DType dtype,
                 bool plain) {
  for (size_t k = 0; k < candidates.size(); ++k) {
    const std::string& name = candidates[k];
    branches_.push_back(name == kNone
                            ? nullptr
                            : &adopt_module(fmt::format("_ops.{}", k),
                                            make_primitive(name, channels, stride, dtype, plain)));
  }
}

Cell::Cell(const CellOptions& o, DType dtype) : options_(o) {
  if (o.channels % o.channel_share != 0) {
    throw std::invalid_argument(
        fmt::format("cell: {} channels; expected a multiple of {}", o.channels, o.channel_share));
  }
  if (!o.plain && o.reduction_before) {
    preprocess_0_ =
        &add_module<FactorizedReduce>("preprocess0", o.channels_before_last, o.channels, dtype);
  } else if (!o.plain) {
    preprocess_0_ =
        &add_module<ReluConvBn>("preprocess0", o.channels_before_last, o.channels, dtype);
  }
  if (!o.plain)
    preprocess_1_ = &add_module<ReluConvBn>("preprocess1", o.channels_last, o.channels, dtype);
  for (const SpaceEdge& edge : o.space->edges) {
    edges_.push_back(&add_module<MixedOp>(fmt::format("_ops.{}", edges_.size()),
                                          edge.candidates,
                                          o.channels / o.channel_share,
                                          stride(edge),
                                          dtype,
                                          o.plain));
  }
}

Tensor Cell::forward(const Tensor& before_last,
                     const Tensor& last,
                     const Mixture& mixture,
                     const Pass& pass,
                     const EdgeRates& edge_rates) const {
  std::vector<Tensor> states{before_last, last};
  if (!options_.plain) {
    {
      const Label label("preprocess 0");
      states[0] = preprocess_0_->forward(before_last, pass);
    }
    const Label label("preprocess 1");
    states[1] = preprocess_1_->forward(last, pass);
  }
  const Body b = body(mixture.run);
  const EdgeRates rates = pass.phase == Phase::kNone ? EdgeRates() : edge_rates;
  // While each value is looked at, every op of every edge is one that can be named.
  if (!options_.fuse || FiniteChecks::active() || SmoothRelu::active() ||
      options_.channel_share > 1 || rates.any() || !has_fused(b.spec)) {
    return composite(b, states, mixture, rates, pass);
  }
  const Label label("edges");
  const Tensor table = table_of(mixture);
  if (pass.statistics == Statistics::kRunning) {
    std::vector<NormMoments> moments;
    for (const BatchNorm2d* norm : b.norms)
      moments.push_back({norm->running_mean(), norm->running_var()});
    return mixed_cell_running(b.spec, states[0], states[1], table, b.weights, moments);
  }
  const MixedCellResult r = mixed_cell(b.spec, states[0], states[1], table, b.weights);
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

Tensor Cell::composite(const Body& b,
                       const std::vector<Tensor>& inputs,
                       const Mixture& mixture,
                       const EdgeRates& rates,
                       const Pass& pass) const {
  const CellRandom random{options_.seed, options_.name, &pass};
  const bool hooked = options_.channel_share > 1 || rates.any();
  const EdgeHooks hooks = edge_hooks(options_.channel_share, mixture.edge_weights, rates, random);
  return mixed_cell_composite(
      b.spec,
      inputs[0],
      inputs[1],
      hooked ? mixture.weights : table_of(mixture),
      b.weights,
      {.normalise = [&](int64_t i, const Tensor& t) { return b.norms[i]->forward(t, pass); },
       .noise =
           [&](size_t edge, const Shape& shape) {
             return random_normal(shape, inputs[0].dtype(), random.at(Purpose::kNoise, edge));
           },
       .hooks = hooked ? &hooks : nullptr});
}

int64_t Cell::stride(const SpaceEdge& edge) const {
  return options_.reduction && edge.from < kCellInputs ? 2 : 1;
}

Cell::Body Cell::body(const std::vector<bool>& run) const {
  Body b{{.steps = options_.steps,
          .multiplier = options_.multiplier,
          .edges = {},
          .precision = options_.precision},
         {},
         {}};
  const auto columns = static_cast<size_t>(options_.space->columns());
  for (size_t e = 0; e < edges_.size(); ++e) {
    const SpaceEdge& row = options_.space->edges[e];
    CellEdge edge{.from = row.from, .to = row.to - kCellInputs, .stride = stride(row)};
    for (size_t k = 0; k < columns; ++k) {
      const size_t place = e * columns + k;
      if (!edges_[e]->has_branch(k) || !run[place]) continue;
      const Primitive& primitive = edges_[e]->branch(k);
      edge.branches.push_back(primitive.branch());
      edge.branches.back().place = static_cast<int64_t>(place);
      edge.branches.back().name = row.candidates[k];
      const std::vector<Tensor> weights = primitive.weights();
      b.weights.insert(b.weights.end(), weights.begin(), weights.end());
      b.norms.insert(b.norms.end(), primitive.norms().begin(), primitive.norms().end());
    }
    b.spec.edges.push_back(std::move(edge));
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
    const std::string name = fmt::format("cells.{}", i);
    const bool reduction = nas::is_reduction(i, o.layers);
    if (reduction) channels *= 2;
    const CellSpace& space = reduction ? options_.space.reduce : options_.space.normal;
    const int64_t in = last;
    if (space.edges.empty()) {
      last = channels;
      cells_.push_back(
          {nullptr, &add_module<ResidualReduction>(name, in, last, o.dtype), reduction});
    } else {
      last = o.multiplier * channels;
      cells_.push_back({&add_module<Cell>(name,
                                          CellOptions{.space = &space,
                                                      .steps = o.steps,
                                                      .multiplier = o.multiplier,
                                                      .channels_before_last = before_last,
                                                      .channels_last = in,
                                                      .channels = channels,
                                                      .reduction = reduction,
                                                      .reduction_before = reduction_before,
                                                      .plain = options_.space.plain,
                                                      .fuse = o.fuse,
                                                      .precision = o.precision,
                                                      .channel_share = o.channel_share,
                                                      .name = name,
                                                      .seed = o.seed},
                                          o.dtype),
                        nullptr,
                        reduction});
    }
    before_last = in;
    reduction_before = reduction;
  }
  if (options_.space.plain)
    last_norm_ = &add_module<BatchNorm2d>("lastact.0", last, BatchNorm2d::Affine::kYes, o.dtype);
  classifier_ = &add_module<Linear>("classifier", last, o.classes, o.dtype);
}

Tensor Network::run(const Stage& stage,
                    const Tensor& before_last,
                    const Tensor& last,
                    const CellMixtures& mixtures,
                    const Pass& pass) const {
  if (stage.fixed) return stage.fixed->forward(last, pass);
  const Mixture& mixture = stage.reduction ? mixtures.reduce : mixtures.normal;
  return options_.space.plain ? stage.cell->forward(last, last, mixture, pass, rates_)
                              : stage.cell->forward(before_last, last, mixture, pass, rates_);
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
    Tensor output = run(cells_[i], before_last, last, mixtures, pass);
    if (observer) observer(i, output);
    before_last = std::exchange(last, std::move(output));
  }
  const Label label("classifier");
  if (last_norm_) last = activation(last_norm_->forward(last, pass));
  return classifier_->forward(global_avg_pool(last));
}

const Tensor& ArchParameters::value(const Parameter* p) {
  static const Tensor undefined;
  return p ? p->value : undefined;
}

ArchParameters::ArchParameters(const Space& space, const ArchOptions& o) {
  const auto add = [&](const char* name, const CellSpace& cell, bool wanted, const Shape& shape) {
    return wanted && cell.rows() > 0 ? &add_parameter(name, shape, o.dtype, {}) : nullptr;
  };
  const auto table = [](const CellSpace& cell) { return Shape{cell.rows(), cell.columns()}; };
  normal_ = add("alphas_normal", space.normal, true, table(space.normal));
  reduce_ = add("alphas_reduce", space.reduce, true, table(space.reduce));
  normal_edges_ = add("betas_normal", space.normal, o.edge_weights, {space.normal.rows()});
  reduce_edges_ = add("betas_reduce", space.reduce, o.edge_weights, {space.reduce.rows()});
  if (DryRun::active()) return;
  for (const auto& [name, p] : named_parameters()) {
    const RandomKey key = random_key(o.seed, module_id(name), Purpose::kAlphaInit);
    dispatch(p->value, [&, &alpha = p->value]<typename T>(auto& ctx) {
      kernels::fill_normal<T>(
          ctx, key, {}, alpha.numel(), 0, o.deviation, alpha.template mutable_data<T>());
    });
  }
}

}  // namespace oche::nas
