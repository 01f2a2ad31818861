// Runs estimators of the hypergradient on a problem held still.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nas/decision.h"
#include "nas/gradient_error.h"
#include "nas/hypergradient.h"
#include "tools/frozen_search.h"

namespace oche::tools {

// What is studied: a search, or a toy.
struct Subject {
  std::string source;
  int64_t epoch = 0, step = 0;
  DType dtype = DType::kFloat64;
  double rate = 0;    // of the inner step, if not asked for otherwise
  int64_t batch = 0;  // images of a batch, likewise; 0: there are none
  std::optional<int64_t> most_pairs;
  std::vector<nas::AlphaEntry> entries;
  std::vector<std::pair<std::string, Shape>> alphas;  // what the entries make, in order
  int64_t weights = 0;
  std::vector<double> closed_form;  // the hypergradient, where it is known on paper
  std::function<nas::Bilevel(int64_t pair, int64_t batch)> problem;
  std::function<nas::InnerStep(double rate)> inner_step;
  // The cells that the alphas make when they are moved by this much; undefined for a toy.
  std::function<nas::Genotype(const Vector& move)> derive;
};
Subject subject_of(std::shared_ptr<FrozenSearch> search);
Subject toy_subject(std::string_view problem, DType dtype);

// An estimator with its numbers.
struct Variant {
  const nas::Estimator* estimator = nullptr;
  nas::EstimatorNumbers numbers = {};
  std::optional<double> rate = {};
  std::optional<int64_t> batch = {};
  std::string swept = {};  // what a sweep changes, and to what; empty outside of one
  double value = 0;

  std::string label() const;  // "neumann", "neumann terms=5"
};

struct Outcome {
  Vector gradient;
  int64_t passes = 0, peak_bytes = 0;  // the latter of tensors, beyond what was held before
  double seconds = 0;
  std::optional<double> residual;  // of a linear system, at the end
  std::string fault;
};

// Where the weights are when the estimators see them.
struct InnerStart {
  int64_t steps = 0;     // further inner steps before
  bool optimum = false;  // at the solution of the inner problem
};

// What an estimator's row says, over the pairs of batches.
struct Row {
  std::vector<nas::Agreement> agreements;   // for each pair
  std::vector<double> argmax, genotype;     // likewise; the latter empty for a toy
  std::vector<nas::GroupAgreement> groups;  // means over the pairs, of tables, edges, candidates
  double seconds = 0;                       // the median
  int64_t passes = 0, peak_bytes = 0;
  std::optional<double> residual;  // the largest
  std::string fault;               // the first
  // |g_b - mean g| / |mean g| over the batches b: what one batch leaves to chance; NaN for one.
  double stochastic = 0;
};
// An estimator's error taken apart: relative differences of its gradients, means over the pairs.
struct ErrorParts {
  double inner = 0;              // at w, from w after more inner steps
  double inverse = 0;            // from the reference at the same w
  double finite_difference = 0;  // from the exact product; NaN for all but finite-difference
  double precision = 0;          // in float32, from float64
};

struct Study {
  Subject subject;
  std::vector<Variant> variants;
  Variant reference;
  std::vector<std::vector<Outcome>> outcomes;  // of each variant for each pair of batches
  std::vector<Outcome> references;             // for each pair
  std::vector<Row> rows;                       // of each variant
  Row reference_row;
  std::vector<std::string> faults;  // of the start
  std::vector<ErrorParts> parts;    // of each variant, where it was asked for
};
// A reference by a linear system that was not solved is a fault. `tell` gets a line before each
// estimate. Throws std::invalid_argument for numbers and problems
// that an estimator does not take.
Study run_study(Subject subject,
                std::vector<Variant> variants,
                Variant reference,
                int64_t pairs,
                const InnerStart& start,
                const std::function<void(const std::string&)>& tell);
// Lets go of what the subject holds; what was found stays.
void release(Study& study);

// Fills `parts`: once more after `steps` further inner steps, and in `precise`, the same in
// float64.
void take_apart(Study& study,
                int64_t steps,
                Subject precise,
                const std::function<void(const std::string&)>& tell);

// The mean of a member over the pairs, and its deviation: of the sample, NaN for one pair.
struct MeanDeviation {
  double mean, deviation;
};
MeanDeviation over_pairs(const Row& row, double nas::Agreement::*member);

}  // namespace oche::tools
