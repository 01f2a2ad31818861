// Runs estimators of the hypergradient.
#include "tools/gradient_study.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/op.h"
#include "engine/storage.h"
#include "nas/genotype.h"
#include "nas/inner_solver.h"
#include "nas/spread.h"
#include "nas/toy_problems.h"
#include "nas/unroll.h"

namespace oche::tools {
namespace {

// How far alphas are moved against a gradient, over all of them, before cells are derived: about
// what a search moves them, far more than they differ at its start.
constexpr double kDeriveMove = 1;

// The residual of a linear system beyond which its solution is no reference.
constexpr double kReferenceResidual = 1e-4;

Outcome run(const Subject& subject, const Variant& v, int64_t pair) {
  const nas::Bilevel problem = subject.problem(pair, v.batch.value_or(subject.batch));
  const nas::InnerStep step = subject.inner_step(v.rate.value_or(subject.rate));
  release_unused_memory();
  reset_peak_memory();
  const int64_t held = memory_stats().live;
  const auto start = std::chrono::steady_clock::now();
  const nas::Hypergradient h = v.estimator->estimate(problem, step, v.numbers);
  Outcome o{
      .gradient = flatten(h.gradients),
      .passes = h.passes,
      .peak_bytes = memory_stats().peak - held,
      .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
      .residual = {},
      .fault = h.fault};
  if (!h.residuals.empty()) o.residual = h.residuals.back();
  if (o.fault.empty() &&
      !std::ranges::all_of(o.gradient, [](double x) { return std::isfinite(x); }))
    o.fault = fmt::format("not finite: |gradient| is {}", norm(o.gradient));
  return o;
}

// The share of the edges and primitives of both cells that are the same.
double shared_edges(const nas::Genotype& a, const nas::Genotype& b) {
  double same = 0, all = 0;
  for (const auto cell : {&nas::Genotype::normal, &nas::Genotype::reduce}) {
    for (const nas::GenotypeEdge& edge : (a.*cell).edges) {
      same += std::ranges::count(((b.*cell).edges), edge) > 0 ? 1 : 0;
    }
    all += static_cast<double>(std::max((a.*cell).edges.size(), (b.*cell).edges.size()));
  }
  return all == 0 ? 1 : same / all;
}

nas::Genotype derived(const Subject& subject, Vector gradient) {
  const double length = norm(gradient);
  for (double& x : gradient) x *= -kDeriveMove / length;
  return subject.derive(gradient);
}

Row row_of(const Study& study, const std::vector<Outcome>& outcomes) {
  Row row;
  std::vector<double> seconds;
  Vector mean(outcomes[0].gradient.size(), 0);
  const auto n = static_cast<double>(outcomes.size());
  for (size_t k = 0; k < outcomes.size(); ++k) {
    const Outcome& o = outcomes[k];
    const Vector& wanted = study.references[k].gradient;
    const std::vector<nas::AlphaEntry>& entries = study.subject.entries;
    row.agreements.push_back(nas::agreement(o.gradient, wanted));
    row.argmax.push_back(nas::argmax_agreement(o.gradient, wanted, entries));
    if (study.subject.derive && o.fault.empty())
      row.genotype.push_back(
          shared_edges(derived(study.subject, o.gradient), derived(study.subject, wanted)));
    size_t at = 0;
    for (const nas::GroupOf group : {nas::by_table, nas::by_edge, nas::by_candidate}) {
      for (const nas::GroupAgreement& g :
           nas::group_agreement(o.gradient, wanted, entries, group)) {
        if (row.groups.size() == at) row.groups.push_back({g.group, {}});
        nas::Agreement& sum = row.groups[at++].agreement;
        for (const auto member : {&nas::Agreement::cosine,
                                  &nas::Agreement::error,
                                  &nas::Agreement::norm_ratio,
                                  &nas::Agreement::signs,
                                  &nas::Agreement::bias})
          sum.*member += g.agreement.*member / n;
      }
    }
    seconds.push_back(o.seconds);
    row.passes = std::max(row.passes, o.passes);
    row.peak_bytes = std::max(row.peak_bytes, o.peak_bytes);
    if (o.residual) row.residual = std::max(row.residual.value_or(0), *o.residual);
    if (row.fault.empty()) row.fault = o.fault;
    add(mean, 1 / n, o.gradient);
  }
  std::ranges::nth_element(seconds, seconds.begin() + std::ssize(seconds) / 2);
  row.seconds = seconds[seconds.size() / 2];
  row.stochastic = std::nan("");
  if (outcomes.size() > 1) {
    row.stochastic = 0;
    for (const Outcome& o : outcomes) row.stochastic += nas::agreement(o.gradient, mean).error / n;
  }
  return row;
}

}  // namespace

Subject subject_of(std::shared_ptr<FrozenSearch> search) {
  nas::SearchState& state = search->state();
  Subject s{.source = search->source(),
            .epoch = search->epoch(),
            .step = search->step(),
            .dtype = search->config().dtype,
            .rate = search->rate(),
            .batch = search->config().batch,
            .most_pairs = search->most_pairs(),
            .entries = nas::alpha_entries(state),
            .alphas = {},
            .weights = state.network.weights().numel(),
            .closed_form = {},
            .problem = {},
            .inner_step = {},
            .derive = {}};
  const Alphas alphas = state.arch.alphas();
  for (size_t i = 0; i < alphas.size(); ++i)
    s.alphas.emplace_back(alphas.name(i), alphas[i].value.shape());
  s.problem = [search](int64_t pair, int64_t batch) {
    const FrozenSearch::Pair p = search->pair(pair, batch);
    return search->state().bilevel(p.train, p.validation, search->step() + pair);
  };
  s.inner_step = [search](double rate) { return search->state().inner_step(rate); };
  s.derive = [search](const Vector& move) {
    nas::SearchState& state = search->state();
    const nas::SearchConfig& c = search->config();
    const Alphas alphas = state.arch.alphas();
    Vector values = flatten(alphas.tensors());
    add(values, 1, move);
    const Substitution moved(alphas, unflatten(values, alphas.tensors()));
    const auto decision =
        nas::make_decision(c.decision, {.threshold = c.threshold, .skips = c.skips});
    return nas::derive(*decision, state.relaxation(), state.alphas(), state.space, c.multiplier);
  };
  return s;
}

Subject toy_subject(std::string_view problem, DType dtype) {
  const auto toy = std::make_shared<nas::ToyProblem>(nas::make_toy_problem(problem, dtype));
  Subject s{.source = toy->name,
            .epoch = 0,
            .step = 0,
            .dtype = dtype,
            .rate = toy->step.rate.item(),
            .batch = 0,
            .most_pairs = 1,
            .entries = {},
            .alphas = {},
            .weights = toy->bilevel.weights.numel(),
            .closed_form = toy->hypergradient,
            .problem = [toy](int64_t, int64_t) { return toy->bilevel; },
            .inner_step =
                [toy, dtype](double rate) {
                  nas::InnerStep step = toy->step;
                  step.rate = Tensor::full({}, rate, dtype);
                  return step;
                },
            .derive = {}};
  const Alphas& alphas = toy->bilevel.alphas;
  for (size_t i = 0; i < alphas.size(); ++i) {
    const auto columns = std::ssize(toy->candidates);
    s.alphas.emplace_back(alphas.name(i), alphas[i].value.shape());
    for (int64_t e = 0; e < alphas[i].value.numel(); ++e)
      s.entries.push_back({alphas.name(i),
                           columns ? fmt::format("edge {}", e / columns) : "",
                           columns ? toy->candidates[e % columns] : fmt::format("entry {}", e)});
  }
  return s;
}

std::string Variant::label() const {
  const std::string name(estimator->name);
  return swept.empty() ? name : fmt::format("{} {}={:g}", name, swept, value);
}

Study run_study(Subject subject,
                std::vector<Variant> variants,
                Variant reference,
                int64_t pairs,
                const InnerStart& start,
                const std::function<void(const std::string&)>& tell) {
  Study study{.subject = std::move(subject),
              .variants = std::move(variants),
              .reference = std::move(reference),
              .outcomes = {},
              .references = {},
              .rows = {},
              .reference_row = {},
              .faults = {},
              .parts = {}};
  const Subject& s = study.subject;
  study.outcomes.resize(study.variants.size());
  for (int64_t k = 0; k < pairs; ++k) {
    const nas::Bilevel problem = s.problem(k, s.batch);
    const nas::InnerStep step = s.inner_step(study.reference.rate.value_or(s.rate));
    std::vector<Tensor> at = detached_leaves(problem.weights.tensors());
    if (start.steps > 0)
      at = detached_leaves(
          nas::inner_steps(problem, step, nas::inner_start(problem, step), start.steps).weights);
    if (start.optimum) {
      const nas::InnerOptimum optimum = nas::solve_inner(problem, step.weight_decay);
      at = detached_leaves(optimum.weights);
      if (!optimum.converged)
        study.faults.push_back(fmt::format(
            "the inner problem did not converge: |gradient| is {:.3g}", optimum.gradient_norm));
    }
    const Substitution put(problem.weights, at);
    const auto estimate = [&](const Variant& v) {
      tell(fmt::format("batches {} of {}: {}", k + 1, pairs, v.label()));
      return run(s, v, k);
    };
    study.references.push_back(estimate(study.reference));
    if (Outcome& o = study.references.back(); o.fault.empty() && o.residual > kReferenceResidual)
      o.fault = fmt::format(
          "no reference: the residual is {:.3g} |v|, over {:g}", *o.residual, kReferenceResidual);
    for (size_t i = 0; i < study.variants.size(); ++i)
      study.outcomes[i].push_back(estimate(study.variants[i]));
  }
  for (const std::vector<Outcome>& outcomes : study.outcomes)
    study.rows.push_back(row_of(study, outcomes));
  study.reference_row = row_of(study, study.references);
  return study;
}

void release(Study& study) {
  study.subject.problem = {};
  study.subject.inner_step = {};
  study.subject.derive = {};
}

void take_apart(Study& study,
                int64_t steps,
                Subject precise,
                const std::function<void(const std::string&)>& tell) {
  precise.rate = study.subject.rate;
  precise.batch = study.subject.batch;
  const auto exact = std::ranges::find(
      study.variants, "exact-unrolled", [](const Variant& v) { return v.estimator->name; });
  const auto pairs = std::ssize(study.references);
  const Study later =
      run_study(study.subject, study.variants, study.reference, pairs, {.steps = steps}, tell);
  const Study fine =
      run_study(std::move(precise), study.variants, study.reference, pairs, {}, tell);
  for (size_t i = 0; i < study.variants.size(); ++i) {
    const auto from = [&](const std::vector<Outcome>& others) {
      double sum = 0;
      for (int64_t k = 0; k < pairs; ++k)
        sum += nas::agreement(study.outcomes[i][k].gradient, others[k].gradient).error;
      return sum / static_cast<double>(pairs);
    };
    const bool differs =
        study.variants[i].estimator->name == "finite-difference" && exact != study.variants.end();
    study.parts.push_back(
        {.inner = from(later.outcomes[i]),
         .inverse = from(study.references),
         .finite_difference =
             differs ? from(study.outcomes[exact - study.variants.begin()]) : std::nan(""),
         .precision = from(fine.outcomes[i])});
  }
}

MeanDeviation over_pairs(const Row& row, double nas::Agreement::*member) {
  std::vector<double> values;
  for (const nas::Agreement& a : row.agreements) values.push_back(a.*member);
  const nas::Spread s = nas::spread_of(values, nas::Better::kHigher);
  return {s.mean, s.deviation};
}

}  // namespace oche::tools
