// The passes of a search step: what the cells run, and the losses that are made of it.
#include "engine/ops.h"
#include "nas/search_state.h"

namespace oche::nas {

Tensor SearchState::loss(const Batch& batch, const Pass& pass) const {
  return loss(batch, mixtures(pass), pass);
}

Tensor SearchState::loss(const Batch& batch, const CellMixtures& mixtures, const Pass& pass) const {
  return cross_entropy(network.forward(batch.images, mixtures, pass), batch.labels);
}

Tensor SearchState::search_loss(const Batch& batch, int64_t index) const {
  return loss(batch, pass(index, Phase::kValidation));
}

SearchState::AlphaLoss SearchState::alpha_loss(const Batch& batch, const Pass& pass) const {
  const CellMixtures m = mixtures(pass);
  const Tensor task = loss(batch, m, pass);
  return {task, regulariser_->apply(task, {m.normal.weights, m.reduce.weights, costs(batch)})};
}

// They are made in the first step, so a recorded one finds them.
std::span<const CellCosts> SearchState::costs(const Batch& batch) const {
  if (regulariser_->costs() && costs_.empty())
    costs_ = costs_of(network.options(), batch.images.size(1), batch.images.size(2));
  return costs_;
}

CellMixtures SearchState::mixtures(const Pass& pass) const {
  const auto mix =
      [&](const Tensor& alpha, const Tensor& beta, const CellSpace& cell, std::string_view table) {
        if (!alpha) return Mixture();
        const RandomKey key = random_key(config_.seed, module_id(table), Purpose::kGumbel);
        Mixture m = relaxation_->mix(alpha, {temperature_, pass.random(key), cell.costliest()});
        if (beta) m.edge_weights = node_softmax(beta, cell.edges_into_nodes());
        return m;
      };
  return {mix(arch.normal(), arch.normal_edges(), space.normal, "alphas_normal"),
          mix(arch.reduce(), arch.reduce_edges(), space.reduce, "alphas_reduce")};
}

AlphaTables SearchState::alphas() const {
  return {arch.normal(), arch.reduce(), arch.normal_edges(), arch.reduce_edges()};
}

CellMixtures SearchState::train_mixtures(const Batch& train, const Pass& pass) {
  CellMixtures clean = mixtures(pass);
  std::vector<Tensor> tables;
  PerturbationInput input{radius_, {}};
  const auto add = [&](const Mixture& m, std::string_view table) {
    if (!m.weights) return;
    tables.push_back(m.weights);
    input.noise.push_back(
        pass.random(random_key(config_.seed, module_id(table), Purpose::kPerturb)));
  };
  add(clean.normal, "alphas_normal");
  add(clean.reduce, "alphas_reduce");
  const auto with = [&](const std::vector<Tensor>& weights) {
    CellMixtures m = clean;
    auto next = weights.begin();
    for (Mixture* mixture : {&m.normal, &m.reduce})
      if (mixture->weights) mixture->weights = *next++;
    return m;
  };
  // As an evaluation sees the network: without dropout, too.
  const Pass evaluation{
      .statistics = Statistics::kRunning, .step = pass.step, .step_at = pass.step_at};
  const auto evaluated = [&](const std::vector<Tensor>& weights) {
    const Frozen frozen(network.weights());
    return loss(train, with(weights), evaluation);
  };
  return with(perturbation_->apply(tables, evaluated, input));
}

Pass SearchState::pass(int64_t index, Phase phase) const {
  return {.step = index, .phase = phase, .step_at = step_at_};
}

Bilevel SearchState::bilevel(const Batch& train,
                             const Batch& validation,
                             int64_t index,
                             Tensor* task) {
  return {.weights = network.weights(),
          .alphas = arch.alphas(),
          .train_loss = [this, train, index] { return loss(train, pass(index, Phase::kUnrolled)); },
          .validation_loss =
              [this, validation, index, task] {
                const AlphaLoss l = alpha_loss(validation, pass(index, Phase::kValidation));
                if (task) *task = l.task.detach();
                return l.regularised;
              }};
}

InnerStep SearchState::inner_step(double lr) const {
  return {.rate = Tensor::full({}, lr, config_.dtype),
          .momentum = config_.momentum,
          .weight_decay = config_.weight_decay,
          .buffers = sgd.momentum_buffers(),
          .nesterov = config_.nesterov};
}

}  // namespace oche::nas
