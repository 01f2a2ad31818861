// Finding the first non-finite value, and naming the place where it arose.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

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

// While one lives, it is shown what each op on this thread wrote, the ops of backward rules among
// them. Observers nest; an outer one looks first. What on_op() throws leaves through the op.
class OpObserver {
 public:
  OpObserver();
  virtual ~OpObserver();
  OpObserver(const OpObserver&) = delete;
  OpObserver& operator=(const OpObserver&) = delete;

  virtual void on_op(std::string_view op, std::span<const Tensor> outputs) = 0;
  // Shows it to all that live on this thread.
  static void show(std::string_view op, std::span<const Tensor> outputs);
  static bool any();  // true iff one lives on this thread

 private:
  static void show(OpObserver* last, std::string_view op, std::span<const Tensor> outputs);

  OpObserver* const outer_;
};

// Throws NonFinite naming labels and op at the first NaN or infinity that an op writes.
class FiniteChecks final : public OpObserver {
 public:
  FiniteChecks();
  ~FiniteChecks() override;
  void on_op(std::string_view op, std::span<const Tensor> outputs) override;

  static bool active();
};

// True iff every element is finite (integers are).
bool all_finite(const Tensor& t);
// flag[0] = code unless it is set already, if an element of a floating tensor is not finite.
// `flag`: an i64 of one element on their device; reads nothing back.
void flag_non_finite(const std::vector<Tensor>& tensors, int64_t code, const Tensor& flag);
// Throws NonFinite saying that `what` (an op, a parameter) under `labels` is not finite, unless it
// is.
void check_finite(const Tensor& t, const std::string& labels, const std::string& what);

}  // namespace oche
