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
#include "kernels/optimizer.h"

namespace oche {
namespace {

std::vector<Tensor> zeros_like(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> zeros;
  for (const Tensor& t : tensors) zeros.push_back(Tensor::zeros(t.shape(), t.dtype(), t.device()));
  return zeros;
}

// The gradient as the update kernels read it: dense, zeros where there is none.
Tensor dense_gradient(std::string_view optimiser, const Tensor& g, const Tensor& w) {
  if (!g) return Tensor::zeros(w.shape(), w.dtype(), w.device());
  if (g.shape() != w.shape() || g.dtype() != w.dtype()) {
    throw std::invalid_argument(fmt::format("{}: gradient {} {} for a parameter {} {}",
                                            optimiser,
                                            to_string(g.dtype()),
                                            to_string(g.shape()),
                                            to_string(w.dtype()),
                                            to_string(w.shape())));
  }
  const NoGrad no_grad;
  return contiguous(g);
}

void check_count(std::string_view optimiser, size_t gradients, size_t parameters) {
  if (gradients != parameters) {
    throw std::invalid_argument(
        fmt::format("{}: {} gradients for {} parameters", optimiser, gradients, parameters));
  }
}

}  // namespace

Sgd::Sgd(Weights weights, SgdOptions options)
    : weights_(std::move(weights)), options_(options), buffers_(zeros_like(weights_.tensors())) {}

void Sgd::step(const std::vector<Tensor>& gradients, double lr, double scale) {
  check_count("sgd", gradients.size(), weights_.size());
  const kernels::SgdStep step{lr, options_.momentum, options_.weight_decay, scale};
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor& w = weights_[i].value;
    const Tensor g = dense_gradient("sgd", gradients[i], w);
    if (DryRun::active()) continue;
    dispatch(w, [&, &buffer = buffers_[i]]<typename T>(auto& ctx) {
      kernels::sgd<T>(ctx,
                      step,
                      w.numel(),
                      g.data<T>(),
                      w.mutable_data<T>(),
                      buffer.template mutable_data<T>());
    });
  }
}

Adam::Adam(Alphas alphas, AdamOptions options)
    : alphas_(std::move(alphas)),
      options_(options),
      m_(zeros_like(alphas_.tensors())),
      v_(zeros_like(alphas_.tensors())) {}

void Adam::step(const std::vector<Tensor>& gradients) {
  check_count("adam", gradients.size(), alphas_.size());
  const kernels::AdamStep step{
      options_.lr, options_.beta1, options_.beta2, options_.eps, options_.weight_decay, ++steps_};
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor& a = alphas_[i].value;
    const Tensor g = dense_gradient("adam", gradients[i], a);
    if (DryRun::active()) continue;
    dispatch(a, [&, &m = m_[i], &v = v_[i]]<typename T>(auto& ctx) {
      kernels::adam<T>(ctx,
                       step,
                       a.numel(),
                       g.data<T>(),
                       a.mutable_data<T>(),
                       m.template mutable_data<T>(),
                       v.template mutable_data<T>());
    });
  }
}

double cosine_rate(double high, double low, int64_t epoch, int64_t epochs) {
  return low + (high - low) *
                   (1 + std::cos(std::numbers::pi * static_cast<double>(epoch) /
                                 static_cast<double>(epochs))) /
                   2;
}

double global_norm(const Weights& weights, const std::vector<Tensor>& tensors) {
  check_count("global_norm", tensors.size(), weights.size());
  const NoGrad no_grad;
  double squares = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i]) continue;
    const Tensor t = cast(to_file_layout(tensors[i], weights[i].layout), DType::kFloat64);
    squares += dot(t, t).item();
  }
  return std::sqrt(squares);
}

double clip_factor(double norm, double limit) {
  return limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1;
}

}  // namespace oche
