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

NetworkOptions network_options(const SearchConfig& c,
                               const Space& space,
                               int64_t image_channels,
                               int64_t classes) {
  return {.image_channels = image_channels,
          .classes = classes,
          .layers = c.layers,
          .channels = c.channels,
          .steps = c.steps,
          .multiplier = c.multiplier,
          .stem_multiplier = c.stem_multiplier,
          .space = space,
          .fuse = c.fuse,
          .precision = precision_of(c),
          .channel_share = c.channel_share,
          .seed = c.seed,
          .dtype = c.dtype};
}

}  // namespace

SearchState::SearchState(const SearchConfig& c, int64_t image_channels, int64_t classes)
    : SearchState(c, make_space(c.space, c.steps), image_channels, classes) {}

SearchState::SearchState(const SearchConfig& c, Space what, int64_t image_channels, int64_t classes)
    : space(std::move(what)),
      network(network_options(c, space, image_channels, classes)),
      arch(space,
           {.deviation = c.alpha_init,
            .edge_weights = c.edge_weights != "none",
            .seed = c.seed,
            .dtype = c.dtype}),
      sgd(network.weights(),
          {.momentum = c.momentum, .weight_decay = c.weight_decay, .nesterov = c.nesterov}),
      adam(arch.alphas(),
           {.lr = c.alpha_lr,
            .beta1 = c.alpha_beta1,
            .beta2 = c.alpha_beta2,
            .weight_decay = c.alpha_weight_decay}),
      config_(c),
      relaxation_(make_relaxation(c.relaxation)),
      perturbation_(make_perturbation(c.perturb)),
      arch_gradient_(make_arch_gradient(c.gradient, {.radius = c.radius})),
      regulariser_(make_regulariser(c.regulariser, c.regulariser_weight)),
      rate_(Tensor::zeros({}, c.dtype)),
      temperature_(Tensor::full({}, c.temperature, c.dtype)),
      radius_(Tensor::full({}, c.perturb_radius, c.dtype)),
      numbers_(Tensor::zeros({3}, DType::kFloat64)),
      losses_(Tensor::zeros({2}, c.dtype)),
      squares_(Tensor::zeros({1}, DType::kFloat64)),
      flag_(Tensor::zeros({1}, DType::kInt64)),
      step_(Tensor::zeros({1}, DType::kInt64)) {
  initialise(network.named_parameters(), c.seed);
  set_edge_rates(
      {.skip_dropout = c.skip_dropout, .op_dropout = c.op_dropout, .drop_path = c.drop_path});
}

void SearchState::set_radius(double radius) {
  radius_.assign(Tensor::full({}, radius, config_.dtype));
}

void SearchState::set_temperature(double temperature) {
  temperature_.assign(Tensor::full({}, temperature, config_.dtype));
}

namespace {

// Takes back what the first half of a step changed, unless it is kept. Allocates up front, so that
// going back cannot fail.
class Rollback {
 public:
  explicit Rollback(std::vector<Tensor> targets) : targets_(std::move(targets)) {
    for (const Tensor& t : targets_) values_.push_back(t.clone());
  }
  ~Rollback() {
    if (kept_) return;
    for (size_t i = 0; i < targets_.size(); ++i) targets_[i].assign(values_[i]);
  }
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;

  void keep() { kept_ = true; }

 private:
  std::vector<Tensor> targets_, values_;
  bool kept_ = false;
};

}  // namespace

struct SearchState::WeightGradient {
  Tensor loss;
  std::vector<Tensor> gradients, alphas;  // the latter where the estimator is joint
  std::vector<BufferUpdate> statistics;
};

ArchGradientResult SearchState::alpha_gradient(const Batch& train,
                                               const Batch& validation,
                                               int64_t index) {
  const Label part("alpha step", ProfileKind::kPhase);
  InnerStep ahead = inner_step(0);
  ahead.rate = rate_;
  Tensor task;
  ArchGradientResult result =
      arch_gradient_->compute(bilevel(train, validation, index, &task), ahead);
  result.validation_loss = task;
  return result;
}

