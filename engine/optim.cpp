// Optimisers, schedule and clipping.
#include "engine/optim.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/profile.h"
#include "kernels/step.h"

namespace oche {
namespace {

std::vector<Tensor> zeros_like(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> zeros;
  for (const Tensor& t : tensors) zeros.push_back(Tensor::zeros(t.shape(), t.dtype(), t.device()));
  return zeros;
}

void check_count(std::string_view what, size_t gradients, size_t parameters) {
  if (gradients != parameters) {
    throw std::invalid_argument(
        fmt::format("{}: {} gradients for {} parameters", what, gradients, parameters));
  }
}

// The gradients as the kernels read them: contiguous; an undefined one stays so and counts as
// zeros.
template <typename Kind>
std::vector<Tensor> dense_gradients(std::string_view what,
                                    const std::vector<Tensor>& gradients,
                                    const ParameterSet<Kind>& parameters) {
  check_count(what, gradients.size(), parameters.size());
  const NoGrad no_grad;
  std::vector<Tensor> dense;
  dense.reserve(gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor &g = gradients[i], &p = parameters[i].value;
    if (g && (g.shape() != p.shape() || g.dtype() != p.dtype())) {
      throw std::invalid_argument(fmt::format("{}: gradient {} {} for a parameter {} {}",
                                              what,
                                              to_string(g.dtype()),
                                              to_string(g.shape()),
                                              to_string(p.dtype()),
                                              to_string(p.shape())));
    }
    dense.push_back(g ? contiguous(g) : g);
  }
  return dense;
}

// Bytes of a pass that touches every parameter `times`.
template <typename Kind>
int64_t bytes_of(const ParameterSet<Kind>& parameters, int times) {
  return parameters.size() == 0 ? 0
                                : times * parameters.numel() * size_of(parameters[0].value.dtype());
}

template <typename T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

kernels::SgdStep step_of(const SgdOptions& o) {
  return {.lr = 0, .momentum = o.momentum, .weight_decay = o.weight_decay, .nesterov = o.nesterov};
}

// In file order also within a tensor: a convolution weight (kh, kw, in, out) is read as (kh kw, in,
// out) and summed as its transpose, OIHW. So another memory layout would sum the same numbers in
// the same order.
template <typename Kind>
Tensor sum_of_squares(const ParameterSet<Kind>& parameters, const std::vector<Tensor>& tensors) {
  ProfileScope profile(ProfileKind::kOp, "global_norm");
  if (profile) profile.count(bytes_of(parameters, 1));
  const std::vector<Tensor> dense = dense_gradients("global_norm", tensors, parameters);
  if (dense.empty()) return Tensor::zeros({1}, DType::kFloat64);
  const Tensor squares = Tensor::empty({1}, DType::kFloat64, parameters[0].value.device());
  dispatch(parameters[0].value, [&]<typename T>(auto& ctx) {
    std::vector<kernels::NormTensor<T>> list;
    list.reserve(dense.size());
    for (size_t i = 0; i < dense.size(); ++i) {
      if (!dense[i]) continue;
      const Shape& s = dense[i].shape();
      const T* x = dense[i].data<T>();
      if (parameters[i].layout == Layout::kConvWeight) {
        list.push_back({s[0] * s[1], s[2], s[3], x});
      } else {
        list.push_back({dense[i].numel(), 1, 1, x});
      }
    }
    const Tensor workspace =
        Tensor::empty({kernels::squares_workspace<T>(list)}, DType::kFloat64, squares.device());
    kernels::sum_squares<T>(
        ctx, list, squares.mutable_data<double>(), workspace.mutable_data<double>());
  });
  return squares;
}

}  // namespace

Sgd::Sgd(Weights weights, SgdOptions options)
    : weights_(std::move(weights)), options_(options), buffers_(zeros_like(weights_.tensors())) {}

void Sgd::step(const std::vector<Tensor>& gradients, double lr, double scale) {
  kernels::SgdStep step = step_of(options_);
  step.lr = lr;
  step.grad_scale = scale;
  update(gradients, step);
}

void Sgd::step(const std::vector<Tensor>& gradients,
               const Tensor& lr,
               const Tensor& scale,
               const Tensor& gate) {
  kernels::SgdStep step = step_of(options_);
  if (!DryRun::active()) {
    step.lr_at = lr.data<double>();
    step.grad_scale_at = scale.data<double>();
    step.gate = gate.data<int64_t>();
  }
  update(gradients, step);
}

void Sgd::update(const std::vector<Tensor>& gradients, const kernels::SgdStep& step) {
  ProfileScope profile(ProfileKind::kOp, "sgd");
  if (profile) profile.count(bytes_of(weights_, 5));  // reads g, w, buf; writes w, buf
  const std::vector<Tensor> dense = dense_gradients("sgd", gradients, weights_);
  if (dense.empty()) return;
  dispatch(weights_[0].value, [&]<typename T>(auto& ctx) {
    std::vector<kernels::SgdTensor<T>> tensors;
    tensors.reserve(dense.size());
    for (size_t i = 0; i < dense.size(); ++i) {
      const Tensor& w = weights_[i].value;
      tensors.push_back({w.numel(),
                         data_or_null<T>(dense[i]),
                         w.mutable_data<T>(),
                         buffers_[i].template mutable_data<T>()});
    }
    kernels::sgd<T>(ctx, step, tensors);
  });
}

Adam::Adam(Alphas alphas, AdamOptions options)
    : alphas_(std::move(alphas)),
      options_(options),
      m_(zeros_like(alphas_.tensors())),
      v_(zeros_like(alphas_.tensors())) {}

kernels::AdamStep Adam::next() const {
  return {
      options_.lr, options_.beta1, options_.beta2, options_.eps, options_.weight_decay, steps_ + 1};
}

std::array<double, 2> Adam::corrections() const {
  const kernels::AdamCorrections c = kernels::corrections_of(next());
  return {c.first, c.second};
}

void Adam::step(const std::vector<Tensor>& gradients) {
  update(gradients, next());
  ++steps_;
}

void Adam::step(const std::vector<Tensor>& gradients,
                const Tensor& corrections,
                const Tensor& gate) {
  kernels::AdamStep step = next();
  if (!DryRun::active()) {
    static_assert(sizeof(kernels::AdamCorrections) == 2 * sizeof(double));
    step.corrections_at =
        reinterpret_cast<const kernels::AdamCorrections*>(corrections.data<double>());
    step.gate = gate.data<int64_t>();
  }
  update(gradients, step);
}

void Adam::update(const std::vector<Tensor>& gradients, const kernels::AdamStep& step) {
  ProfileScope profile(ProfileKind::kOp, "adam");
  if (profile) profile.count(bytes_of(alphas_, 7));  // reads g, w, m, v; writes w, m, v
  const std::vector<Tensor> dense = dense_gradients("adam", gradients, alphas_);
  if (dense.empty()) return;
  dispatch(alphas_[0].value, [&]<typename T>(auto& ctx) {
    std::vector<kernels::AdamTensor<T>> tensors;
    tensors.reserve(dense.size());
    for (size_t i = 0; i < dense.size(); ++i) {
      const Tensor& a = alphas_[i].value;
      tensors.push_back({a.numel(),
                         data_or_null<T>(dense[i]),
                         a.mutable_data<T>(),
                         m_[i].template mutable_data<T>(),
                         v_[i].template mutable_data<T>()});
    }
    kernels::adam<T>(ctx, step, tensors);
  });
}

double cosine_rate(double high, double low, int64_t epoch, int64_t epochs) {
  return low + (high - low) *
                   (1 + std::cos(std::numbers::pi * static_cast<double>(epoch) /
                                 static_cast<double>(epochs))) /
                   2;
}

Tensor squared_norm(const Weights& weights, const std::vector<Tensor>& tensors) {
  return sum_of_squares(weights, tensors);
}

Tensor squared_norm(const Alphas& alphas, const std::vector<Tensor>& tensors) {
  return sum_of_squares(alphas, tensors);
}

double global_norm(const Weights& weights, const std::vector<Tensor>& tensors) {
  return std::sqrt(squared_norm(weights, tensors).item());
}

double clip_factor(double norm, double limit) {
  return limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1;
}

Tensor clip_factor(const Tensor& squares, double limit) {
  const Tensor factor = Tensor::empty({1}, DType::kFloat64, squares.device());
  dispatch_device<double>(squares.device(), [&]<typename T>(auto& ctx) {
    kernels::clip_factor(ctx, limit, squares.data<T>(), factor.mutable_data<T>());
  });
  return factor;
}

}  // namespace oche
