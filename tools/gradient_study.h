// Runs estimators of the hypergradient on a problem held still.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nas/gradient_error.h"
#include "nas/hypergradient.h"
#include "tools/gradient_subject.h"

namespace oche::tools {

// An estimator with its numbers; without one the answer that is known on paper.
struct Variant {
  const nas::Estimator* estimator = nullptr;
  nas::EstimatorNumbers numbers = {};
  std::optional<double> rate = {};
  std::optional<int64_t> batch = {};
  std::string swept = {};  // what a sweep changes, and to what; empty outside of one
  double value = 0;

  std::string_view name() const;  // "neumann"; "closed-form"
  std::string label() const;      // "neumann", "neumann terms=5"
};

struct Outcome {
  Vector gradient;
  int64_t passes = 0, peak_bytes = 0;  // the latter of tensors, beyond what was held before
  double seconds = 0;
  std::optional<double> residual;        // of a linear system, at the end
  std::optional<double> inner_gradient;  // see nas::Hypergradient
  std::string fault;                     // its own
};

// Where the weights are when the estimators see them, and with them the buffers of momentum.
struct InnerStart {
  int64_t steps = 0;     // further inner steps before
  bool optimum = false;  // then at the solution of the inner problem, without momentum
  int64_t beyond = 0;    // inner steps from there
};

// Over the pairs; the deviation is that of the sample, NaN for one pair.
struct MeanDeviation {
  double mean = 0, deviation = 0;
};

// What an estimator's row says, over the pairs of batches.
struct Row {
  std::vector<nas::Agreement> agreements;   // for each pair
  std::vector<double> argmax, genotype;     // likewise; NaN where there are no edges, no cells
  std::vector<nas::GroupAgreement> groups;  // means over the pairs, of tables, edges, candidates
  double seconds = 0;                       // the median
  int64_t passes = 0, peak_bytes = 0;
  std::optional<double> residual, inner_gradient;  // the largest
  // For each pair what makes it invalid: its own fault, else that of the start or the reference,
  // which then says so.
  std::vector<std::string> faults;
  std::string fault;  // the first, its own before others
  // |g_b - mean g| / |mean g| over the batches b: what one batch leaves to chance; NaN for one.
  MeanDeviation stochastic;
};
// An estimator's error taken apart: relative differences of its gradients, means over the pairs;
// NaN where there is none.
struct ErrorParts {
  double inner = 0;    // at w, from where the inner problem is solved, or from w after more steps
  double inverse = 0;  // from the exact inverse at the same w; up to kDenseLimit weights in float64
  double finite_difference = 0;  // of that from the exact product of the same step and batch
  double precision = 0;          // in float32, from float64
  bool valid = true;             // nothing that was estimated for the parts had a fault
};

struct Study {
  Subject subject;
  InnerStart start;
  std::vector<Variant> variants;
  Variant reference;
  std::vector<std::vector<Outcome>> outcomes;  // of each variant for each pair of batches
  std::vector<Outcome> references;             // for each pair
  std::vector<std::string> starts;             // faults of the start, for each pair
  std::vector<Row> rows;                       // of each variant
  Row reference_row;
  std::vector<ErrorParts> parts;    // of each variant, where it was asked for
  std::vector<std::string> faults;  // all, each once, with source and pair
  std::string note;                 // what a reader has to know of valid rows; empty: nothing
};
// A reference by a linear system that was not solved is a fault. `tell` gets a line before each
// estimate. Throws std::invalid_argument for numbers and problems that an estimator does not take.
Study run_study(Subject subject,
                std::vector<Variant> variants,
                Variant reference,
                int64_t pairs,
                const InnerStart& start,
                const std::function<void(const std::string&)>& tell);
// Lets go of what the subject holds; what was found stays.
void release(Study& study);

// Fills `parts`: once more after `steps` further inner steps, with 0 where the inner problem is
// solved, and in `precise`, the same in float64; none where the study is in float64.
void take_apart(Study& study,
                int64_t steps,
                std::optional<Subject> precise,
                const std::function<void(const std::string&)>& tell);

MeanDeviation over_pairs(const Row& row, double nas::Agreement::*member);

}  // namespace oche::tools
