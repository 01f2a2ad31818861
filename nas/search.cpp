// The search.
#include "nas/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/lanczos.h"
#include "nas/data/split.h"
#include "nas/hessian.h"
#include "nas/stages.h"

namespace oche::nas {
namespace {

constexpr int64_t kSubset = 1024;  // images of each half that an epoch's accuracies are measured on

const SearchConfig& checked(const SearchConfig& c) {
  validate(c);
  return c;
}

LoaderOptions loader_options(const SearchConfig& c, std::string_view half, int64_t step) {
  return {.batch = c.batch,
          .seed = c.seed,
          .stream = module_id(half),
          .augment = {.crop = c.augment, .flip = c.augment && c.flip, .cutout = c.cutout},
          .dtype = c.dtype,
          .step = step};
}

std::vector<int64_t> first(const std::vector<int64_t>& images, int64_t count) {
  return {images.begin(), images.begin() + std::min<std::ptrdiff_t>(count, std::ssize(images))};
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// With one level all images train both, and what is measured beside is of the same images.
Split split(const SearchConfig& c, const Dataset& set) {
  if (c.train_size > set.size()) {
    throw std::invalid_argument(fmt::format(
        "--train-size: {} images asked for; {} has {}", c.train_size, set.name, set.size()));
  }
  const std::vector<int64_t> all =
      select_images(set, c.train_size > 0 ? c.train_size : set.size(), c.seed);
  if (one_level(c)) return {all, all};
  return split_images(set, all, c.train_fraction, c.seed);
}

}  // namespace

Search::Search(const SearchConfig& config, const Dataset& images)
    : config_(checked(config)),
      stages_(stage_count(config)),
      stage_config_(nas::stage_config(config, 0)),
      images_(images),
      train_images_(split(config, images).train),
      search_images_(split(config, images).search),
      decision_(
          make_decision(config.decision, {.threshold = config.threshold, .skips = config.skips})),
      state_(std::make_unique<SearchState>(stage_config_, images.channels, images.classes)),
      stopped_{make_stop(config.stop, stop_options(config)), {}} {
  continue_from({});
}

void Search::begin_stage(int64_t index, Space space) {
  if (index < 0 || index >= stages_) {
    throw std::invalid_argument(
        fmt::format("no stage {} of a search in {} stages", index + 1, stages_));
  }
  if (!is_left_of(
          space, make_space(config_.space, config_.steps), stage_candidates(config_, index)))
    throw std::invalid_argument(
        fmt::format("the space is not what stage {} may leave of {}", index + 1, config_.space));
  const bool graphs = state_->uses_graphs();
  state_.reset();  // two of them may not fit
  release_unused_memory();
  stage_ = index;
  stage_config_ = nas::stage_config(config_, index);
  state_ = std::make_unique<SearchState>(
      stage_config_, std::move(space), images_.channels, images_.classes);
  state_->use_graphs(graphs);
}

void Search::next_stage() {
  const int64_t next = stage_ + 1, left = stage_candidates(config_, next);
  const CandidateWeights scores = candidate_weights(*state_);
  Space space = state_->space;
  space.normal = shrunk(space.normal, scores.normal, left);
  space.reduce = shrunk(space.reduce, scores.reduce, left);
  begin_stage(next, std::move(space));
}

void Search::set_epoch() {
  const SearchConfig& c = stage_config_;
  // After the last one what it had still holds.
  const int64_t next = stopped_.ending ? progress_.epochs - 1 : progress_.epochs;
  const int64_t epoch = std::min(next - stage_ * c.epochs, c.epochs - 1);
  const EpochNumbers now = epoch_numbers(c, epoch);
  state_->rest_alphas(now.alphas_rest);
  state_->set_temperature(now.temperature);
  state_->set_radius(now.perturb_radius);
  state_->set_edge_rates(now.rates);
}

int64_t Search::steps_per_epoch() const {
  return std::ssize(train_images_) / config_.batch;
}

void Search::continue_from(const SearchProgress& p) {
  const int64_t steps = steps_per_epoch();
  const bool is_epoch = p.epochs >= 0 && p.epochs <= config_.epochs;
  const int64_t within = is_epoch ? p.steps - p.epochs * steps : -1;
  if (within < 0 || within > (p.epochs < config_.epochs ? steps : 0)) {
    throw std::invalid_argument(
        fmt::format("no search of {} epochs of {} steps comes to step {} with {} epochs behind it",
                    config_.epochs,
                    steps,
                    p.steps,
                    p.epochs));
  }
  train_feed_.emplace(images_, train_images_, loader_options(config_, "train", p.steps));
  if (!one_level(config_))
    search_feed_.emplace(images_, search_images_, loader_options(config_, "search", p.steps));
  progress_ = p;
  set_epoch();
}

Genotype Search::genotype() const {
  return derive(
      *decision_, state_->relaxation(), state_->alphas(), state_->space, config_.multiplier);
}

double Search::rate() const {
  const int64_t epoch = progress_.epochs - stage_ * stage_config_.epochs;
  return cosine_rate(
      config_.lr, config_.lr_min, std::min(epoch, stage_config_.epochs - 1), stage_config_.epochs);
}

std::pair<Batch, Batch> Search::study_batches(int64_t k, int64_t size) const {
  const auto batch = [&](const std::vector<int64_t>& half, std::string_view stream) {
    if (size < 1 || size > std::ssize(half))
      throw std::invalid_argument(fmt::format(
          "a batch of {} images; expected 1 to {}, those of a half", size, half.size()));
    LoaderOptions options{.batch = size, .seed = config_.seed, .stream = module_id(stream)};
    options.dtype = config_.dtype;
    options.step = k;
    return BatchFeed(images_, half, options).next();
  };
  return {batch(train_images_, "study.train"), batch(search_images_, "study.search")};
}

Pass Search::last_pass() const {
  return {.step = std::max<int64_t>(0, progress_.steps - 1)};
}

SearchResult Search::run(SearchObserver& observer) {
  bool finished = true;
  while (finished && !stopped_.ending && progress_.epochs < config_.epochs) {
    if (progress_.epochs >= (stage_ + 1) * stage_config_.epochs) next_stage();
    finished = run_epoch(observer);
  }
  const std::optional<Ending>& ending = stopped_.ending;
  SearchResult result{.genotype = ending ? ending->genotype : genotype(),
                      .train_accuracy = 0,
                      .search_accuracy = 0,
                      .discrete_accuracy = 0,
                      .finished = finished,
                      .ending = ending};
  if (finished) {
    result.train_accuracy = accuracy(train_images_, state_->mixtures(last_pass()));
    result.search_accuracy = accuracy(search_images_, state_->mixtures(last_pass()));
    result.discrete_accuracy = accuracy(search_images_, discrete_mixtures(result.genotype));
  }
  return result;
}

bool Search::run_epoch(SearchObserver& observer) {
  SearchProgress& p = progress_;
  const auto start = Clock::now();
  const double seconds_before = p.seconds;
  const auto seconds = [&] { return seconds_before + seconds_since(start); };
  reset_peak_memory();
  const int64_t epoch = p.epochs, steps = steps_per_epoch();
  const double lr = rate();
  set_epoch();
  const auto images_per_second = [&](int64_t steps_done) {
    return static_cast<double>(steps_done * config_.batch) / p.seconds;
  };
  for (int64_t i = p.steps - epoch * steps; i < steps; ++i) {
    const auto [validation, train] = next_batches();
    const SearchState::StepResult r = state_->step(train, validation, lr, p.steps++);
    p.train_loss += r.train_loss;
    p.validation_loss += r.validation_loss;
    p.seconds = seconds();
    p.peak_bytes = std::max(p.peak_bytes, memory_stats().peak);
    observer.on_step({.epoch = epoch,
                      .step = i,
                      .steps = steps,
                      .train_loss = r.train_loss,
                      .validation_loss = r.validation_loss,
                      .images_per_second = images_per_second(i + 1)});
    if (!observer.keep_going()) return false;
  }
  EpochReport report{.epoch = epoch,
                     .lr = lr,
                     .train_loss = p.train_loss / static_cast<double>(steps),
                     .validation_loss = p.validation_loss / static_cast<double>(steps),
                     .train_accuracy = 0,
                     .search_accuracy = 0,
                     .discrete_accuracy = 0,
                     .genotype = genotype(),
                     .weights = candidate_weights(*state_),
                     .temperature = state_->temperature(),
                     .seconds = 0,
                     .images_per_second = images_per_second(steps),
                     .peak_bytes = p.peak_bytes,
                     .eigenvalue = {}};
  const std::vector<int64_t> subset = first(search_images_, kSubset);
  report.train_accuracy = accuracy(first(train_images_, kSubset), state_->mixtures(last_pass()));
  report.search_accuracy = accuracy(subset, state_->mixtures(last_pass()));
  report.discrete_accuracy = accuracy(subset, discrete_mixtures(report.genotype));
  ask_stop(report);
  report.seconds = seconds();
  p = {.epochs = epoch + 1, .steps = p.steps};
  observer.on_epoch(report);
  return true;
}

CellMixtures Search::discrete_mixtures(const Genotype& genotype) const {
  return nas::discrete_mixtures(genotype, state_->space, config_.dtype, config_.channel_share > 1);
}

// Epochs in which the alphas rest say nothing of them.
void Search::ask_stop(EpochReport& report) {
  if (report.epoch < config_.alpha_from) return;
  stopped_.ending = stopped_.stop->after_epoch({.epoch = report.epoch,
                                                .epochs = config_.epochs,
                                                .genotype = report.genotype,
                                                .space = state_->space,
                                                .normal = report.weights.normal,
                                                .reduce = report.weights.reduce,
                                                .eigenvalue = [&] {
                                                  report.eigenvalue = largest_eigenvalue();
                                                  return *report.eigenvalue;
                                                }});
}

// On the last search batch of the epoch, with the penalty on the alphas (RobustDARTS,
// arXiv:1909.09656, as in its code).
double Search::largest_eigenvalue() {
  const ProfileScope profile(ProfileKind::kWhole, "alpha eigenvalue");
  const int64_t step = progress_.steps - 1;
  BatchFeed feed(images_, search_images_, loader_options(config_, "search", step));
  const Hessian hessian = alpha_hessian(*state_, {feed.next()}, step);
  const auto product = [&](const std::vector<double>& v) {
    return hessian.product(v, config_.alpha_weight_decay);
  };
  return lanczos(product, hessian.size(), {.tolerance = 1e-4, .seed = config_.seed}).largest();
}

std::pair<Batch, Batch> Search::next_batches() {
  const ProfileScope profile(ProfileKind::kWhole, "load images");
  Batch validation;
  if (search_feed_) validation = search_feed_->next();
  return {std::move(validation), train_feed_->next()};
}

double Search::accuracy(const std::vector<int64_t>& images, const CellMixtures& mixtures) const {
  const ProfileScope profile(ProfileKind::kWhole, "measure accuracy");
  const NoGrad no_grad;
  PlainFeed feed(images_, images, config_.batch, config_.dtype);
  int64_t right = 0;
  auto image = images.begin();
  while (const Tensor batch = feed.next()) {
    const Tensor logits =
        state_->network.forward(batch, mixtures, {.statistics = Statistics::kRunning});
    for (const int64_t predicted : max(logits, 1).indices.to_vector<int64_t>()) {
      right += predicted == images_.labels[static_cast<size_t>(*image++)] ? 1 : 0;
    }
  }
  return static_cast<double>(right) / static_cast<double>(images.size());
}

}  // namespace oche::nas
