// The limits of a search configuration.
#include "nas/search_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "nas/arch_gradient.h"
#include "nas/decision.h"
#include "nas/perturbation.h"
#include "nas/primitives.h"
#include "nas/regulariser.h"
#include "nas/relaxation.h"
#include "nas/space.h"
#include "nas/stages.h"

namespace oche::nas {
namespace {

template <typename T>
void require(bool holds, std::string_view option, const T& value, std::string_view expected) {
  if (!holds)
    throw std::invalid_argument(
        fmt::format("--{}: {} is not allowed; expected {}", option, value, expected));
}

void require_regulariser(const SearchConfig& c, const Space& space) {
  const std::unique_ptr<Regulariser> regulariser =
      make_regulariser(c.regulariser, c.regulariser_weight);
  if (c.regulariser == "none") return;
  require(c.regulariser_weight > 0,
          "set regulariser.weight",
          c.regulariser_weight,
          "a positive number with a regulariser");
  if (!regulariser->gates()) return;
  require(
      c.relaxation == "sigmoid",
      "set regulariser.name",
      c.regulariser,
      fmt::format("another one with {}: it is defined on gates that do not depend on each other",
                  c.relaxation));
  require(!space.has(kNone),
          "set regulariser.name",
          c.regulariser,
          fmt::format("another one in {}: `none` is not run, so what stands for it is no gate",
                      c.space));
}

void require_perturbation(const SearchConfig& c) {
  make_perturbation(c.perturb);
  require(c.perturb_radius >= 0, "set relaxation.radius", c.perturb_radius, "0 or more");
  require(
      c.perturb_radius_end >= 0, "set relaxation.radius-end", c.perturb_radius_end, "0 or more");
  if (c.perturb == "none") return;
  const std::unique_ptr<Relaxation> relaxation = make_relaxation(c.relaxation);
  require(relaxation->simplex_rows() && !relaxation->straight_through(),
          "perturb",
          c.perturb,
          fmt::format("none with {}: what is perturbed are weights that run as they are and sum "
                      "to 1 on an edge",
                      c.relaxation));
  require(!one_level(c),
          "perturb",
          c.perturb,
          fmt::format("none with {}: the weights want perturbed mixtures, the alphas clean ones, "
                      "and there is one pass for both",
                      c.gradient));
}

bool has_ranks(const CellSpace& cell) {
  return std::ranges::any_of(cell.edges, [](const SpaceEdge& e) {
    return std::ranges::count_if(e.candidates, is_ranked) > 1;
  });
}

void require_stop(const SearchConfig& c) {
  const std::unique_ptr<Stop> stop = make_stop(c.stop, stop_options(c));
  require(!stop->measures() || !make_relaxation(c.relaxation)->straight_through(),
          "stop",
          c.stop,
          fmt::format("another one with {}: the gradient of straight-through weights is nobody's "
                      "derivative, so there is no Hessian",
                      c.relaxation));
  require(c.stop == "epochs" || stage_count(c) == 1,
          "stop",
          c.stop,
          "epochs with stages: what an earlier one chose says nothing of this one");
  const Space space = make_space(c.space, c.steps);
  require(c.stop != "skip-count" || space.normal.has(kSkipConnect),
          "stop",
          c.stop,
          fmt::format("another one in {}, which has no skip_connect", c.space));
  require(c.stop != "rank-stable" || has_ranks(space.normal) || has_ranks(space.reduce),
          "stop",
          c.stop,
          fmt::format("another one in {}, where no edge has two convolutions to rank", c.space));
}

void require_edges(const SearchConfig& c, const Space& space) {
  const int64_t share = c.channel_share;
  require(share >= 1 && c.channels % share == 0,
          "set edge.channels",
          share,
          fmt::format("a divisor of the {} channels", c.channels));
  require(share == 1 || c.channels / share % 2 == 0 || !space.reduce.has(kSkipConnect),
          "set edge.channels",
          share,
          "an even number of channels that are mixed, as skip_connect halves them at stride 2");
  require(share == 1 || !space.plain, "set edge.channels", share, fmt::format("1 in {}", c.space));
  require(c.edge_weights == "none" || c.edge_weights == "softmax",
          "set edge.weights",
          c.edge_weights,
          "none or softmax");
  for (const auto& [name, rate] : {std::pair{"skip-dropout", c.skip_dropout},
                                   {"op-dropout", c.op_dropout},
                                   {"drop-path", c.drop_path}}) {
    require(rate >= 0 && rate < 1, fmt::format("set edge.{}", name), rate, "0 <= p < 1");
  }
  require(c.skip_dropout_curve == "constant" || c.skip_dropout_curve == "p-darts",
          "set edge.skip-dropout-curve",
          c.skip_dropout_curve,
          "constant or p-darts");
  require(c.drop_path_curve == "constant" || c.drop_path_curve == "linear",
          "set edge.drop-path-curve",
          c.drop_path_curve,
          "constant or linear");
  require(c.skip_dropout == 0 || space.has(kSkipConnect),
          "set edge.skip-dropout",
          c.skip_dropout,
          fmt::format("0 in {}, which has no skip_connect", c.space));
}

}  // namespace

void validate(const SearchConfig& c) {
  require(c.train_size >= 0, "train-size", c.train_size, "0 (all images) or more");
  require(c.train_fraction > 0 && c.train_fraction < 1,
          "train-fraction",
          c.train_fraction,
          "a number between 0 and 1");
  require(c.cutout >= 0, "cutout", c.cutout, "0 (none) or a side in pixels");
  require(c.layers >= 1, "layers", c.layers, "at least 1");
  require(c.channels >= 1, "channels", c.channels, "at least 1");
  require(c.steps >= 1 && c.steps <= 32, "steps", c.steps, "1 to 32");
  require(c.multiplier >= 1 && c.multiplier <= c.steps, "multiplier", c.multiplier, "1 to --steps");
  const Space space = make_space(c.space, c.steps);
  const SpaceSizes sizes = sizes_of(c.space);
  require(sizes.multiplier == 0 || c.multiplier == sizes.multiplier,
          "multiplier",
          c.multiplier,
          fmt::format("{} in {}", sizes.multiplier, c.space));
  require(sizes.stem_multiplier == 0 || c.stem_multiplier == sizes.stem_multiplier,
          "stem-multiplier",
          c.stem_multiplier,
          fmt::format("{} in {}", sizes.stem_multiplier, c.space));
  require(c.stem_multiplier >= 1, "stem-multiplier", c.stem_multiplier, "at least 1");
  require(c.epochs >= 1, "epochs", c.epochs, "at least 1");
  require(c.batch >= 1, "batch", c.batch, "at least 1");
  require(c.lr > 0, "lr", c.lr, "a positive number");
  require(c.lr_min >= 0 && c.lr_min <= c.lr, "lr-min", c.lr_min, "0 to --lr");
  require(c.momentum >= 0 && c.momentum < 1, "momentum", c.momentum, "0 <= momentum < 1");
  require(c.weight_decay >= 0, "weight-decay", c.weight_decay, "0 or more");
  require(c.grad_clip >= 0, "grad-clip", c.grad_clip, "0 (no clipping) or more");
  require(c.alpha_lr >= 0, "alpha-lr", c.alpha_lr, "0 (frozen) or more");
  require(c.alpha_beta1 >= 0 && c.alpha_beta1 < 1, "alpha-beta1", c.alpha_beta1, "0 <= beta < 1");
  require(c.alpha_beta2 >= 0 && c.alpha_beta2 < 1, "alpha-beta2", c.alpha_beta2, "0 <= beta < 1");
  require(c.alpha_weight_decay >= 0, "alpha-weight-decay", c.alpha_weight_decay, "0 or more");
  require(c.alpha_grad_clip >= 0, "alpha-grad-clip", c.alpha_grad_clip, "0 (no clipping) or more");
  require(c.alpha_init >= 0, "alpha-init", c.alpha_init, "0 or more");
  require(c.temperature > 0, "temperature", c.temperature, "a positive number");
  require(c.temperature_end > 0,
          "set relaxation.temperature-end",
          c.temperature_end,
          "a positive number");
  if (make_relaxation(c.relaxation)->straight_through()) {
    require(!make_arch_gradient(c.gradient)->looks_ahead(),
            "gradient",
            c.gradient,
            fmt::format("first-order or one-level with {}: the gradient of straight-through "
                        "weights is nobody's "
                        "derivative, so it has none along the weights",
                        c.relaxation));
  }
  require(c.order == "alpha-first" || c.order == "weights-first",
          "set schedule.order",
          c.order,
          "alpha-first or weights-first");
  require(c.alpha_from >= 0 && c.alpha_from < c.epochs / stage_count(c),
          "set schedule.alpha-from",
          c.alpha_from,
          "0 to less than --epochs, those of a stage: else the alphas would never move");
  if (one_level(c)) {
    require(c.order == "alpha-first",
            "set schedule.order",
            c.order,
            fmt::format("alpha-first with {}: one pass gives both gradients", c.gradient));
    require(c.alpha_from == 0,
            "set schedule.alpha-from",
            c.alpha_from,
            fmt::format("0 with {}: one pass gives both gradients", c.gradient));
  }
  require_perturbation(c);
  require_regulariser(c, space);
  for (int64_t stage = 0; stage < stage_count(c); ++stage)
    require_edges(stage_config(c, stage), space);
  require_stop(c);
  require(c.radius > 0, "set gradient.radius", c.radius, "a positive number");
  make_decision(c.decision, {.threshold = c.threshold, .skips = c.skips});
  if (precision_of(c) != Precision::kFloat32) {
    require(c.fuse, "precision", c.precision, "fp32 with --no-fuse: only fused cells round");
    require(c.dtype == DType::kFloat32, "precision", c.precision, "fp32 with --dtype f64");
  }
}

bool one_level(const SearchConfig& c) {
  return make_arch_gradient(c.gradient)->joint();
}

StopOptions stop_options(const SearchConfig& c) {
  return {.skips = c.stop_skips,
          .patience = c.stop_patience,
          .every = c.stop_every,
          .window = c.stop_window,
          .lag = c.stop_lag,
          .factor = c.stop_factor,
          .first = std::max(c.stop_first, c.alpha_from)};
}

Precision precision_of(const SearchConfig& c) {
  const auto found = std::ranges::find(kPrecisionNames, c.precision);
  require(found != std::end(kPrecisionNames),
          "precision",
          c.precision,
          fmt::format("one of {}", fmt::join(kPrecisionNames, ", ")));
  return static_cast<Precision>(found - std::begin(kPrecisionNames));
}

}  // namespace oche::nas
