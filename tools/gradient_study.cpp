// Runs estimators of the hypergradient.
#include "tools/gradient_study.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>

#include "engine/op.h"
#include "engine/storage.h"
#include "nas/inner_solver.h"
#include "nas/spread.h"
#include "nas/unroll.h"

namespace oche::tools {
namespace {

// How far alphas are moved against a gradient, over all of them, before cells are derived: about
// what a search moves them, far more than they differ at its start.
constexpr double kDeriveMove = 1;

// The residual of a linear system beyond which its solution is no reference.
constexpr double kReferenceResidual = 1e-4;

using Tell = std::function<void(const std::string&)>;

// Where the weights of a pair are, with their buffers, and what is wrong there.
struct Place {
  nas::InnerState state;
  std::string fault;
};

Place place_of(const Subject& s, const nas::Bilevel& problem, const InnerStart& start) {
  const nas::InnerStep step = s.inner_step(s.rate);
  Place at{.state = {detached(problem.weights.tensors()), step.buffers}, .fault = {}};
  at.state = nas::inner_steps(problem, step, std::move(at.state), start.steps);
  if (start.optimum) {
    const Substitution put(problem.weights, detached_leaves(at.state.weights));
    nas::InnerOptimum optimum = nas::solve_inner(problem, step.weight_decay);
    at.state = {std::move(optimum.weights), {}};
    if (!optimum.converged)
      at.fault = fmt::format("the inner problem did not converge: |gradient| is {:.3g}",
                             optimum.gradient_norm);
  }
  at.state = nas::inner_steps(problem, step, std::move(at.state), start.beyond);
  return at;
}

Outcome run(const Subject& subject,
            const Variant& v,
            int64_t pair,
            const std::vector<Tensor>& buffers) {
  if (!v.estimator) {
    Outcome known;
    known.gradient = subject.closed_form;
    return known;
  }
  const nas::Bilevel problem = subject.problem(pair, v.batch.value_or(subject.batch));
  nas::InnerStep step = subject.inner_step(v.rate.value_or(subject.rate));
  step.buffers = buffers;
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

// What variants make of pairs of batches.
struct Estimates {
  std::vector<std::vector<Outcome>> outcomes;  // of each variant for each pair
  std::vector<std::string> starts;             // faults of the start, for each pair
};

Estimates estimate(const Subject& s,
                   const std::vector<Variant>& variants,
                   int64_t pairs,
                   const InnerStart& start,
                   const Tell& tell) {
  Estimates all{.outcomes = std::vector<std::vector<Outcome>>(variants.size()), .starts = {}};
  for (int64_t k = 0; k < pairs; ++k) {
    const nas::Bilevel problem = s.problem(k, s.batch);
    const Place at = place_of(s, problem, start);
    all.starts.push_back(at.fault);
    const Substitution put(problem.weights, detached_leaves(at.state.weights));
    for (size_t i = 0; i < variants.size(); ++i) {
      tell(fmt::format("batches {} of {}: {}", k + 1, pairs, variants[i].label()));
      all.outcomes[i].push_back(run(s, variants[i], k, at.state.buffers));
    }
  }
  return all;
}

// Of each start its fault, and of each variant the first. `where` follows the source.
void add_faults(std::vector<std::string>& faults,
                const std::string& where,
                const std::vector<Variant>& variants,
                const Estimates& e) {
  const auto at = [&](size_t pair) {
    return e.starts.size() == 1 ? where : fmt::format("{}, pair {}", where, pair);
  };
  for (size_t k = 0; k < e.starts.size(); ++k) {
    if (!e.starts[k].empty()) faults.push_back(fmt::format("{}: {}", at(k), e.starts[k]));
  }
  for (size_t i = 0; i < variants.size(); ++i) {
    const std::vector<Outcome>& of = e.outcomes[i];
    const auto first = std::ranges::find_if(of, [](const Outcome& o) { return !o.fault.empty(); });
    if (first != of.end())
      faults.push_back(
          fmt::format("{}: {}: {}", at(first - of.begin()), variants[i].label(), first->fault));
  }
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

bool has_direction(const Vector& gradient) {
  const double length = norm(gradient);
  return length > 0 && std::isfinite(length);
}

// By tables, edges and candidates; by edges where there are any.
std::vector<nas::GroupOf> groupings(const std::vector<nas::AlphaEntry>& entries) {
  const bool edges =
      std::ranges::any_of(entries, [](const nas::AlphaEntry& e) { return !e.edge.empty(); });
  if (edges) return {nas::by_table, nas::by_edge, nas::by_candidate};
  return {nas::by_table, nas::by_candidate};
}

std::string fault_of(const Study& study, const Outcome& o, size_t pair) {
  const Outcome& reference = study.references[pair];
  const std::string& start = study.subject.fault.empty() ? study.starts[pair] : study.subject.fault;
  if (!o.fault.empty()) return o.fault;
  if (!start.empty()) return "start: " + start;
  return reference.fault.empty() ? "" : "reference: " + reference.fault;
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
    if (study.subject.derive && has_direction(o.gradient) && has_direction(wanted))
      row.genotype.push_back(
          shared_edges(derived(study.subject, o.gradient), derived(study.subject, wanted)));
    size_t at = 0;
    for (const nas::GroupOf group : groupings(entries)) {
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
    row.faults.push_back(fault_of(study, o, k));
    if (row.fault.empty()) row.fault = o.fault;
    add(mean, 1 / n, o.gradient);
  }
  for (size_t k = 0; k < row.faults.size() && row.fault.empty(); ++k) row.fault = row.faults[k];
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

std::string_view Variant::name() const {
  return estimator ? estimator->name : "closed-form";
}

std::string Variant::label() const {
  return swept.empty() ? std::string(name()) : fmt::format("{} {}={:g}", name(), swept, value);
}

Study run_study(Subject subject,
                std::vector<Variant> variants,
                Variant reference,
                int64_t pairs,
                const InnerStart& start,
                const Tell& tell) {
  std::vector<Variant> all{reference};
  all.insert(all.end(), variants.begin(), variants.end());
  for (const Variant& v : all) {
    if (v.estimator) v.estimator->check(v.numbers);
  }
  Estimates e = estimate(subject, all, pairs, start, tell);
  for (Outcome& o : e.outcomes.front()) {
    if (o.fault.empty() && o.residual > kReferenceResidual)
      o.fault = fmt::format(
          "no reference: the residual is {:.3g} |v|, over {:g}", *o.residual, kReferenceResidual);
  }
  std::vector<std::string> faults;
  if (!subject.fault.empty())
    faults.push_back(fmt::format("{}: {}", subject.source, subject.fault));
  add_faults(faults, subject.source, all, e);
  Study study{.subject = std::move(subject),
              .start = start,
              .variants = std::move(variants),
              .reference = std::move(reference),
              .outcomes = {std::make_move_iterator(e.outcomes.begin() + 1),
                           std::make_move_iterator(e.outcomes.end())},
              .references = std::move(e.outcomes.front()),
              .starts = std::move(e.starts),
              .rows = {},
              .reference_row = {},
              .parts = {},
              .faults = std::move(faults)};
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

void take_apart(Study& study, int64_t steps, std::optional<Subject> precise, const Tell& tell) {
  const Subject& s = study.subject;
  const std::vector<Variant>& variants = study.variants;
  const auto pairs = std::ssize(study.references);
  InnerStart further = study.start;
  further.beyond += steps;
  const Estimates later = estimate(s, variants, pairs, further, tell);
  add_faults(study.faults, fmt::format("{}, {} inner steps on", s.source, steps), variants, later);
  Estimates fine;
  if (precise && s.dtype != DType::kFloat64) {
    precise->rate = s.rate;
    precise->batch = s.batch;
    fine = estimate(*precise, variants, pairs, study.start, tell);
    add_faults(study.faults, s.source + ", in float64", variants, fine);
  }
  // The exact product at the same step and batch, among the variants or as the reference.
  const auto exact_of = [&](const Variant& v) -> const std::vector<Outcome>* {
    const auto fits = [&](const Variant& other) {
      return other.name() == "exact-unrolled" &&
             other.rate.value_or(s.rate) == v.rate.value_or(s.rate) &&
             other.batch.value_or(s.batch) == v.batch.value_or(s.batch);
    };
    const auto found = std::ranges::find_if(variants, fits);
    if (found != variants.end()) return &study.outcomes[found - variants.begin()];
    return fits(study.reference) ? &study.references : nullptr;
  };
  for (size_t i = 0; i < variants.size(); ++i) {
    const auto from = [&](const std::vector<Outcome>& others) {
      double sum = 0;
      for (int64_t k = 0; k < pairs; ++k)
        sum += nas::agreement(study.outcomes[i][k].gradient, others[k].gradient).error;
      return sum / static_cast<double>(pairs);
    };
    const std::vector<Outcome>* exact =
        variants[i].name() == "finite-difference" ? exact_of(variants[i]) : nullptr;
    study.parts.push_back(
        {.inner = from(later.outcomes[i]),
         .inverse = from(study.references),
         .finite_difference = exact ? from(*exact) : std::nan(""),
         .precision = fine.outcomes.empty() ? std::nan("") : from(fine.outcomes[i])});
  }
}

MeanDeviation over_pairs(const Row& row, double nas::Agreement::*member) {
  std::vector<double> values;
  for (const nas::Agreement& a : row.agreements) values.push_back(a.*member);
  const nas::Spread s = nas::spread_of(values, nas::Better::kHigher);
  return {s.mean, s.deviation};
}

}  // namespace oche::tools
