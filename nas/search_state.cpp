// One step of a search: the alphas' half, then the weights', each recorded and replayed on a CUDA
// device.
#include "nas/search_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/graph.h"

namespace oche::nas {
namespace {

NetworkOptions network_options(const SearchConfig& c, int64_t image_channels, int64_t classes) {
  return {.image_channels = image_channels,
          .classes = classes,
          .layers = c.layers,
          .channels = c.channels,
          .steps = c.steps,
          .multiplier = c.multiplier,
          .stem_multiplier = c.stem_multiplier,
          .fuse = c.fuse,
          .precision = precision_of(c),
          .dtype = c.dtype};
}

}  // namespace

SearchState::SearchState(const SearchConfig& c, int64_t image_channels, int64_t classes)
    : network(network_options(c, image_channels, classes)),
      arch(c.steps, c.alpha_init, c.seed, c.dtype),
      sgd(network.weights(), {.momentum = c.momentum, .weight_decay = c.weight_decay}),
      adam(arch.alphas(),
           {.lr = c.alpha_lr,
            .beta1 = c.alpha_beta1,
            .beta2 = c.alpha_beta2,
            .weight_decay = c.alpha_weight_decay}),
      config_(c),
      arch_gradient_(make_arch_gradient(c.gradient, {.radius = c.radius})),
      rate_(Tensor::zeros({}, c.dtype)),
      numbers_(Tensor::zeros({3}, DType::kFloat64)),
      losses_(Tensor::zeros({2}, c.dtype)),
      squares_(Tensor::zeros({1}, DType::kFloat64)),
      flag_(Tensor::zeros({1}, DType::kInt64)),
      step_(Tensor::zeros({1}, DType::kInt64)) {
  initialise(network.named_parameters(), c.seed);
}

Tensor SearchState::loss(const Batch& batch, const Pass& pass) const {
  return cross_entropy(network.forward(batch.images, arch.mixtures(), pass), batch.labels);
}

Pass SearchState::pass(int64_t index, Phase phase) const {
  return {.step = index, .phase = phase, .step_at = step_at_};
}

Bilevel SearchState::bilevel(const Batch& train, const Batch& validation, int64_t index) {
  return {.weights = network.weights(),
          .alphas = arch.alphas(),
          .train_loss = [this, train, index] { return loss(train, pass(index, Phase::kUnrolled)); },
          .validation_loss = [this,
                              validation,
                              index] { return loss(validation, pass(index, Phase::kValidation)); }};
}

InnerStep SearchState::inner_step(double lr) const {
  return {.rate = Tensor::full({}, lr, config_.dtype),
          .momentum = config_.momentum,
          .weight_decay = config_.weight_decay,
          .buffers = sgd.momentum_buffers()};
}

namespace {

constexpr int64_t kAlphaHalf = 1, kWeightHalf = 2;  // what the flag says

// Takes Adam's step back unless it is kept. Allocates up front, so that going back cannot fail.
class AlphaRollback {
 public:
  AlphaRollback(const Alphas& alphas, const Adam& adam) : targets_(detached(alphas.tensors())) {
    targets_.insert(targets_.end(), adam.first_moments().begin(), adam.first_moments().end());
    targets_.insert(targets_.end(), adam.second_moments().begin(), adam.second_moments().end());
    for (const Tensor& t : targets_) values_.push_back(t.clone());
  }
  ~AlphaRollback() {
    if (kept_) return;
    for (size_t i = 0; i < targets_.size(); ++i) targets_[i].assign(values_[i]);
  }
  AlphaRollback(const AlphaRollback&) = delete;
  AlphaRollback& operator=(const AlphaRollback&) = delete;

  void keep() { kept_ = true; }

