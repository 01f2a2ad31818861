// Finding the first non-finite value, and naming the place where it arose.
#include "engine/diagnose.h"

#include <fmt/format.h>

#include <utility>

#include "engine/dispatch.h"
#include "engine/error.h"
#include "kernels/elementwise.h"

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

void check_finite(const Tensor& t, const std::string& where, const std::string& what) {
  if (!all_finite(t)) throw NonFinite(where, what);
}

}  // namespace oche
