// Estimators of the architecture gradient.
#include "nas/arch_gradient.h"

#include <fmt/format.h>

#include <stdexcept>
#include <type_traits>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/mixed_cell.h"
#include "engine/ops.h"
#include "nas/curvature.h"
#include "nas/named_parts.h"

namespace oche::nas {
namespace {

std::vector<Tensor> gradients(const Tensor& loss, const std::vector<Tensor>& inputs) {
  if (!loss.requires_grad())  // it depends on none of them
    return defined_or_zeros(std::vector<Tensor>(inputs.size()), inputs);
  return defined_or_zeros(grad(loss, inputs), inputs);
}

// dL_train/dalpha with the weights at `values`, in full precision.
std::vector<Tensor> train_alpha_gradient(const Bilevel& p, const std::vector<Tensor>& values) {
  const FullPrecision full;
  const Substitution at(p.weights, values);
  return gradients(p.train_loss(), p.alphas.tensors());
}

// w' of the inner step, as fresh leaves.
std::vector<Tensor> step_ahead(const Bilevel& p, const InnerStep& s) {
  const Label label("inner step", ProfileKind::kPhase);
  const std::vector<Tensor> w = p.weights.tensors();
  std::vector<Tensor> g;
  {
    const Frozen frozen(p.alphas);
    g = gradients(p.train_loss(), w);
  }
  const NoGrad no_grad;
  std::vector<Tensor> next = advance(s, w, s.buffers, g).weights;
  for (const Tensor& t : next) t.set_requires_grad(true);
  return next;
}

ValidationGradient look_ahead(const Bilevel& p, const InnerStep& s) {
  const std::vector<Tensor> next = step_ahead(p, s);
  const Label label("validation ahead", ProfileKind::kPhase);
  return validation_gradient(p, next);
}

// direct - rate * gain * implicit.
ArchGradientResult combine(const ValidationGradient& ahead,
                           const std::vector<Tensor>& implicit,
                           const InnerStep& s) {
  const NoGrad no_grad;
  const Tensor rate = s.nesterov ? s.rate * s.gain() : s.rate;
  std::vector<Tensor> total;
  for (size_t i = 0; i < implicit.size(); ++i)
    total.push_back(ahead.direct[i] - implicit[i] * rate);
  return {total, ahead.loss};
}

class FirstOrder final : public ArchGradient {
 public:
  std::string_view name() const override { return "first-order"; }
  ArchGradientResult compute(const Bilevel& p, const InnerStep&) const override {
    const Frozen frozen(p.weights);
    const Tensor loss = p.validation_loss();
    return {gradients(loss, p.alphas.tensors()), loss.detach()};
  }
};

// A sum of differences of gradients at w + kRv and w - kRv, or w where one-sided, over R.
struct Difference {
  double k, coefficient;
};
std::vector<Difference> differences(int64_t points) {
  switch (points) {
    case 1:
      return {{1, 1}};
    case 2:
      return {{1, 0.5}};
    case 4:
      return {{1, 8.0 / 12}, {2, -1.0 / 12}};
    default:
      throw std::invalid_argument(
          fmt::format("finite-difference: {} points; expected 1, 2 or 4", points));
  }
}

class FiniteDifference final : public ArchGradient {
 public:
  explicit FiniteDifference(const ArchGradientOptions& o)
      : radius_(o.radius),
        relative_(o.relative),
        one_sided_(o.points == 1),
        differences_(differences(o.points)) {
    if (!(radius_ > 0))
      throw std::invalid_argument(
          fmt::format("finite-difference: radius {}; expected a positive number", radius_));
  }
  std::string_view name() const override { return "finite-difference"; }
  bool looks_ahead() const override { return true; }
  ArchGradientResult compute(const Bilevel& p, const InnerStep& s) const override {
    const ValidationGradient ahead = look_ahead(p, s);
    const Label label("probe", ProfileKind::kPhase);
    const NoGrad no_grad;
    std::vector<Tensor> implicit;
    for (const Difference& d : differences_) {
      const Probe probe = probe_along(p.weights, ahead.v, d);
      std::vector<Tensor> displacement;
      for (const Tensor& v : ahead.v) displacement.push_back(v * probe.scale);
      const std::vector<Tensor> plus = at(p, displacement, [](auto& w, auto& x) { return w + x; });
      const std::vector<Tensor> minus =
          at(p, displacement, [&](auto& w, auto& x) { return one_sided_ ? w : w - x; });
      for (size_t i = 0; i < plus.size(); ++i) {
        const Tensor part = (plus[i] - minus[i]) * probe.inverse;
        if (implicit.size() == i) {
          implicit.push_back(part);
        } else {
          implicit[i] = implicit[i] + part;
        }
      }
    }
    return combine(ahead, implicit, s);
  }

