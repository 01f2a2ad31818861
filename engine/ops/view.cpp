// Ops that move or rename elements: views, slices and their adjoints, concatenation.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"
#include "kernels/elementwise.h"

namespace oche {
namespace {

// A view of `x` with another shape, strides and start.
Tensor reinterpret(const Tensor& x, Shape shape, Strides strides, int64_t offset = 0) {
  Tensor view = x.detach();
  view.impl()->shape = std::move(shape);
  view.impl()->strides = std::move(strides);
  view.impl()->offset += offset;
  return view;
}

// The part of `x` at start, start + step, ... along `dim`, `count` elements.
Tensor window(const Tensor& x, int dim, int64_t start, int64_t count, int64_t step) {
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape[dim] = count;
  strides[dim] *= step;
  return reinterpret(x, std::move(shape), std::move(strides), start * x.strides()[dim]);
}

void copy(const Tensor& from, const Tensor& to) {
  dispatch_any(from, [&]<typename T>(auto& ctx) {
    kernels::copy_strided<T>(
        ctx, from.shape(), from.data<T>(), from.strides(), to.mutable_data<T>(), to.strides());
  });
}

// An op whose output is a view of its input.
struct ViewOp : Op {
  bool accepts_strides() const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs) const final { return {}; }
  void forward(Inputs, Outputs) const final {}
};

struct Contiguous final : Op {
  std::string_view name() const override { return "contiguous"; }
  bool accepts_strides() const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    return {{in[0].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override { copy(in[0], out[0]); }
  Gradients backward(Inputs, Outputs, const Gradients& g, const Needs&) const override {
    return {g[0]};
  }
};

struct Reshape final : ViewOp {
  explicit Reshape(Shape shape) : shape(std::move(shape)) {}
  Shape shape;

  std::string_view name() const override { return "reshape"; }
  bool accepts_strides() const override { return false; }  // so the input is contiguous
  std::optional<Tensor> view(Inputs in) const override {
    return reinterpret(in[0], shape, contiguous_strides(shape));
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {reshape(g[0], in[0].shape())};
  }
};

struct Permute final : ViewOp {
  explicit Permute(std::vector<int> dims) : dims(std::move(dims)) {}
  std::vector<int> dims;

  std::string_view name() const override { return "permute"; }
  std::optional<Tensor> view(Inputs in) const override {
    Shape shape;
    Strides strides;
    for (int d : dims) {
      shape.push_back(in[0].shape()[d]);
      strides.push_back(in[0].strides()[d]);
    }
    return reinterpret(in[0], std::move(shape), std::move(strides));
  }
  Gradients backward(Inputs, Outputs, const Gradients& g, const Needs&) const override {
    std::vector<int> inverse(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) inverse[dims[i]] = static_cast<int>(i);
    return {permute(g[0], inverse)};
  }
};

struct BroadcastTo final : ViewOp {
  explicit BroadcastTo(Shape shape) : shape(std::move(shape)) {}
  Shape shape;

  std::string_view name() const override { return "broadcast_to"; }
  std::optional<Tensor> view(Inputs in) const override {
    Strides strides(shape.size(), 0);
    const size_t missing = shape.size() - in[0].shape().size();
    for (size_t i = missing; i < shape.size(); ++i) {
      if (in[0].shape()[i - missing] != 1) strides[i] = in[0].strides()[i - missing];
    }
    return reinterpret(in[0], shape, std::move(strides));
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {sum_to(g[0], in[0].shape())};
  }
};

struct Slice final : ViewOp {
  Slice(int dim, int64_t start, int64_t count, int64_t step)
      : dim(dim), start(start), count(count), step(step) {}
  int dim;
  int64_t start, count, step;

  std::string_view name() const override { return "slice"; }
  std::optional<Tensor> view(Inputs in) const override {
    return window(in[0], dim, start, count, step);
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    return {embed(g[0], dim, in[0].shape()[dim], start, step)};
  }
};

struct Embed final : Op {
  Embed(int dim, int64_t size, int64_t start, int64_t step)
      : dim(dim), size(size), start(start), step(step) {}
  int dim;
  int64_t size, start, step;

  std::string_view name() const override { return "embed"; }
  bool accepts_strides() const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    Shape shape = in[0].shape();
    shape[dim] = size;
    return {{shape, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch_any(out[0], [&]<typename T>(auto& ctx) {
      kernels::fill<T>(ctx, out[0].numel(), T{0}, out[0].mutable_data<T>());
    });
    copy(in[0], window(out[0], dim, start, in[0].shape()[dim], step));
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs&) const override {
    const int64_t count = in[0].shape()[dim];
    return {slice(g[0], dim, start, count == 0 ? start : start + (count - 1) * step + 1, step)};
  }
};

struct Concat final : Op {
  explicit Concat(int dim) : dim(dim) {}
  int dim;

  std::string_view name() const override { return "concat"; }
  bool accepts_strides() const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    Shape shape = in[0].shape();
    shape[dim] = 0;
    for (const Tensor& x : in) {
      Shape expected = x.shape();
      if (x.rank() == in[0].rank()) {
        shape[dim] += x.shape()[dim];
        expected[dim] = in[0].shape()[dim];
      }
      if (expected != in[0].shape() || x.dtype() != in[0].dtype()) {
        throw std::invalid_argument(fmt::format("concat: {} {} and {} {} differ beyond dim {}",
                                                to_string(in[0].dtype()),
                                                to_string(in[0].shape()),
                                                to_string(x.dtype()),
                                                to_string(x.shape()),
                                                dim));
      }
    }
    return {{shape, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    int64_t start = 0;
    for (const Tensor& x : in) {
      copy(x, window(out[0], dim, start, x.shape()[dim], 1));
      start += x.shape()[dim];
    }
  }
  Gradients backward(Inputs in, Outputs, const Gradients& g, const Needs& needs) const override {
    Gradients grads(in.size());
    int64_t start = 0;
    for (size_t i = 0; i < in.size(); ++i) {
      const int64_t stop = start + in[i].shape()[dim];
      if (needs[i]) grads[i] = slice(g[0], dim, start, stop);
      start = stop;
    }
    return grads;
  }
};

}  // namespace

Tensor contiguous(const Tensor& x) {
  return x.is_contiguous() ? x : apply_op<Contiguous>({x});
}

Tensor reshape(const Tensor& x, const Shape& shape) {
  const bool negative = std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n < 0; });
  if (negative || numel(shape) != x.numel()) {
    throw std::invalid_argument(fmt::format("reshape: {} has {} elements, {} has {}",
                                            to_string(x.shape()),
                                            x.numel(),
                                            to_string(shape),
                                            numel(shape)));
  }
  return shape == x.shape() ? x : apply_op<Reshape>({x}, shape);
}

Tensor permute(const Tensor& x, const std::vector<int>& dims) {
  std::vector<int> sorted = dims, expected(x.rank());
  std::sort(sorted.begin(), sorted.end());
  std::iota(expected.begin(), expected.end(), 0);
  if (sorted != expected) {
    throw std::invalid_argument(fmt::format(
        "permute: expected each of the {} dims of {} once", x.rank(), to_string(x.shape())));
  }
  return apply_op<Permute>({x}, dims);
}

Tensor transpose(const Tensor& x) {
  if (x.rank() != 2)
    throw std::invalid_argument(
        fmt::format("transpose: shape {}; expected a matrix", to_string(x.shape())));
  return permute(x, {1, 0});
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (shape == x.shape()) return x;
  if (x.shape().size() > shape.size() ||
      broadcast_shapes("broadcast_to", x.shape(), shape) != shape) {
    throw std::invalid_argument(fmt::format(
        "broadcast_to: {} does not broadcast to {}", to_string(x.shape()), to_string(shape)));
  }
  return apply_op<BroadcastTo>({x}, shape);
}

Tensor slice(const Tensor& x, int dim, int64_t start, int64_t stop, int64_t step) {
  dim = normalize_dim("slice", dim, x.shape());
  if (start < 0 || stop < start || stop > x.shape()[dim] || step < 1) {
    throw std::invalid_argument(fmt::format(
        "slice: [{}:{}:{}] along dim {} of {}; expected 0 <= start <= stop <= {} and step >= 1",
        start,
        stop,
        step,
        dim,
        to_string(x.shape()),
        x.shape()[dim]));
  }
  return apply_op<Slice>({x}, dim, start, (stop - start + step - 1) / step, step);
}

Tensor embed(const Tensor& x, int dim, int64_t size, int64_t start, int64_t step) {
  dim = normalize_dim("embed", dim, x.shape());
  const int64_t count = x.shape()[dim];
  if (start < 0 || start > size || step < 1 || (count > 0 && start + (count - 1) * step >= size)) {
    throw std::invalid_argument(fmt::format(
        "embed: {} elements from {} in steps of {} do not fit into {}", count, start, step, size));
  }
  return apply_op<Embed>({x}, dim, size, start, step);
}

Tensor pad(const Tensor& x, int dim, int64_t before, int64_t after) {
  dim = normalize_dim("pad", dim, x.shape());
  if (before < 0 || after < 0) {
    throw std::invalid_argument(
        fmt::format("pad: {} before and {} after; expected both >= 0", before, after));
  }
  return embed(x, dim, before + x.shape()[dim] + after, before);
}

Tensor shift(const Tensor& x, int dim, int64_t offset) {
  dim = normalize_dim("shift", dim, x.shape());
  const int64_t n = x.shape()[dim];
  const int64_t kept = std::max<int64_t>(0, n - std::abs(offset));
  const int64_t from = offset > 0 ? n - kept : 0;
  return embed(slice(x, dim, from, from + kept), dim, n, kept == 0 || offset > 0 ? 0 : n - kept);
}

Tensor concat(const std::vector<Tensor>& xs, int dim) {
  if (xs.empty()) throw std::invalid_argument("concat: no tensors");
  return apply_op<Concat>(xs, normalize_dim("concat", dim, xs[0].shape()));
}

}  // namespace oche
