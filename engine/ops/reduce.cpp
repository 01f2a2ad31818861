// Reductions, inner products, gather and its adjoint.
#include "kernels/reduce.h"

#include <fmt/format.h>

#include <numeric>
#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

Shape without_dim(Shape shape, int dim) {
  shape.erase(shape.begin() + dim);
  return shape;
}
Shape with_extent(Shape shape, int dim, int64_t extent) {
  shape[dim] = extent;
  return shape;
}

Tensor workspace(int64_t doubles, Device device) {
  return Tensor::empty({doubles}, DType::kFloat64, device);
}

struct Sum final : Op {  // keeps the dimension, with extent 1
  explicit Sum(int dim) : dim(dim) {}
  int dim;

  std::string_view name() const override { return "sum"; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{with_extent(in[0].shape(), dim, 1), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Split s = split_at(in[0].shape(), dim);
    const Tensor partials =
        workspace(kernels::sum_workspace(s.outer, s.n, s.inner), in[0].device());
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::sum<T>(ctx,
                      s.outer,
                      s.n,
                      s.inner,
                      in[0].data<T>(),
                      out[0].mutable_data<T>(),
                      partials.mutable_data<double>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {broadcast_to(g[0], in[0].shape())};
  }
};

struct Dot final : Op {
  std::string_view name() const override { return "dot"; }
  bool saves_input(size_t i, const Needs& needs) const override { return needs[1 - i]; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    if (in[0].shape() != in[1].shape() || in[0].dtype() != in[1].dtype()) {
      throw std::invalid_argument(fmt::format("dot: {} {} and {} {} differ",
                                              to_string(in[0].dtype()),
                                              to_string(in[0].shape()),
                                              to_string(in[1].dtype()),
                                              to_string(in[1].shape())));
    }
    return {{{}, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Tensor partials = workspace(kernels::dot_workspace(in[0].numel()), in[0].device());
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::dot<T>(ctx,
                      in[0].numel(),
                      in[0].data<T>(),
                      in[1].data<T>(),
                      out[0].mutable_data<T>(),
                      partials.mutable_data<double>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs& needs) const override {
    return {needs[0] ? g[0] * in[1] : Tensor(), needs[1] ? g[0] * in[0] : Tensor()};
  }
};

struct Max final : Op {  // outputs: values, indices; keeps the dimension, with extent 1
  explicit Max(int dim) : dim(dim) {}
  int dim;

  std::string_view name() const override { return "max"; }
  bool saves_output(size_t i, const Needs&) const override { return i == 1; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    if (in[0].shape()[dim] == 0)
      throw std::invalid_argument(
          fmt::format("max: dim {} of {} is empty", dim, to_string(in[0].shape())));
    const Shape shape = with_extent(in[0].shape(), dim, 1);
    return {{shape, in[0].dtype()}, {shape, DType::kInt64, false}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Split s = split_at(in[0].shape(), dim);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::max<T>(ctx,
                      s.outer,
                      s.n,
                      s.inner,
                      in[0].data<T>(),
                      out[0].mutable_data<T>(),
                      out[1].mutable_data<int64_t>());
    });
  }
  Gradients backward(Inputs in, Outputs out, const Gradients& g, const Needs&) const override {
    return {scatter_add(g[0], dim, out[1], in[0].shape()[dim])};
  }
};

struct Gather final : Op {
  explicit Gather(int dim) : dim(dim) {}
  int dim;

  std::string_view name() const override { return "gather"; }
  bool saves_input(size_t i, const Needs&) const override { return i == 1; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[1].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Split s = split_at(in[0].shape(), dim);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::gather<T>(ctx,
                         s.outer,
                         s.n,
                         in[1].shape()[dim],
                         s.inner,
                         in[0].data<T>(),
                         in[1].data<int64_t>(),
                         out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {scatter_add(g[0], dim, in[1], in[0].shape()[dim]), Tensor()};
  }
};

struct ScatterAdd final : Op {
  ScatterAdd(int dim, int64_t size) : dim(dim), size(size) {}
  int dim;
  int64_t size;

  std::string_view name() const override { return "scatter_add"; }
  bool saves_input(size_t i, const Needs&) const override { return i == 1; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{with_extent(in[0].shape(), dim, size), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const Split s = split_at(out[0].shape(), dim);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::scatter_add<T>(ctx,
                              s.outer,
                              s.n,
                              in[1].shape()[dim],
                              s.inner,
                              in[0].data<T>(),
                              in[1].data<int64_t>(),
                              out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {gather(g[0], dim, in[1]), Tensor()};
  }
};

// Index values are data: on the CPU they are checked where they enter, here. A device's kernels
// pass over one that is out of range instead (kernels/reduce.h), as asking would wait for it.
void check_index(std::string_view op, const Tensor& x, int dim, const Tensor& index, int64_t size) {
  const bool fits = index.dtype() == DType::kInt64 && index.rank() == x.rank() &&
                    with_extent(index.shape(), dim, 0) == with_extent(x.shape(), dim, 0);
  if (!fits) {
    throw std::invalid_argument(
        fmt::format("{}: index {} {} for {} along dim {}; expected i64, equal in the other dims",
                    op,
                    to_string(index.dtype()),
                    to_string(index.shape()),
                    to_string(x.shape()),
                    dim));
  }
  if (DryRun::active() || index.device() != Device()) return;
  for (int64_t i : index.to_vector<int64_t>()) {
    if (i < 0 || i >= size)
      throw std::invalid_argument(fmt::format("{}: index {} is outside [0, {})", op, i, size));
  }
}

}  // namespace

Tensor sum(const Tensor& x, int dim, bool keepdim) {
  dim = normalize_dim("sum", dim, x.shape());
  const Tensor kept = apply_op<Sum>({x}, dim);
  return keepdim ? kept : reshape(kept, without_dim(x.shape(), dim));
}

Tensor sum(const Tensor& x) {
  return sum(reshape(x, {x.numel()}), 0);
}

Tensor mean(const Tensor& x, int dim, bool keepdim) {
  dim = normalize_dim("mean", dim, x.shape());
  return sum(x, dim, keepdim) * (1.0 / static_cast<double>(x.shape()[dim]));
}

Tensor mean(const Tensor& x) {
  return sum(x) * (1.0 / static_cast<double>(x.numel()));
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (shape.size() > x.shape().size() ||
      broadcast_shapes("sum_to", shape, x.shape()) != x.shape()) {
    throw std::invalid_argument(
        fmt::format("sum_to: {} does not broadcast to {}", to_string(shape), to_string(x.shape())));
  }
  // Adjacent dimensions that both vanish are summed as one.
  const int missing = x.rank() - static_cast<int>(shape.size());
  Shape merged;
  std::vector<bool> vanishes;
  for (int i = 0; i < x.rank(); ++i) {
    const bool v = i < missing || (shape[i - missing] == 1 && x.shape()[i] != 1);
    if (!merged.empty() && v == vanishes.back()) {
      merged.back() *= x.shape()[i];
    } else {
      merged.push_back(x.shape()[i]);
      vanishes.push_back(v);
    }
  }
  Tensor y = reshape(x, merged);
  for (size_t i = 0; i < merged.size(); ++i) {
    if (vanishes[i]) y = sum(y, static_cast<int>(i), /*keepdim=*/true);
  }
  return reshape(y, shape);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  return apply_op<Dot>({a, b});
}

MaxResult max(const Tensor& x, int dim, bool keepdim) {
  dim = normalize_dim("max", dim, x.shape());
  const std::vector<Tensor> out = apply_multi<Max>({x}, dim);
  if (keepdim) return {out[0], out[1]};
  const Shape shape = without_dim(x.shape(), dim);
  return {reshape(out[0], shape), reshape(out[1], shape)};
}

Tensor gather(const Tensor& x, int dim, const Tensor& index) {
  dim = normalize_dim("gather", dim, x.shape());
  check_index("gather", x, dim, index, x.shape()[dim]);
  return apply_op<Gather>({x, index}, dim);
}

Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, int64_t size) {
  dim = normalize_dim("scatter_add", dim, x.shape());
  if (size < 0)
    throw std::invalid_argument(fmt::format("scatter_add: size {}; expected at least 0", size));
  if (index.shape() != x.shape()) {
    throw std::invalid_argument(fmt::format(
        "scatter_add: x {} and index {} differ", to_string(x.shape()), to_string(index.shape())));
  }
  check_index("scatter_add", x, dim, index, size);
  return apply_op<ScatterAdd>({x, index}, dim, size);
}

Tensor global_avg_pool(const Tensor& x) {
  if (x.rank() != 4)
    throw std::invalid_argument(
        fmt::format("global_avg_pool: shape {}; expected (N, H, W, C)", to_string(x.shape())));
  const Shape& s = x.shape();
  return mean(reshape(x, {s[0], s[1] * s[2], s[3]}), 1);
}

}  // namespace oche
