// Derivatives through several inner steps.
#include "nas/unroll.h"

#include <cmath>

#include "engine/autograd.h"
#include "engine/mixed_cell.h"
#include "engine/ops.h"
#include "nas/curvature.h"

namespace oche::nas {
namespace {

std::vector<Tensor> zeros_like(const std::vector<Tensor>& like) {
  std::vector<Tensor> zeros;
  for (const Tensor& t : like) zeros.push_back(Tensor::zeros(t.shape(), t.dtype()));
  return zeros;
}

// a + scale * b
std::vector<Tensor> plus(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double scale) {
  std::vector<Tensor> sum;
  for (size_t i = 0; i < a.size(); ++i) sum.push_back(a[i] + b[i] * scale);
  return sum;
}

std::vector<Tensor> scaled(const std::vector<Tensor>& a, double scale) {
  std::vector<Tensor> product;
  for (const Tensor& t : a) product.push_back(t * scale);
  return product;
}

// The step t.
InnerState one_step(const Bilevel& p, const InnerStep& s, const InnerState& from, int64_t t) {
  std::vector<Tensor> g;
  {
    const GradModeGuard recording(true);
    const FullPrecision full;
    const std::vector<Tensor> leaves = detached_leaves(from.weights);
    const Substitution at(p.weights, leaves);
    const Frozen frozen(p.alphas);
    g = defined_or_zeros(grad(p.at_step(t).train_loss(), leaves), leaves);
  }
  return advance(s, from.weights, from.buffers, g);
}

ValidationGradient at_end(const Bilevel& p, const InnerState& state) {
  const FullPrecision full;
  return validation_gradient(p, detached_leaves(state.weights));
}

// The adjoint of a step: how the result depends on what it left, taken to what it found. Adds to
// `alphas`.
class Adjoint {
 public:
  Adjoint(const Bilevel& p, const InnerStep& s, const ValidationGradient& end)
      : p_(p), s_(s), weights_(end.v), buffers_(zeros_like(end.v)), alphas_(end.direct) {}

  void step_back(const InnerState& at, int64_t t) {
    const Curvature curvature(p_.at_step(t), at.weights, s_.weight_decay);
    const NoGrad no_grad;
    const double rate = s_.rate.item();
    const std::vector<Tensor> buffer =
        plus(buffers_, weights_, -rate * (s_.nesterov ? s_.momentum : 1));
    const std::vector<Tensor> u = s_.nesterov ? plus(buffer, weights_, -rate) : buffer;
    const Curvature::Products products = curvature.both(u);
    alphas_ = plus(alphas_, products.alphas, 1);
    weights_ = plus(weights_, products.weights, 1);
    buffers_ = scaled(buffer, s_.momentum);
  }
  const std::vector<Tensor>& alphas() const { return alphas_; }

 private:
  const Bilevel& p_;
  const InnerStep& s_;
  std::vector<Tensor> weights_, buffers_, alphas_;
};

}  // namespace

InnerState inner_start(const Bilevel& p, const InnerStep& s) {
  const std::vector<Tensor> w = detached(p.weights.tensors());
  return {w, s.buffers.empty() ? zeros_like(w) : s.buffers};
}

InnerState inner_steps(const Bilevel& p, const InnerStep& s, InnerState from, int64_t steps) {
  const NoGrad no_grad;
  for (int64_t i = 0; i < steps; ++i) from = one_step(p, s, from, i);
  return from;
}

Unrolled unroll_reverse(const Bilevel& p, const InnerStep& s, int64_t steps, int64_t last) {
  const NoGrad no_grad;
  last = std::min(last, steps);
  const auto stride = std::max<int64_t>(1, std::llround(std::sqrt(static_cast<double>(last))));
  int64_t passes = steps + 1 + 3 * last;
  const int64_t first = steps - last;
  std::vector<InnerState> marks;  // after first + i * stride steps
  InnerState state = inner_steps(p, s, inner_start(p, s), first);
  for (int64_t i = 0; i < last; ++i) {
    if (i % stride == 0) marks.push_back(state);
    state = one_step(p, s, state, first + i);
  }
  Adjoint adjoint(p, s, at_end(p, state));
  for (int64_t mark = std::ssize(marks) - 1; mark >= 0; --mark) {
    std::vector<InnerState> between{marks[mark]};
    const int64_t length = std::min(stride, last - mark * stride);
    const int64_t start = first + mark * stride;
    for (int64_t i = 1; i < length; ++i)
      between.push_back(one_step(p, s, between.back(), start + i - 1));
    passes += length - 1;
    for (; !between.empty(); between.pop_back())
      adjoint.step_back(between.back(), start + std::ssize(between) - 1);
    marks.pop_back();
  }
  return {adjoint.alphas(), passes};
}

Unrolled unroll_forward(const Bilevel& p, const InnerStep& s, int64_t steps) {
  const NoGrad no_grad;
  const std::vector<Tensor> alphas = p.alphas.tensors();
  InnerState state = inner_start(p, s);
  std::vector<InnerState> tangents;  // d state / d entry
  int64_t entries = 0;
  for (const Tensor& a : alphas) entries += a.numel();
  for (int64_t i = 0; i < entries; ++i)
    tangents.push_back({zeros_like(state.weights), zeros_like(state.weights)});
  Vector unit(entries, 0);
  InnerStep plain = s;
  plain.weight_decay = 0;  // gradient and products of the curvature have it
  for (int64_t t = 0; t < steps; ++t) {
    const Curvature curvature(p.at_step(t), state.weights, s.weight_decay);
    for (int64_t i = 0; i < entries; ++i) {
      unit[i] = 1;
      tangents[i] = advance(plain,
                            tangents[i].weights,
                            tangents[i].buffers,
                            curvature.along(tangents[i].weights, unflatten(unit, alphas)));
      unit[i] = 0;
    }
    state = advance(plain, state.weights, state.buffers, curvature.gradient());
  }
  const ValidationGradient end = at_end(p, state);
  const Vector v = flatten(end.v);
  Vector total = flatten(end.direct);
  for (int64_t i = 0; i < entries; ++i) total[i] += dot(flatten(tangents[i].weights), v);
  return {unflatten(total, alphas), steps * (1 + 2 * entries) + 1};
}

}  // namespace oche::nas