 private:
  struct Probe {
    Tensor scale, inverse;  // k R and coefficient / R, shape (), of the weights' dtype
  };
  // Both 0 for a direction too short to be scaled to the radius: the implicit term is as good as
  // zero. Nothing is read back from a device.
  Probe probe_along(const Weights& weights,
                    const std::vector<Tensor>& v,
                    const Difference& d) const {
    const NoGrad no_grad;
    Tensor norm = sqrt(reshape(squared_norm(weights, v), {}));
    const Tensor is_long = norm - 1e-12;
    if (relative_) norm = norm / sqrt(reshape(squared_norm(weights, weights.tensors()), {}));
    const auto number = [&](const Tensor& x) { return cast(gate(x, is_long), v[0].dtype()); };
    return {number(reciprocal(norm) * (d.k * radius_)), number(norm / (radius_ / d.coefficient))};
  }

  // dL_train/dalpha at weights that are displaced.
  template <typename Displace>
  static std::vector<Tensor> at(const Bilevel& p,
                                const std::vector<Tensor>& displacement,
                                const Displace& displace) {
    std::vector<Tensor> w = p.weights.tensors();
    for (size_t i = 0; i < w.size(); ++i) w[i] = displace(w[i], displacement[i]);
    const GradModeGuard record(true);
    return train_alpha_gradient(p, detached(w));
  }

  const double radius_;
  const bool relative_, one_sided_;
  const std::vector<Difference> differences_;
};

class ExactUnrolled final : public ArchGradient {
 public:
  std::string_view name() const override { return "exact-unrolled"; }
  bool looks_ahead() const override { return true; }
  ArchGradientResult compute(const Bilevel& p, const InnerStep& s) const override {
    const ValidationGradient ahead = look_ahead(p, s);
    const Label label("mixed product", ProfileKind::kPhase);
    const FullPrecision full;
    return combine(
        ahead, mixed_product(p.train_loss(), p.weights.tensors(), ahead.v, p.alphas.tensors()), s);
  }
};

class OneLevel final : public ArchGradient {
 public:
  std::string_view name() const override { return "one-level"; }
  bool joint() const override { return true; }
  ArchGradientResult compute(const Bilevel& p, const InnerStep&) const override {
    const Frozen frozen(p.weights);
    const Tensor loss = p.train_loss();
    return {gradients(loss, p.alphas.tensors()), loss.detach()};
  }
};

template <typename T>
std::unique_ptr<ArchGradient> make(const ArchGradientOptions& options) {
  if constexpr (std::is_constructible_v<T, const ArchGradientOptions&>) {
    return std::make_unique<T>(options);
  } else {
    return std::make_unique<T>();
  }
}
struct Row {
  std::string_view name;
  std::unique_ptr<ArchGradient> (*make)(const ArchGradientOptions&);
};
constexpr Row kRows[] = {{"first-order", make<FirstOrder>},
                         {"finite-difference", make<FiniteDifference>},
                         {"exact-unrolled", make<ExactUnrolled>},
                         {"one-level", make<OneLevel>}};
constexpr auto kNames = names_of(kRows);

}  // namespace

Bilevel Bilevel::at_step(int64_t t) const {
  Bilevel problem = *this;
  if (train_loss_of) problem.train_loss = [of = train_loss_of, t] { return of(t); };
  return problem;
}

InnerState advance(const InnerStep& s,
                   const std::vector<Tensor>& weights,
                   const std::vector<Tensor>& buffers,
                   const std::vector<Tensor>& gradient) {
  const NoGrad no_grad;
  InnerState next;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Tensor d = s.weight_decay == 0 ? gradient[i] : gradient[i] + weights[i] * s.weight_decay;
    const Tensor buffer = buffers.empty() ? d : d + buffers[i] * s.momentum;
    next.buffers.push_back(buffer);
    next.weights.push_back(weights[i] - (s.nesterov ? d + buffer * s.momentum : buffer) * s.rate);
  }
  return next;
}

std::unique_ptr<ArchGradient> make_arch_gradient(std::string_view name,
                                                 const ArchGradientOptions& options) {
  return find_named("gradient", name, kRows).make(options);
}

std::span<const std::string_view> arch_gradient_names() {
  return kNames;
}

}  // namespace oche::nas
