// Pooling. Max pooling saves one byte per output, the winning tap; its adjoint scatters, the
// adjoint's adjoint gathers. Average pooling is linear: it and its adjoint are a pair.
#include "kernels/pool2d.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

struct PoolOp : Op {
  explicit PoolOp(Pool2dOptions options) : o(options) {}
  Pool2dOptions o;

  kernels::Pool2dShape describe(const Shape& x) const {
    return {.N = x[0],
            .H = x[1],
            .W = x[2],
            .C = x[3],
            .kernel = o.kernel,
            .stride = o.stride,
            .padding = o.padding};
  }
  Shape pooled(const Shape& x) const {
    const bool fits = x.size() == 4 && o.kernel >= 1 && o.kernel <= 15 && o.stride >= 1 &&
                      o.padding >= 0 && o.padding <= o.kernel / 2 &&
                      x[1] + 2 * o.padding >= o.kernel && x[2] + 2 * o.padding >= o.kernel;
    if (!fits) {
      throw std::invalid_argument(
          fmt::format("{}: x {}, kernel {}, stride {}, padding {}; expected (N, H, W, C), 1 <= "
                      "kernel <= 15 within "
                      "the padded image, stride >= 1, 0 <= padding <= kernel/2",
                      name(),
                      to_string(x),
                      o.kernel,
                      o.stride,
                      o.padding));
    }
    const kernels::Pool2dShape s = describe(x);
    return {s.N, s.out_h(), s.out_w(), s.C};
  }
};

Tensor max_pool2d_gather(const Tensor& x, const Tensor& index, Pool2dOptions o);
Tensor max_pool2d_scatter(const Tensor& g,
                          const Tensor& index,
                          const Shape& x_shape,
                          Pool2dOptions o);
Tensor avg_pool2d_backward(const Tensor& g, const Shape& x_shape, Pool2dOptions o);

struct MaxPool2d final : PoolOp {  // outputs: y, index
  using PoolOp::PoolOp;
  std::string_view name() const override { return "max_pool2d"; }
  bool saves_output(size_t i, const Needs&) const override { return i == 1; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    const Shape y = pooled(in[0].shape());
    return {{y, in[0].dtype()}, {y, DType::kUInt8, false}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::max_pool2d_forward<T>(ctx,
                                     describe(in[0].shape()),
                                     in[0].data<T>(),
                                     out[0].mutable_data<T>(),
                                     out[1].mutable_data<uint8_t>());
    });
  }
  Gradients backward(Inputs in, Outputs out, const Gradients& g, const Needs&) const override {
    return {max_pool2d_scatter(g[0], out[1], in[0].shape(), o)};
  }
};

struct MaxPool2dScatter final : PoolOp {  // (g, index) -> dx
  MaxPool2dScatter(Pool2dOptions options, Shape x_shape)
      : PoolOp(options), x_shape(std::move(x_shape)) {}
  Shape x_shape;
  std::string_view name() const override { return "max_pool2d_scatter"; }
  bool saves_input(size_t i, const Needs&) const override { return i == 1; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{x_shape, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::max_pool2d_scatter<T>(
          ctx, describe(x_shape), in[0].data<T>(), in[1].data<uint8_t>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& v, const Needs&) const override {
    return {max_pool2d_gather(v[0], in[1], o), Tensor()};
  }
};

struct MaxPool2dGather final : PoolOp {  // (x, index) -> y
  using PoolOp::PoolOp;
  std::string_view name() const override { return "max_pool2d_gather"; }
  bool saves_input(size_t i, const Needs&) const override { return i == 1; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[1].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::max_pool2d_gather<T>(ctx,
                                    describe(in[0].shape()),
                                    in[0].data<T>(),
                                    in[1].data<uint8_t>(),
                                    out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {max_pool2d_scatter(g[0], in[1], in[0].shape(), o), Tensor()};
  }
};

struct AvgPool2d final : PoolOp {
  using PoolOp::PoolOp;
  std::string_view name() const override { return "avg_pool2d"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{pooled(in[0].shape()), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::avg_pool2d_forward<T>(
          ctx, describe(in[0].shape()), in[0].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {avg_pool2d_backward(g[0], in[0].shape(), o)};
  }
};

struct AvgPool2dBackward final : PoolOp {
  AvgPool2dBackward(Pool2dOptions options, Shape x_shape)
      : PoolOp(options), x_shape(std::move(x_shape)) {}
  Shape x_shape;
  std::string_view name() const override { return "avg_pool2d_backward"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{x_shape, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::avg_pool2d_backward<T>(
          ctx, describe(x_shape), in[0].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs, Outputs, const Gradients& v, const Needs&) const override {
    return {avg_pool2d(v[0], o)};
  }
};

Tensor max_pool2d_gather(const Tensor& x, const Tensor& index, Pool2dOptions o) {
  return apply_op<MaxPool2dGather>({x, index}, o);
}
Tensor max_pool2d_scatter(const Tensor& g,
                          const Tensor& index,
                          const Shape& x_shape,
                          Pool2dOptions o) {
  return apply_op<MaxPool2dScatter>({g, index}, o, x_shape);
}
Tensor avg_pool2d_backward(const Tensor& g, const Shape& x_shape, Pool2dOptions o) {
  return apply_op<AvgPool2dBackward>({g}, o, x_shape);
}

}  // namespace

Tensor max_pool2d(const Tensor& x, Pool2dOptions options) {
  return apply_op<MaxPool2d>({x}, options);
}
Tensor avg_pool2d(const Tensor& x, Pool2dOptions options) {
  return apply_op<AvgPool2d>({x}, options);
}

}  // namespace oche