 private:
  std::vector<Tensor> targets_, values_;
  bool kept_ = false;
};

}  // namespace

struct SearchState::WeightGradient {
  Tensor loss;
  std::vector<Tensor> gradients;
  std::vector<BufferUpdate> statistics;
};

ArchGradientResult SearchState::alpha_gradient(const Batch& train,
                                               const Batch& validation,
                                               int64_t index) {
  const Label part("alpha step", ProfileKind::kPhase);
  InnerStep ahead = inner_step(0);
  ahead.rate = rate_;
  return arch_gradient_->compute(bilevel(train, validation, index), ahead);
}

SearchState::WeightGradient SearchState::weight_gradient(const Batch& train, int64_t index) {
  const Label part("weight step", ProfileKind::kPhase);
  const Frozen frozen(arch.alphas());
  WeightGradient w;
  Pass training = pass(index, Phase::kTrain);
  training.updates = &w.statistics;
  w.loss = loss(train, training);
  w.gradients = grad(w.loss, network.weights().tensors());
  return w;
}

void SearchState::alpha_step(const Batch& train, const Batch& validation, int64_t index) {
  const ArchGradientResult alpha = alpha_gradient(train, validation, index);
  std::vector<Tensor> made = alpha.gradients;
  made.push_back(alpha.validation_loss);
  flag_non_finite(made, kAlphaHalf, flag_);
  adam.step(alpha.gradients, slice(numbers_, 0, 1, 3), flag_);
  slice(losses_, 0, 0, 1).assign(reshape(alpha.validation_loss, {1}));
}

void SearchState::weight_step(const Batch& train, int64_t index) {
  const WeightGradient w = weight_gradient(train, index);
  const Tensor squares = squared_norm(network.weights(), w.gradients);
  std::vector<Tensor> made = {w.loss.detach(), squares};
  for (const BufferUpdate& u : w.statistics) made.push_back(u.batch);
  flag_non_finite(made, kWeightHalf, flag_);
  const Tensor scale = clip_factor(squares, config_.grad_clip);
  sgd.step(w.gradients, slice(numbers_, 0, 0, 1), scale, flag_);  // changes nothing if it throws
  move_statistics(w.statistics, flag_);
  slice(losses_, 0, 1, 2).assign(reshape(w.loss.detach(), {1}));
  squares_.assign(squares);
  counters_ = counters_of(w.statistics);
}

// The halves of a step on batches of one shape, recorded; in a dry run what they take of memory.
struct SearchState::Recorded {
  Recorded(SearchState& state, const Batch& train_like, const Batch& validation_like, int64_t index)
      : train{train_like.images.clone(), train_like.labels.clone()},
        validation{validation_like.images.clone(), validation_like.labels.clone()} {
    const auto alpha_work = [this, &state, index] { state.alpha_step(train, validation, index); };
    const auto weight_work = [this, &state, index] { state.weight_step(train, index); };
    arena.emplace(std::max(arena_bytes(alpha_work), arena_bytes(weight_work)));
    if (DryRun::active()) return;
    alpha.emplace(alpha_work, *arena);
    weight.emplace(weight_work, *arena);
  }

  bool fits(const Batch& batch) const { return batch.images.shape() == train.images.shape(); }
  void replay(const Batch& next_train, const Batch& next_validation) {
    train.images.assign(next_train.images);
    train.labels.assign(next_train.labels);
    validation.images.assign(next_validation.images);
    validation.labels.assign(next_validation.labels);
    if (DryRun::active()) return;
    alpha->replay();
    weight->replay();
  }

  Batch train, validation;
  std::optional<Arena> arena;
  std::optional<RecordedWork> alpha, weight;
};

SearchState::~SearchState() = default;

std::optional<SearchState::RecordedCost> SearchState::recorded_cost() const {
  if (!recorded_ || !recorded_->alpha) return std::nullopt;
  return RecordedCost{recorded_->alpha->launches() + recorded_->weight->launches(),
                      recorded_->arena->bytes()};
}

void SearchState::run_step(const Batch& train, const Batch& validation, int64_t index) {
  // A profile and the search for a bad value want to see each op.
  const bool eager =
      !graphs_ || !warm_ || flag_.device() == Device() || Profiler::active() || OpObserver::any();
  if (eager) {
    alpha_step(train, validation, index);
    weight_step(train, index);
    warm_ = true;
    return;
  }
  if (!recorded_ || !recorded_->fits(train)) {
    recorded_.reset();
    recorded_ = std::make_unique<Recorded>(*this, train, validation, index);
    release_unused_memory();
  }
  recorded_->replay(train, validation);
}

void SearchState::fail(int64_t flag, const Batch& train, const Batch& validation, int64_t index) {
  const FiniteChecks checks;
  if (flag == kAlphaHalf) {
    alpha_gradient(train, validation, index);
    throw NonFinite(current_labels(), "the architecture gradient");
  }
  weight_gradient(train, index);
  throw NonFinite(current_labels(), "the weight gradient");
}

SearchState::StepResult SearchState::step(const Batch& train,
                                          const Batch& validation,
                                          double lr,
                                          int64_t index) {
  const Label label(fmt::format("step {}", index));
  const auto [first, second] = adam.corrections();
  struct StepData {  // in a step its number is data, so that it can be replayed as another
    StepData(SearchState& s, int64_t index) : at(s.step_at_) {
      s.step_.assign(Tensor::full({1}, static_cast<double>(index), DType::kInt64));
      if (!DryRun::active()) at = s.step_.data<int64_t>();
    }
    ~StepData() { at = nullptr; }
    const int64_t*& at;
  } const step_data(*this, index);
  rate_.assign(Tensor::full({}, lr, config_.dtype));
  numbers_.assign(Tensor::from(std::vector{lr, first, second}, {3}));
  flag_.assign(Tensor::zeros({1}, DType::kInt64));
  AlphaRollback rollback(arch.alphas(), adam);
  run_step(train, validation, index);
  if (DryRun::active()) return {};

  const double validation_loss = slice(losses_, 0, 0, 1).item();
  const double train_loss = slice(losses_, 0, 1, 2).item();
  if (const auto flag = static_cast<int64_t>(flag_.item()); flag != 0) {
    fail(flag, train, validation, index);
  }
  rollback.keep();
  adam.set_steps(adam.steps() + 1);
  count(counters_);
  return {train_loss, validation_loss, std::sqrt(squares_.item())};
}

}  // namespace oche::nas
