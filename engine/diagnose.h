// Finding the first non-finite value, and naming the place where it arose.
#pragma once

#include <string>
#include <string_view>

#include "engine/profile.h"
#include "engine/tensor.h"

namespace oche {

// Labels name the part of the work that a thread is at.
std::string current_labels();  // "step 3, cell 2, edge 5"; empty outside of any

// Sets all labels for a scope.
class LabelsGuard {
 public:
  explicit LabelsGuard(std::string labels);
  ~LabelsGuard();
  LabelsGuard(const LabelsGuard&) = delete;
  LabelsGuard& operator=(const LabelsGuard&) = delete;

 private:
  std::string previous_;
};
// Adds one label to those around it. A profile shows it as a slice of the timeline, or as what
// `kind` says.
class Label : public LabelsGuard {
 public:
  explicit Label(std::string_view text, ProfileKind kind = ProfileKind::kLabel);

 private:
  const ProfileScope profile_;
};

// While one lives, every op applied on this thread and every backward rule checks what it wrote and
// throws NonFinite naming labels and op at the first NaN or infinity.
class FiniteChecks {
 public:
  FiniteChecks();
  ~FiniteChecks();
  FiniteChecks(const FiniteChecks&) = delete;
  FiniteChecks& operator=(const FiniteChecks&) = delete;

  static bool active();
};

// True iff every element is finite (integers are).
bool all_finite(const Tensor& t);
// Throws NonFinite saying that `what` (an op, a parameter) under `labels` is not finite, unless it
// is.
void check_finite(const Tensor& t, const std::string& labels, const std::string& what);

}  // namespace oche
