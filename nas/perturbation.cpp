// What the weights of candidates become for the weight half of a step.
#include "nas/perturbation.h"

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/dispatch.h"
#include "engine/nn.h"
#include "engine/ops.h"
#include "kernels/random.h"
#include "nas/named_parts.h"

namespace oche::nas {
namespace {

Tensor uniform_noise(const Tensor& like, const RandomAddress& at) {  // in -1 .. 1
  const Tensor noise = Tensor::empty(like.shape(), like.dtype(), like.device());
  if (DryRun::active()) return noise;
  dispatch(noise, [&]<typename T>(auto& ctx) {
    kernels::fill_uniform<T>(ctx,
                             at.key,
                             random_counter(at.step, at.phase, at.step_at),
                             noise.numel(),
                             -1,
                             1,
                             noise.mutable_data<T>());
  });
  return noise;
}

Tensor at_most(const Tensor& x, const Tensor& bound) {
  return x - relu(x - bound);
}

Tensor at_least(const Tensor& x, const Tensor& bound) {
  return x + relu(bound - x);
}

class None final : public Perturbation {
 public:
  std::string_view name() const override { return "none"; }
  std::vector<Tensor> apply(const std::vector<Tensor>& clean,
                            const WeightsLoss&,
                            const PerturbationInput&) const override {
    return detached(clean);
  }
};

class Random final : public Perturbation {
 public:
  std::string_view name() const override { return "random"; }
  std::vector<Tensor> apply(const std::vector<Tensor>& clean,
                            const WeightsLoss&,
                            const PerturbationInput& in) const override {
    const NoGrad no_grad;
    std::vector<Tensor> perturbed;
    for (size_t i = 0; i < clean.size(); ++i)
      perturbed.push_back(clip_to_simplex(random_neighbour(clean[i], in.radius, in.noise.at(i))));
    return perturbed;
  }
};

// Ascent by the sign of the gradient, within a ball of the largest norm.
class Adversarial final : public Perturbation {
 public:
  std::string_view name() const override { return "adversarial"; }
  std::vector<Tensor> apply(const std::vector<Tensor>& clean,
                            const WeightsLoss& loss,
                            const PerturbationInput& in) const override {
    const Label part("perturbation");
    std::vector<Tensor> a;
    {
      const NoGrad no_grad;
      for (size_t i = 0; i < clean.size(); ++i)
        a.push_back(random_neighbour(clean[i], in.radius, in.noise.at(i)));
    }
    for (int step = 0; step < kAttackSteps; ++step) {
      a = detached_leaves(a);
      const std::vector<Tensor> g = defined_or_zeros(grad(loss(a), a), a);
      const NoGrad no_grad;
      for (size_t i = 0; i < a.size(); ++i) {
        const Tensor moved = a[i] + in.radius * (2.0 / kAttackSteps) * sign(g[i]);
        a[i] =
            clip_to_simplex(at_most(at_least(moved, clean[i] - in.radius), clean[i] + in.radius));
      }
    }
    const NoGrad no_grad;
    const std::vector<Tensor> p = detached(clean);
    // 1 where the clean weights stay. A choice by arithmetic waits for no device, and a loss that
    // is not a number stays one.
    const Tensor stays = relu(sign(loss(p) - loss(a)));
    for (size_t i = 0; i < a.size(); ++i) a[i] = p[i] * stays + a[i] * (1 - stays);
    return a;
  }
};

template <typename T>
std::unique_ptr<Perturbation> make() {
  return std::make_unique<T>();
}
struct Row {
  std::string_view name;
  std::unique_ptr<Perturbation> (*make)();
};
constexpr Row kRows[] = {
    {"none", make<None>},
    {"random", make<Random>},
    {"adversarial", make<Adversarial>},
};
constexpr auto kNames = names_of(kRows);

}  // namespace

std::unique_ptr<Perturbation> make_perturbation(std::string_view name) {
  return find_named("perturbation", name, kRows).make();
}

std::span<const std::string_view> perturbation_names() {
  return kNames;
}

Tensor clip_to_simplex(const Tensor& x) {
  const Tensor inside = at_most(relu(x), Tensor::ones({}, x.dtype(), x.device()));
  const Tensor empty = 1 - sign(sum(inside, 1, true));  // 1 for a row of zeros
  const Tensor rescued = scatter_add(empty, 1, max(x, 1, true).indices, x.size(1));
  const Tensor kept = inside + rescued;
  return kept / sum(kept, 1, true);
}

Tensor random_neighbour(const Tensor& p, const Tensor& r, const RandomAddress& at) {
  return p + r * uniform_noise(p, at);
}

}  // namespace oche::nas
