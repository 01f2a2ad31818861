// The convolution trio: forward, input gradient, weight gradient; and the two gradients in one
// pass, which is how a first derivative gets them. With x the input, w the weight and g the
// output's gradient, the three are the partial derivatives of the trilinear form <conv(gated x, w),
// g>, so each differentiates into the other two. The gate is constant: a relu in front costs
// nothing to differentiate.
#include "kernels/conv2d.h"

#include <fmt/format.h>

#include <stdexcept>
#include <tuple>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

kernels::Conv2dShape describe(const Shape& x, const Shape& w, const Conv2dOptions& o) {
  return {.N = x[0],
          .H = x[1],
          .W = x[2],
          .C = x[3],
          .kernel_h = w[0],
          .kernel_w = w[1],
          .out_C = w[3],
          .groups = o.groups,
          .stride = o.stride,
          .padding = o.padding,
          .dilation = o.dilation};
}

// Throws unless x, w and the options make a convolution; returns the shape of its result.
Shape checked_output(std::string_view op, const Shape& x, const Shape& w, const Conv2dOptions& o) {
  if (x.size() != 4 || w.size() != 4 || w[0] < 1 || w[1] < 1 || o.groups < 1 || o.stride < 1 ||
      o.dilation < 1 || o.padding < 0) {
    throw std::invalid_argument(
        fmt::format("{}: x {}, weight {}, stride {}, padding {}, dilation {}, groups {}; expected "
                    "(N, H, W, C), "
                    "(kernel_h, kernel_w, C/groups, out_C), padding >= 0 and the others >= 1",
                    op,
                    to_string(x),
                    to_string(w),
                    o.stride,
                    o.padding,
                    o.dilation,
                    o.groups));
  }
  if (x[3] != w[2] * o.groups || w[3] % o.groups != 0) {
    throw std::invalid_argument(fmt::format(
        "{}: weight {} with {} groups does not fit x {}; expected C = weight[2] * groups and out_C "
        "divisible by groups",
        op,
        to_string(w),
        o.groups,
        to_string(x)));
  }
  const kernels::Conv2dShape s = describe(x, w, o);
  const bool covers = s.H + 2 * s.padding > s.dilation * (s.kernel_h - 1) &&
                      s.W + 2 * s.padding > s.dilation * (s.kernel_w - 1);
  if (!covers) {
    throw std::invalid_argument(
        fmt::format("{}: the kernel {} with dilation {} exceeds the padded image {}",
                    op,
                    to_string(w),
                    o.dilation,
                    to_string(x)));
  }
  return {s.N, s.out_h(), s.out_w(), s.out_C};
}

void check_same(std::string_view op,
                std::string_view what,
                const Shape& actual,
                const Shape& expected) {
  if (actual != expected) {
    throw std::invalid_argument(fmt::format(
        "{}: {} has shape {}; expected {}", op, what, to_string(actual), to_string(expected)));
  }
}

void check_dtypes(std::string_view op, Inputs in) {
  for (const Tensor& t : in) {
    if (t.dtype() != in[0].dtype()) {
      throw std::invalid_argument(fmt::format(
          "{}: dtypes {} and {} differ", op, to_string(in[0].dtype()), to_string(t.dtype())));
    }
  }
}

// For the partial sums of a weight gradient.
Tensor workspace_for(const Tensor& x, const kernels::Conv2dShape& s) {
  const int64_t size = with_context(
      x.device(), [&](const auto& ctx) { return kernels::conv2d_weight_grad_workspace(ctx, s); });
  return Tensor::empty({size}, x.dtype(), x.device());
}

// Inputs of each: its two linear arguments, then the gate if there is one.
struct ConvOp : Op {
  explicit ConvOp(Conv2dOptions options) : o(options) {}
  Conv2dOptions o;

  bool saves_input(size_t i, const Needs& needs) const override { return i == 2 || needs[1 - i]; }
  int64_t macs_of(const kernels::Conv2dShape& s) const {
    return s.N * s.out_h() * s.out_w() * s.out_C * (s.C / s.groups) * s.kernel_h * s.kernel_w;
  }
  static Tensor gate_of(Inputs in) { return in.size() > 2 ? in[2] : Tensor(); }
  template <typename T>
  static const T* gate_data(Inputs in) {
    return in.size() > 2 ? in[2].data<T>() : nullptr;
  }
};

