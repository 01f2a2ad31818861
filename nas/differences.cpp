// Estimators of the hypergradient by differences.
#include "nas/differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "engine/flat.h"
#include "engine/mixed_cell.h"
#include "engine/op.h"
#include "engine/random.h"
#include "nas/inner_solver.h"
#include "nas/relaxation.h"
#include "nas/unroll.h"

namespace oche::nas {
namespace {

// Relative, of one number.
double rounding_unit(const Tensor& like) {
  return like.dtype() == DType::kFloat64 ? 0x1p-53 : 0x1p-24;
}

// Where the weights or the alphas are: a probe shorter than their rounding is lost in it.
struct Place {
  Place(std::string_view what, const std::vector<Tensor>& at)
      : what(what), size(norm(flatten(at))), unit(rounding_unit(at[0])) {}
  std::string_view what;
  double size, unit;

  bool resolves(double length) const { return length >= unit * size; }
  std::string fault(double length) const {
    return fmt::format(
        "below rounding: a probe of length {:.3g} beside {} of length {:.3g}", length, what, size);
  }
};

// Differences of validation losses.
class LossDifferences {
 public:
  explicit LossDifferences(const Bilevel& p) : unit_(rounding_unit(p.weights[0].value)) {}

  double of(double plus, double minus) {
    largest_ = std::max({largest_, std::abs(plus), std::abs(minus)});
    squares_ += (plus - minus) * (plus - minus);
    ++count_;
    return plus - minus;
  }
  // A loss is rounded at least once: less than ten times that, and a tenth of the estimate or more
  // is noise. Taken together, as a single alpha need not matter.
  std::string fault() const {
    const double size = std::sqrt(squares_ / static_cast<double>(count_));
    if (!(size <= 10 * unit_ * largest_)) return "";
    return fmt::format(
        "below rounding: losses of up to {:.3g} that differ by {:.3g}", largest_, size);
  }

 private:
  const double unit_;
  double largest_ = 0, squares_ = 0;
  int64_t count_ = 0;
};

// The alphas moved by `step` along `direction`, for a scope.
Substitution<struct AlphaKind> moved_alphas(const Bilevel& p,
                                            double step,
                                            const Vector& direction) {
  Vector values = flatten(p.alphas.tensors());
  add(values, step, direction);
  return {p.alphas, detached_leaves(unflatten(values, p.alphas.tensors()))};
}

double validation_at(const Bilevel& p, const std::vector<Tensor>& weights) {
  const NoGrad no_grad;
  const FullPrecision full;
  const Substitution at(p.weights, weights);
  return p.validation_loss().item();
}

// Of the alphas as one vector.
Hypergradient from_vector(const Bilevel& p, const Vector& values) {
  return {.gradients = unflatten(values, p.alphas.tensors())};
}

}  // namespace

Hypergradient finite_difference(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  ArchGradientOptions options{.radius = number(n, "radius"),
                              .relative = whole(n, "relative") != 0,
                              .points = whole(n, "points")};
  const auto at_radius = [&]() -> Hypergradient {
    const FullPrecision full;
    return {.gradients = make_arch_gradient("finite-difference", options)->compute(p, s).gradients,
            .passes = 2 + std::max<int64_t>(2, options.points)};
  };
  const Place weights("weights", p.weights.tensors());
  const auto length = [&] {
    return options.relative ? options.radius * weights.size : options.radius;
  };
  // Rounding falls and truncation grows with the radius, and what kinks throw in falls with the
  // number of them: where doubling the radius moves the estimate least, none of them is large.
  const double first = options.radius;
  std::optional<Hypergradient> best, last;
  double least = std::numeric_limits<double>::infinity();
  int64_t passes = 0;
  for (int64_t i = 0; i <= whole(n, "doublings"); ++i, options.radius *= 2) {
    if (!weights.resolves(length())) continue;
    Hypergradient here = at_radius();
    passes += here.passes;
    if (last) {
      Vector move = flatten(here.gradients);
      add(move, -1, flatten(last->gradients));
      if (norm(move) < least) {
        least = norm(move);
        best = std::move(last);
      }
    }
    if (!best) best = here;
    last = std::move(here);
  }
  if (best) {
    best->passes = passes;
    return *std::move(best);
  }
  options.radius = first;
  Hypergradient lost = at_radius();
  lost.fault = weights.fault(length());
  return lost;
}

Hypergradient zero_order(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const int64_t samples = whole(n, "samples"), steps = whole(n, "steps");
  const double radius = number(n, "radius");
  Vector total(p.alphas.numel(), 0);
  LossDifferences differences(p);
  const auto f = [&](double step, const Vector& z) {
    const auto at = moved_alphas(p, step, z);
    return validation_at(p, inner_steps(p, s, inner_start(p, s), steps).weights);
  };
  for (int64_t i = 0; i < samples; ++i) {
    const RandomKey key = random_key(
        static_cast<uint64_t>(whole(n, "seed")), module_id("zero-order"), Purpose::kPerturb);
    const Vector z = flatten({random_normal({p.alphas.numel()}, DType::kFloat64, {key, i})});
    const double difference = differences.of(f(radius, z), f(-radius, z));
    add(total, difference / (2 * radius * static_cast<double>(samples)), z);
  }
  Hypergradient h = from_vector(p, total);
  h.passes = 2 * samples * (steps + 1);
  const Place alphas("alphas", p.alphas.tensors());
  const double length = radius * std::sqrt(static_cast<double>(p.alphas.numel()));  // as expected
  h.fault = alphas.resolves(length) ? differences.fault() : alphas.fault(length);
  return h;
}

Hypergradient bilevel_difference(const Bilevel& p, const InnerStep& s, const EstimatorNumbers& n) {
  const double step = number(n, "step");
  InnerSolveOptions options{.tolerance = number(n, "tolerance"),
                            .iterations = whole(n, "iterations")};
  Vector total(p.alphas.numel(), 0), unit = total;
  LossDifferences differences(p);
  int64_t passes = 0;
  std::string fault;
  const InnerOptimum start = solve_inner(p, s.weight_decay, options);
  const Substitution from(p.weights, start.weights);
  options.at_least = 1;  // a short step of alpha leaves the inner gradient within the tolerance
  const auto value = [&](double by) {
    const auto at = moved_alphas(p, by, unit);
    const InnerOptimum optimum = solve_inner(p, s.weight_decay, options);
    passes += optimum.passes + 1;
    if (!optimum.converged && fault.empty())
      fault = fmt::format("not converged: the inner problem was left at |gradient| = {:.3g}",
                          optimum.gradient_norm);
    return validation_at(p, optimum.weights);
  };
  for (size_t i = 0; i < total.size(); ++i) {
    unit[i] = 1;
    total[i] = differences.of(value(step), value(-step)) / (2 * step);
    unit[i] = 0;
  }
  Hypergradient h = from_vector(p, total);
  h.passes = passes + start.passes;
  const Place alphas("alphas", p.alphas.tensors());
  h.fault = !fault.empty()           ? fault
            : !alphas.resolves(step) ? alphas.fault(step)
                                     : differences.fault();
  return h;
}

}  // namespace oche::nas