SearchState::WeightGradient SearchState::weight_gradient(const Batch& train, int64_t index) {
  const Label part("weight step", ProfileKind::kPhase);
  WeightGradient w;
  Pass training = pass(index, Phase::kTrain);
  training.updates = &w.statistics;
  std::vector<Tensor> inputs = network.weights().tensors();
  const auto weights = std::ssize(inputs);
  if (arch_gradient_->joint()) {
    const std::vector<Tensor> alphas = arch.alphas().tensors();
    inputs.insert(inputs.end(), alphas.begin(), alphas.end());
    const AlphaLoss l = alpha_loss(train, training);
    w.loss = l.task;
    w.gradients = grad(l.regularised, inputs);
  } else {
    const Frozen frozen(arch.alphas());
    w.loss = loss(train, train_mixtures(train, training), training);
    w.gradients = grad(w.loss, inputs);
  }
  // What did not run has a gradient of 0: it decays and keeps its momentum.
  w.gradients = defined_or_zeros(w.gradients, inputs);
  w.alphas.assign(w.gradients.begin() + weights, w.gradients.end());
  w.gradients.resize(weights);
  return w;
}

void SearchState::move_alphas(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> g = gradients;
  if (config_.alpha_grad_clip > 0) {
    const NoGrad no_grad;
    const Tensor factor =
        clip_factor(squared_norm(arch.alphas(), g), config_.alpha_grad_clip);  // f64 (1)
    for (Tensor& t : g) t = t * reshape(cast(factor, t.dtype()), {});
  }
  adam.step(g, slice(numbers_, 0, 1, 3), flag_);
}

void SearchState::alpha_step(const Batch& train, const Batch& validation, int64_t index) {
  if (alphas_rest_) {
    const NoGrad no_grad;
    const Tensor measured = loss(validation, pass(index, Phase::kValidation));
    flag_non_finite({measured}, static_cast<int64_t>(Half::kAlpha), flag_);
    slice(losses_, 0, 0, 1).assign(reshape(measured, {1}));
    return;
  }
  const ArchGradientResult alpha = alpha_gradient(train, validation, index);
  std::vector<Tensor> made = alpha.gradients;
  made.push_back(alpha.validation_loss);
  flag_non_finite(made, static_cast<int64_t>(Half::kAlpha), flag_);
  move_alphas(alpha.gradients);
  slice(losses_, 0, 0, 1).assign(reshape(alpha.validation_loss, {1}));
}

void SearchState::weight_step(const Batch& train, int64_t index) {
  const WeightGradient w = weight_gradient(train, index);
  const Tensor squares = squared_norm(network.weights(), w.gradients);
  std::vector<Tensor> made = {w.loss.detach(), squares};
  for (const BufferUpdate& u : w.statistics) made.push_back(u.batch);
  made.insert(made.end(), w.alphas.begin(), w.alphas.end());
  flag_non_finite(made, static_cast<int64_t>(Half::kWeights), flag_);
  const Tensor scale = clip_factor(squares, config_.grad_clip);
  if (!w.alphas.empty()) {
    move_alphas(w.alphas);
    slice(losses_, 0, 0, 1).assign(reshape(w.loss.detach(), {1}));
  }
  sgd.step(w.gradients, slice(numbers_, 0, 0, 1), scale, flag_);  // changes nothing if it throws
  move_statistics(w.statistics, flag_);
  slice(losses_, 0, 1, 2).assign(reshape(w.loss.detach(), {1}));
  squares_.assign(squares);
  counters_ = counters_of(w.statistics);
}

// The halves of a step on batches of one shape, recorded; in a dry run what they take of memory.
struct SearchState::Recorded {
  Recorded(SearchState& state, const Batch& train_like, const Batch& validation_like, int64_t index)
      : train(copy(train_like)),
        validation(copy(validation_like)),
        rest(state.alphas_rest_),
        rates(state.network.rates()) {
    const auto running = [this, &state, index](Half half) {
      return [this, &state, index, half] { state.run_half(half, train, validation, index); };
    };
    int64_t bytes = 0;
    for (const Half half : state.halves()) bytes = std::max(bytes, arena_bytes(running(half)));
    arena.emplace(bytes);
    if (DryRun::active()) return;
    for (const Half half : state.halves())
      work.push_back(std::make_unique<RecordedWork>(running(half), *arena));
  }

