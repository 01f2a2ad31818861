// Runs estimators of the hypergradient.
#include "tools/gradient_study.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>

#include "engine/linear_solve.h"
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

// The gradient of the inner problem beyond which weights do not solve it.
constexpr double kInnerGradient = 1e-6;

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
      .inner_gradient = h.inner_gradient,
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

MeanDeviation mean_deviation(const std::vector<double>& values) {
  const nas::Spread s = nas::spread_of(values, nas::Better::kHigher);
  return {s.mean, s.deviation};
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
    const bool derives = study.subject.derive && has_direction(o.gradient) && has_direction(wanted);
    row.genotype.push_back(
        derives ? shared_edges(derived(study.subject, o.gradient), derived(study.subject, wanted))
                : std::nan(""));
    const std::vector<nas::GroupAgreement> groups =
        nas::group_agreement(o.gradient, wanted, entries);
    for (size_t at = 0; at < groups.size(); ++at) {
      if (row.groups.size() == at) row.groups.push_back({groups[at].by, groups[at].group, {}});
      for (const auto member : {&nas::Agreement::cosine,
                                &nas::Agreement::error,
                                &nas::Agreement::norm_ratio,
                                &nas::Agreement::signs,
                                &nas::Agreement::bias})
        row.groups[at].agreement.*member += groups[at].agreement.*member / n;
    }
    seconds.push_back(o.seconds);
    row.passes = std::max(row.passes, o.passes);
    row.peak_bytes = std::max(row.peak_bytes, o.peak_bytes);
    row.residual = std::max(row.residual, o.residual);
    row.inner_gradient = std::max(row.inner_gradient, o.inner_gradient);
    row.faults.push_back(fault_of(study, o, k));
    if (row.fault.empty()) row.fault = o.fault;
    add(mean, 1 / n, o.gradient);
  }
  for (size_t k = 0; k < row.faults.size() && row.fault.empty(); ++k) row.fault = row.faults[k];
  std::ranges::nth_element(seconds, seconds.begin() + std::ssize(seconds) / 2);
  row.seconds = seconds[seconds.size() / 2];
  row.stochastic = {std::nan(""), std::nan("")};
  if (outcomes.size() > 1) {
    std::vector<double> distances;
    for (const Outcome& o : outcomes) distances.push_back(nas::agreement(o.gradient, mean).error);
    row.stochastic = mean_deviation(distances);
  }
  return row;
}

// The exact inverse gives the hypergradient only where the weights solve the inner problem.
std::string note_of(const Variant& reference, const Row& row) {
  if (reference.name() != "dense-implicit" || !row.fault.empty()) return "";
  if (row.inner_gradient <= kInnerGradient) return "";
  return fmt::format(
      "reference dense-implicit: the gradient of the inner problem has length {:.3g}, so these "
      "weights do not solve it: the inverse is exact, the hypergradient is not",
      *row.inner_gradient);
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
    if (o.fault.empty() && norm(o.gradient) == 0)
      o.fault = "no reference: |gradient| is 0, so nothing has a relative error";
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
              .faults = std::move(faults),
              .note = {}};
  for (const std::vector<Outcome>& outcomes : study.outcomes)
    study.rows.push_back(row_of(study, outcomes));
  study.reference_row = row_of(study, study.references);
  study.note = note_of(study.reference, study.reference_row);
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
  const auto estimated = [&](const Subject& at,
                             const std::vector<Variant>& of,
                             const InnerStart& start,
                             const std::string& where) {
    Estimates e = estimate(at, of, pairs, start, tell);
    add_faults(study.faults, s.source + where, of, e);
    return e;
  };
  InnerStart further = study.start;
  further.beyond += steps;
  further.optimum = further.optimum || steps == 0;
  const Estimates later =
      estimated(s,
                variants,
                further,
                steps == 0 ? ", at the inner optimum" : fmt::format(", {} inner steps on", steps));
  Estimates fine;
  if (precise && s.dtype != DType::kFloat64) {
    precise->rate = s.rate;
    precise->batch = s.batch;
    fine = estimated(*precise, variants, study.start, ", in float64");
  }
  // What the variants are held against at the same weights, beside them: the exact inverse for all,
  // and for each finite difference the exact product of its step and batch.
  std::vector<Variant> exact;
  const auto add_exact = [&](std::string_view name, const Variant& like) {
    const auto known = std::ranges::find_if(exact, [&](const Variant& v) {
      return v.name() == name && v.rate == like.rate && v.batch == like.batch;
    });
    if (known != exact.end()) return static_cast<size_t>(known - exact.begin());
    const nas::Estimator& e = nas::find_estimator(name);
    exact.push_back(
        {.estimator = &e, .numbers = e.defaults(), .rate = like.rate, .batch = like.batch});
    return exact.size() - 1;
  };
  const bool small = s.weights <= kDenseLimit && s.dtype == DType::kFloat64;
  std::vector<std::optional<size_t>> inverses, products;
  for (const Variant& v : variants) {
    inverses.push_back(small ? std::optional(add_exact("dense-implicit", v)) : std::nullopt);
    products.push_back(v.name() == "finite-difference"
                           ? std::optional(add_exact("exact-unrolled", v))
                           : std::nullopt);
  }
  const Estimates right = estimated(s, exact, study.start, ", exact");
  for (size_t i = 0; i < variants.size(); ++i) {
    ErrorParts parts;
    const auto from = [&](const std::vector<Outcome>& others) {
      double sum = 0;
      for (int64_t k = 0; k < pairs; ++k) {
        sum += nas::agreement(study.outcomes[i][k].gradient, others[k].gradient).error;
        parts.valid = parts.valid && others[k].fault.empty();
      }
      return sum / static_cast<double>(pairs);
    };
    const auto from_exact = [&](std::optional<size_t> place) {
      return place ? from(right.outcomes[*place]) : std::nan("");
    };
    parts.inner = from(later.outcomes[i]);
    parts.inverse = from_exact(inverses[i]);
    parts.finite_difference = from_exact(products[i]);
    parts.precision = fine.outcomes.empty() ? std::nan("") : from(fine.outcomes[i]);
    parts.valid = parts.valid && study.rows[i].fault.empty() &&
                  std::ranges::all_of(later.starts, &std::string::empty);
    study.parts.push_back(parts);
  }
}

MeanDeviation over_pairs(const Row& row, double nas::Agreement::*member) {
  std::vector<double> values;
  for (const nas::Agreement& a : row.agreements) values.push_back(a.*member);
  return mean_deviation(values);
}

}  // namespace oche::tools
