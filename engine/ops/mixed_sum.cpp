// The weighted sum of a mixed op: all terms in one pass, forward and backward.
#include "kernels/mixed_sum.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

using Index = std::vector<int64_t>;  // for each term, the place of its weight

template <typename T>
std::vector<const T*> pointers(Inputs xs) {
  std::vector<const T*> p;
  for (const Tensor& x : xs) p.push_back(x.data<T>());
  return p;
}

// A single weight as a tensor of shape ().
Tensor weight_at(const Tensor& weights, int64_t i) {
  return reshape(slice(reshape(weights, {weights.numel()}), 0, i, i + 1), {});
}

// inputs: g, weights, x_1 .. x_K; outputs: dx_1 .. dx_K (those wanted), dweights.
struct MixedSumBackward final : Op {
  MixedSumBackward(Index index, Needs wanted)
      : index(std::move(index)), wanted(std::move(wanted)) {}
  Index index;
  Needs wanted;  // for each term, whether dx is wanted

  std::string_view name() const override { return "mixed_sum_backward"; }
  bool saves_input(size_t, const Needs&) const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    std::vector<TensorSpec> specs;
    for (size_t k = 0; k < index.size(); ++k) {
      specs.push_back({wanted[k] ? in[0].shape() : Shape{0}, in[0].dtype(), wanted[k]});
    }
    specs.push_back({in[1].shape(), in[0].dtype()});
    return specs;
  }
  void forward(Inputs in, Outputs out) const override {
    const auto K = static_cast<int64_t>(index.size());
    const Tensor& dw = out[index.size()];
    const Tensor partials = Tensor::empty(
        {kernels::mixed_sum_workspace(K, in[0].numel())}, DType::kFloat64, in[0].device());
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      std::vector<T*> dx;
      for (size_t k = 0; k < index.size(); ++k)
        dx.push_back(wanted[k] ? out[k].mutable_data<T>() : nullptr);
      kernels::mixed_sum_backward<T>(ctx,
                                     K,
                                     in[0].numel(),
                                     in[0].data<T>(),
                                     pointers<T>(in.subspan(2)).data(),
                                     in[1].data<T>(),
                                     index.data(),
                                     dx.data(),
                                     dw.numel(),
                                     dw.mutable_data<T>(),
                                     partials.mutable_data<double>());
    });
  }
  // With cotangents u_k of dx_k and v of dweights: <u_k, w_k g> + v_k <g, x_k>, summed over k.
  Gradients backward(Inputs in, Outputs, const Gradients& uv, const Needs& needs) const override {
    const Tensor &g = in[0], &weights = in[1], &v = uv.back();
    Gradients grads(in.size());
    std::vector<Tensor> terms, dw;
    Index from;
    for (size_t k = 0; k < index.size(); ++k) {
      if (uv[k]) {
        terms.push_back(uv[k]);
        from.push_back(index[k]);
        if (needs[1])
          dw.push_back(embed(reshape(dot(uv[k], g), {1}), 0, weights.numel(), index[k]));
      }
      if (v && needs[2 + k]) grads[2 + k] = g * weight_at(v, index[k]);
    }
    if (needs[0] && !terms.empty()) grads[0] = mixed_sum(weights, from, terms);
    if (needs[0] && v) {
      const Tensor rest = mixed_sum(v, index, {in.begin() + 2, in.end()});
      grads[0] = grads[0] ? grads[0] + rest : rest;
    }
    if (!dw.empty()) {
      Tensor total = dw[0];
      for (size_t k = 1; k < dw.size(); ++k) total = total + dw[k];
      grads[1] = reshape(total, weights.shape());
    }
    return grads;
  }
};

struct MixedSum final : Op {  // inputs: weights, x_1 .. x_K
  explicit MixedSum(Index index) : index(std::move(index)) {}
  Index index;

  std::string_view name() const override { return "mixed_sum"; }
  bool saves_input(size_t i, const Needs& needs) const override { return i == 0 || needs[0]; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    for (size_t k = 0; k < index.size(); ++k) {
      const Tensor& x = in[1 + k];
      if (index[k] < 0 || index[k] >= in[0].numel()) {
        throw std::invalid_argument(
            fmt::format("mixed_sum: weight {} of a tensor of {}", index[k], in[0].numel()));
      }
      if (x.shape() != in[1].shape() || x.dtype() != in[0].dtype()) {
        throw std::invalid_argument(fmt::format("mixed_sum: term {} is {} {}; expected {} {}",
                                                k,
                                                to_string(x.dtype()),
                                                to_string(x.shape()),
                                                to_string(in[0].dtype()),
                                                to_string(in[1].shape())));
      }
    }
    return {{in[1].shape(), in[1].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(out[0], [&]<typename T>(auto& ctx) {
      kernels::mixed_sum_forward<T>(ctx,
                                    static_cast<int64_t>(index.size()),
                                    out[0].numel(),
                                    pointers<T>(in.subspan(1)).data(),
                                    in[0].data<T>(),
                                    index.data(),
                                    out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs& needs) const override {
    Gradients grads(in.size());
    if (!needs[0]) {  // the terms alone: no inner products, and the x were not saved
      for (size_t k = 0; k < index.size(); ++k) {
        if (needs[1 + k]) grads[1 + k] = g[0] * weight_at(in[0], index[k]);
      }
      return grads;
    }
    std::vector<Tensor> inputs{g[0], in[0]};
    inputs.insert(inputs.end(), in.begin() + 1, in.end());
    std::vector<Tensor> out = apply_multi<MixedSumBackward>(
        std::move(inputs), index, Needs(needs.begin() + 1, needs.end()));
    for (size_t k = 0; k < index.size(); ++k) {
      if (needs[1 + k]) grads[1 + k] = out[k];
    }
    grads[0] = out.back();
    return grads;
  }
};

}  // namespace

Tensor mixed_sum(const Tensor& weights, const Index& index, const std::vector<Tensor>& xs) {
  if (xs.empty() || xs.size() != index.size()) {
    throw std::invalid_argument(
        fmt::format("mixed_sum: {} terms with {} weights; expected as many, at least one",
                    xs.size(),
                    index.size()));
  }
  std::vector<Tensor> inputs{weights};
  inputs.insert(inputs.end(), xs.begin(), xs.end());
  return apply_op<MixedSum>(std::move(inputs), index);
}

}  // namespace oche
