// Softmax, its logarithm, and the cross entropy.
#include "kernels/softmax.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

struct Softmax final : Op {
  explicit Softmax(int dim) : dim(dim) {}
  int dim;

  std::string_view name() const override { return "softmax"; }
  bool saves_output(size_t, const Needs&) const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Split s = split_at(in[0].shape(), dim);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::softmax_forward<T>(
          ctx, s.outer, s.n, s.inner, in[0].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs, Outputs out, const Gradients& g, const Needs&) const override {
    const Tensor& y = out[0];
    return {y * (g[0] - sum(g[0] * y, dim, /*keepdim=*/true))};
  }
};

struct LogSoftmax final : Op {
  explicit LogSoftmax(int dim) : dim(dim) {}
  int dim;

  std::string_view name() const override { return "log_softmax"; }
  bool saves_output(size_t, const Needs&) const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Split s = split_at(in[0].shape(), dim);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::log_softmax_forward<T>(
          ctx, s.outer, s.n, s.inner, in[0].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs, Outputs out, const Gradients& g, const Needs&) const override {
    return {g[0] - exp(out[0]) * sum(g[0], dim, /*keepdim=*/true)};
  }
};

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  return apply_op<Softmax>({x}, normalize_dim("softmax", dim, x.shape()));
}

Tensor log_softmax(const Tensor& x, int dim) {
  return apply_op<LogSoftmax>({x}, normalize_dim("log_softmax", dim, x.shape()));
}

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  const bool fits = logits.rank() == 2 && logits.shape()[0] > 0 &&
                    labels.shape() == Shape{logits.shape()[0]} && labels.dtype() == DType::kInt64;
  if (!fits) {
    throw std::invalid_argument(fmt::format(
        "cross_entropy: logits {} and labels {} {}; expected (N, classes) and i64 (N), N >= 1",
        to_string(logits.shape()),
        to_string(labels.dtype()),
        to_string(labels.shape())));
  }
  const int64_t classes = logits.shape()[1];
  if (!DryRun::active() && labels.device() == Device()) {
    for (int64_t label : labels.to_vector<int64_t>()) {
      if (label >= 0 && label < classes) continue;
      throw std::invalid_argument(
          fmt::format("cross_entropy: label {} is outside [0, {})", label, classes));
    }
  }
  return -mean(gather(log_softmax(logits, 1), 1, reshape(labels, {labels.numel(), 1})));
}

}  // namespace oche