struct Conv2d final : ConvOp {  // (x, w) -> y
  using ConvOp::ConvOp;
  std::string_view name() const override { return "conv2d"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check_dtypes(name(), in);
    const Shape y = checked_output(name(), in[0].shape(), in[1].shape(), o);
    if (in.size() > 2) check_same(name(), "gate", in[2].shape(), in[0].shape());
    return {{y, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::conv2d_forward<T>(ctx,
                                 describe(in[0].shape(), in[1].shape(), o),
                                 in[0].data<T>(),
                                 gate_data<T>(in),
                                 in[1].data<T>(),
                                 out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs& needs) const override {
    Gradients grads(in.size());
    if (needs[0] && needs[1]) {
      std::tie(grads[0], grads[1]) = conv2d_backward(in[0], g[0], in[1], o, gate_of(in));
    } else if (needs[0]) {
      grads[0] = conv2d_input_grad(g[0], in[1], in[0].shape(), o, gate_of(in));
    } else if (needs[1]) {
      grads[1] = conv2d_weight_grad(in[0], g[0], in[1].shape(), o, gate_of(in));
    }
    return grads;
  }
  int64_t macs(Inputs in, Outputs) const override {
    return macs_of(describe(in[0].shape(), in[1].shape(), o));
  }
};

struct Conv2dInputGrad final : ConvOp {  // (g, w) -> dx
  Conv2dInputGrad(Conv2dOptions options, Shape x_shape)
      : ConvOp(options), x_shape(std::move(x_shape)) {}
  Shape x_shape;

  std::string_view name() const override { return "conv2d_input_grad"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check_dtypes(name(), in);
    check_same(
        name(), "grad_output", in[0].shape(), checked_output(name(), x_shape, in[1].shape(), o));
    if (in.size() > 2) check_same(name(), "gate", in[2].shape(), x_shape);
    return {{x_shape, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::conv2d_input_grad<T>(ctx,
                                    describe(x_shape, in[1].shape(), o),
                                    in[0].data<T>(),
                                    gate_data<T>(in),
                                    in[1].data<T>(),
                                    out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& v, const Needs& needs) const override {
    Gradients grads(in.size());
    if (needs[0]) grads[0] = conv2d(v[0], in[1], o, gate_of(in));
    if (needs[1]) grads[1] = conv2d_weight_grad(v[0], in[0], in[1].shape(), o, gate_of(in));
    return grads;
  }
  int64_t macs(Inputs in, Outputs) const override {
    return macs_of(describe(x_shape, in[1].shape(), o));
  }
};

struct Conv2dWeightGrad final : ConvOp {  // (x, g) -> dw
  Conv2dWeightGrad(Conv2dOptions options, Shape w_shape)
      : ConvOp(options), w_shape(std::move(w_shape)) {}
  Shape w_shape;

  std::string_view name() const override { return "conv2d_weight_grad"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check_dtypes(name(), in);
    check_same(
        name(), "grad_output", in[1].shape(), checked_output(name(), in[0].shape(), w_shape, o));
    if (in.size() > 2) check_same(name(), "gate", in[2].shape(), in[0].shape());
    return {{w_shape, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const kernels::Conv2dShape s = describe(in[0].shape(), w_shape, o);
    const Tensor partials = workspace_for(in[0], s);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::conv2d_weight_grad<T>(ctx,
                                     s,
                                     in[0].data<T>(),
                                     gate_data<T>(in),
                                     in[1].data<T>(),
                                     out[0].mutable_data<T>(),
                                     partials.mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& v, const Needs& needs) const override {
    Gradients grads(in.size());
    if (needs[0]) grads[0] = conv2d_input_grad(in[1], v[0], in[0].shape(), o, gate_of(in));
    if (needs[1]) grads[1] = conv2d(in[0], v[0], o, gate_of(in));
    return grads;
  }
  int64_t macs(Inputs in, Outputs) const override {
    return macs_of(describe(in[0].shape(), w_shape, o));
  }
};

// Both gradients at once: (x, g, w [, gate]) -> dx, dw.
struct Conv2dBackward final : Op {
  explicit Conv2dBackward(Conv2dOptions options) : o(options) {}
  Conv2dOptions o;

  std::string_view name() const override { return "conv2d_backward"; }
  bool saves_input(size_t i, const Needs& needs) const override {
    const bool read_by[] = {needs[1], needs[0] || needs[2], needs[1], true};
    return read_by[i];
  }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check_dtypes(name(), in);
    const Shape &x = in[0].shape(), &w = in[2].shape();
    check_same(name(), "grad_output", in[1].shape(), checked_output(name(), x, w, o));
    if (in.size() > 3) check_same(name(), "gate", in[3].shape(), x);
    return {{x, in[0].dtype()}, {w, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const kernels::Conv2dShape s = describe(in[0].shape(), in[2].shape(), o);
    const Tensor partials = workspace_for(in[0], s);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::conv2d_backward<T>(ctx,
                                  s,
                                  in[0].data<T>(),
                                  in.size() > 3 ? in[3].data<T>() : nullptr,
                                  in[1].data<T>(),
                                  in[2].data<T>(),
                                  out[0].mutable_data<T>(),
                                  out[1].mutable_data<T>(),
                                  partials.mutable_data<T>());
    });
  }
  // Of <v0, dx(g, w)> + <v1, dw(x, g)>.
  Gradients backward(Inputs in, Outputs, const Gradients& v, const Needs& needs) const override {
    const Tensor &x = in[0], &g = in[1], &w = in[2], gate = in.size() > 3 ? in[3] : Tensor();
    Gradients grads(in.size());
    if (needs[0] && v[1]) grads[0] = conv2d_input_grad(g, v[1], x.shape(), o, gate);
    if (needs[2] && v[0]) grads[2] = conv2d_weight_grad(v[0], g, w.shape(), o, gate);
    if (!needs[1]) return grads;
    if (v[0]) grads[1] = conv2d(v[0], w, o, gate);
    if (v[1]) {
      const Tensor second = conv2d(x, v[1], o, gate);
      grads[1] = grads[1] ? grads[1] + second : second;
    }
    return grads;
  }
  int64_t macs(Inputs in, Outputs out) const override {
    const kernels::Conv2dShape s = describe(in[0].shape(), in[2].shape(), o);
    return 2 * s.N * s.out_h() * s.out_w() * out[1].numel();
  }
};

std::vector<Tensor> with_gate(const Tensor& a, const Tensor& b, const Tensor& gate) {
  return gate ? std::vector{a, b, gate} : std::vector{a, b};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, Conv2dOptions options, const Tensor& gate) {
  if (!gate || gate.impl() != x.impl())
    return apply_op<Conv2d>(with_gate(x, weight, gate), options);
  const Tensor once = contiguous(x);  // not a copy for each of the two
  return apply_op<Conv2d>({once, weight, once}, options);
}

Tensor conv2d_input_grad(const Tensor& grad_output,
                         const Tensor& weight,
                         const Shape& x_shape,
                         Conv2dOptions options,
                         const Tensor& gate) {
  return apply_op<Conv2dInputGrad>(with_gate(grad_output, weight, gate), options, x_shape);
}

std::pair<Tensor, Tensor> conv2d_backward(const Tensor& x,
                                          const Tensor& grad_output,
                                          const Tensor& weight,
                                          Conv2dOptions options,
                                          const Tensor& gate) {
  std::vector<Tensor> inputs{x, grad_output, weight};
  if (gate) inputs.push_back(gate);
  const std::vector<Tensor> grads = apply_multi<Conv2dBackward>(std::move(inputs), options);
  return {grads[0], grads[1]};
}

Tensor conv2d_weight_grad(const Tensor& x,
                          const Tensor& grad_output,
                          const Shape& weight_shape,
                          Conv2dOptions options,
                          const Tensor& gate) {
  return apply_op<Conv2dWeightGrad>(with_gate(x, grad_output, gate), options, weight_shape);
}

}  // namespace oche