  bool fits(const SearchState& state, const Batch& batch) const {
    return batch.images.shape() == train.images.shape() && rest == state.alphas_rest_ &&
           rates == state.network.rates();
  }
  void replay(const Batch& next_train, const Batch& next_validation) {
    take(next_train, train);
    take(next_validation, validation);
    for (const auto& half : work) half->replay();
  }

  static Batch copy(const Batch& b) {
    return b.images ? Batch{b.images.clone(), b.labels.clone()} : Batch{};
  }
  static void take(const Batch& from, const Batch& to) {
    if (!to.images) return;
    to.images.assign(from.images);
    to.labels.assign(from.labels);
  }

  Batch train, validation;
  const bool rest;
  const EdgeRates rates;
  std::optional<Arena> arena;
  std::vector<std::unique_ptr<RecordedWork>> work;  // the halves, in order
};

SearchState::~SearchState() = default;

std::optional<SearchState::RecordedCost> SearchState::recorded_cost() const {
  if (!recorded_ || recorded_->work.empty()) return std::nullopt;
  int64_t launches = 0;
  for (const auto& half : recorded_->work) launches += half->launches();
  return RecordedCost{launches, recorded_->arena->bytes()};
}

std::vector<SearchState::Half> SearchState::halves() const {
  if (arch_gradient_->joint()) return {Half::kWeights};
  if (config_.order == "weights-first") return {Half::kWeights, Half::kAlpha};
  return {Half::kAlpha, Half::kWeights};
}

void SearchState::run_half(Half half, const Batch& train, const Batch& validation, int64_t index) {
  if (half == Half::kAlpha) {
    alpha_step(train, validation, index);
  } else {
    weight_step(train, index);
  }
}

std::vector<Tensor> SearchState::moved_first() {
  const bool alpha_moves = halves().front() == Half::kAlpha || arch_gradient_->joint();
  std::vector<Tensor> moved =
      detached(alpha_moves ? arch.alphas().tensors() : network.weights().tensors());
  const auto add = [&](const std::vector<Tensor>& more) {
    moved.insert(moved.end(), more.begin(), more.end());
  };
  if (alpha_moves) {
    add(adam.first_moments());
    add(adam.second_moments());
  } else {
    add(sgd.momentum_buffers());
    for (const NamedBuffer& b : network.named_buffers()) moved.push_back(b.tensor);
  }
  return moved;
}

void SearchState::run_step(const Batch& train, const Batch& validation, int64_t index) {
  // A profile and the search for a bad value want to see each op.
  const bool eager = !graphs_ || !warm_ || relaxation_->draws_mask() ||
                     flag_.device() == Device() || Profiler::active() || OpObserver::any();
  if (eager) {
    for (const Half half : halves()) run_half(half, train, validation, index);
    warm_ = true;
    return;
  }
  if (!recorded_ || !recorded_->fits(*this, train)) {
    recorded_.reset();
    recorded_ = std::make_unique<Recorded>(*this, train, validation, index);
    release_unused_memory();
  }
  recorded_->replay(train, validation);
}

void SearchState::fail(int64_t flag, const Batch& train, const Batch& validation, int64_t index) {
  const FiniteChecks checks;
  if (flag == static_cast<int64_t>(Half::kAlpha)) {
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
  Rollback rollback(moved_first());
  run_step(train, validation, index);
  if (DryRun::active()) return {};

  const double validation_loss = slice(losses_, 0, 0, 1).item();
  const double train_loss = slice(losses_, 0, 1, 2).item();
  if (const auto flag = static_cast<int64_t>(flag_.item()); flag != 0) {
    fail(flag, train, validation, index);
  }
  rollback.keep();
  if (!alphas_rest_) adam.set_steps(adam.steps() + 1);
  count(counters_);
  return {train_loss, validation_loss, std::sqrt(squares_.item())};
}

}  // namespace oche::nas
