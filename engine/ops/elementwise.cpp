// Elementwise ops: one Op for all binary functors, one for all unary ones.
#include "kernels/elementwise.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

using kernels::Binary;
using kernels::Unary;

// The strides with which `t` is read as a tensor of `shape`: 0 along broadcast dimensions.
Strides broadcast_strides(const Tensor& t, const Shape& shape) {
  Strides strides(shape.size(), 0);
  const size_t missing = shape.size() - t.shape().size();
  for (size_t i = 0; i < t.shape().size(); ++i) {
    strides[missing + i] = t.shape()[i] == 1 && shape[missing + i] != 1 ? 0 : t.strides()[i];
  }
  return strides;
}

struct BinaryOp final : Op {
  explicit BinaryOp(Binary f) : f(f) {}
  Binary f;

  std::string_view name() const override {
    constexpr std::string_view names[] = {"add", "subtract", "multiply", "divide", "gate"};
    return names[static_cast<int>(f)];
  }
  bool accepts_strides() const override { return true; }
  bool saves_input(size_t i, const Needs& needs) const override {
    switch (f) {
      case Binary::kMultiply:
        return needs[1 - i];
      case Binary::kDivide:
        return i == 1;
      case Binary::kGate:
        return i == 1;
      default:
        return false;
    }
  }
  bool saves_output(size_t, const Needs& needs) const override {
    return f == Binary::kDivide && needs[1];
  }

  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    if (in[0].dtype() != in[1].dtype()) {
      throw std::invalid_argument(fmt::format("{}: dtypes {} and {} differ",
                                              name(),
                                              to_string(in[0].dtype()),
                                              to_string(in[1].dtype())));
    }
    return {{broadcast_shapes(name(), in[0].shape(), in[1].shape()), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Shape& shape = out[0].shape();
    const Strides a = broadcast_strides(in[0], shape), b = broadcast_strides(in[1], shape);
    dispatch(out[0], [&]<typename T>(auto& ctx) {
      kernels::binary<T>(
          ctx, f, shape, in[0].data<T>(), a, in[1].data<T>(), b, out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in,
                     Outputs out,
                     const Gradients& g,
                     const Needs& needs) const override {
    Gradients grads(2);
    if (needs[0]) grads[0] = sum_to(first(in, g[0]), in[0].shape());
    if (needs[1] && f != Binary::kGate) grads[1] = sum_to(second(in, out, g[0]), in[1].shape());
    return grads;
  }

 private:
  Tensor first(Inputs in, const Tensor& g) const {
    switch (f) {
      case Binary::kMultiply:
        return g * in[1];
      case Binary::kDivide:
        return g / in[1];
      case Binary::kGate:
        return gate(g, in[1]);
      default:
        return g;
    }
  }
  Tensor second(Inputs in, Outputs out, const Tensor& g) const {
    switch (f) {
      case Binary::kAdd:
        return g;
      case Binary::kSubtract:
        return -g;
      case Binary::kMultiply:
        return g * in[0];
      default:
        return -(g * out[0] / in[1]);  // d(a/b)/db = -(a/b)/b
    }
  }
};

struct UnaryOp final : Op {
  explicit UnaryOp(Unary f) : f(f) {}
  Unary f;

  std::string_view name() const override {
    constexpr std::string_view names[] = {
        "negate", "exp", "log", "sqrt", "sigmoid", "tanh", "reciprocal", "abs", "sign"};
    return names[static_cast<int>(f)];
  }
  bool saves_input(size_t, const Needs&) const override {
    return f == Unary::kLog || f == Unary::kAbs;
  }
  bool saves_output(size_t, const Needs&) const override {
    return f == Unary::kExp || f == Unary::kSqrt || f == Unary::kSigmoid || f == Unary::kTanh ||
           f == Unary::kReciprocal;
  }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), in[0].dtype(), f != Unary::kSign}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::unary<T>(ctx, f, in[0].numel(), in[0].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs out, const Gradients& gs, const Needs&) const override {
    const Tensor& g = gs[0];
    const Tensor& x = in[0];
    const Tensor& y = out[0];
    switch (f) {
      case Unary::kNegate:
        return {-g};
      case Unary::kExp:
        return {g * y};
      case Unary::kLog:
        return {g / x};
      case Unary::kSqrt:
        return {g / y * 0.5};
      case Unary::kSigmoid:
        return {g * y * (1.0 - y)};
      case Unary::kTanh:
        return {g * (1.0 - y * y)};
      case Unary::kReciprocal:
        return {-(g * y * y)};
      case Unary::kAbs:
        return {g * sign(x)};
      case Unary::kSign:
        break;
    }
    return {Tensor()};
  }
};

struct Affine final : Op {  // scale * x + shift
  Affine(double scale, double shift) : scale(scale), shift(shift) {}
  double scale, shift;

  std::string_view name() const override { return "affine"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::affine<T>(
          ctx, in[0].numel(), scale, shift, in[0].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs, Outputs, const Gradients& g, const Needs&) const override {
    return {g[0] * scale};
  }
};

struct Cast final : Op {
  explicit Cast(DType dtype) : dtype(dtype) {}
  DType dtype;

  std::string_view name() const override { return "cast"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), dtype}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch_any(in[0], [&]<typename From>(auto&) {
      dispatch_any(out[0], [&]<typename To>(auto& ctx) {
        kernels::cast<From, To>(ctx, in[0].numel(), in[0].data<From>(), out[0].mutable_data<To>());
      });
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {cast(g[0], in[0].dtype())};
  }
};

Tensor binary(Binary f, const Tensor& a, const Tensor& b) {
  return apply_op<BinaryOp>({a, b}, f);
}
Tensor unary(Unary f, const Tensor& x) {
  return apply_op<UnaryOp>({x}, f);
}

}  // namespace

Tensor operator+(const Tensor& a, const Tensor& b) {
  return binary(Binary::kAdd, a, b);
}
Tensor operator-(const Tensor& a, const Tensor& b) {
  return binary(Binary::kSubtract, a, b);
}
Tensor operator*(const Tensor& a, const Tensor& b) {
  return binary(Binary::kMultiply, a, b);
}
Tensor operator/(const Tensor& a, const Tensor& b) {
  return binary(Binary::kDivide, a, b);
}
Tensor gate(const Tensor& a, const Tensor& b) {
  return binary(Binary::kGate, a, b);
}
Tensor relu(const Tensor& x) {
  return gate(x, x);
}
Tensor affine(const Tensor& x, double scale, double shift) {
  return apply_op<Affine>({x}, scale, shift);
}
Tensor operator-(const Tensor& x) {
  return unary(Unary::kNegate, x);
}
Tensor exp(const Tensor& x) {
  return unary(Unary::kExp, x);
}
Tensor log(const Tensor& x) {
  return unary(Unary::kLog, x);
}
Tensor sqrt(const Tensor& x) {
  return unary(Unary::kSqrt, x);
}
Tensor abs(const Tensor& x) {
  return unary(Unary::kAbs, x);
}
Tensor sign(const Tensor& x) {
  return unary(Unary::kSign, x);
}
Tensor reciprocal(const Tensor& x) {
  return unary(Unary::kReciprocal, x);
}
Tensor sigmoid(const Tensor& x) {
  return unary(Unary::kSigmoid, x);
}
Tensor tanh(const Tensor& x) {
  return unary(Unary::kTanh, x);
}
Tensor cast(const Tensor& x, DType dtype) {
  return x.dtype() == dtype ? x : apply_op<Cast>({x}, dtype);
}

}  // namespace oche
