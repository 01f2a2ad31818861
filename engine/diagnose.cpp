// Finding the first non-finite value, and naming the place where it arose.
#include "engine/diagnose.h"

#include <fmt/format.h>

#include <utility>

#include "engine/dispatch.h"
#include "engine/error.h"
#include "kernels/elementwise.h"
#include "kernels/step.h"

namespace oche {
namespace {

thread_local std::string labels;
thread_local OpObserver* innermost = nullptr;
thread_local int checks = 0;

}  // namespace

std::string current_labels() {
  return labels;
}
LabelsGuard::LabelsGuard(std::string all) : previous_(std::exchange(labels, std::move(all))) {}
LabelsGuard::~LabelsGuard() {
  labels = std::move(previous_);
}
Label::Label(std::string_view text, ProfileKind kind)
    : LabelsGuard(labels.empty() ? std::string(text) : fmt::format("{}, {}", labels, text)),
      profile_(kind, text) {}

OpObserver::OpObserver() : outer_(std::exchange(innermost, this)) {}
OpObserver::~OpObserver() {
  innermost = outer_;
}
bool OpObserver::any() {
  return innermost != nullptr;
}
void OpObserver::show(std::string_view op, std::span<const Tensor> outputs) {
  show(innermost, op, outputs);
}
void OpObserver::show(OpObserver* last, std::string_view op, std::span<const Tensor> outputs) {
  if (!last) return;
  show(last->outer_, op, outputs);
  last->on_op(op, outputs);
}

FiniteChecks::FiniteChecks() {
  ++checks;
}
FiniteChecks::~FiniteChecks() {
  --checks;
}
void FiniteChecks::on_op(std::string_view op, std::span<const Tensor> outputs) {
  for (const Tensor& t : outputs) check_finite(t, labels, std::string(op));
}
bool FiniteChecks::active() {
  return checks > 0;
}

bool all_finite(const Tensor& t) {
  if (!is_floating(t.dtype())) return true;
  const Tensor dense = t.is_contiguous() ? t : t.clone();
  bool finite = true;
  dispatch(dense, [&]<typename T>(auto& ctx) {
    finite = kernels::all_finite<T>(ctx, dense.numel(), dense.data<T>());
  });
  return finite;
}

void flag_non_finite(const std::vector<Tensor>& tensors, int64_t code, const Tensor& flag) {
  ProfileScope profile(ProfileKind::kOp, "flag_non_finite");
  std::vector<Tensor> of_type[2];  // f32, f64; an undefined gradient is zero
  for (const Tensor& t : tensors) {
    if (!t || !is_floating(t.dtype())) continue;
    profile.count(t.numel() * size_of(t.dtype()));
    of_type[t.dtype() == DType::kFloat64].push_back(t.is_contiguous() ? t : t.clone());
  }
  for (const std::vector<Tensor>& list : of_type) {
    if (list.empty()) continue;
    dispatch(list.front(), [&]<typename T>(auto& ctx) {
      std::vector<kernels::FlatTensor<T>> flat;
      flat.reserve(list.size());
      for (const Tensor& t : list) flat.push_back({t.numel(), t.data<T>()});
      kernels::flag_non_finite<T>(ctx, flat, code, flag.mutable_data<int64_t>());
    });
  }
}

void check_finite(const Tensor& t, const std::string& where, const std::string& what) {
  if (!all_finite(t)) throw NonFinite(where, what);
}

}  // namespace oche
