// A cell's tensors as its kernels want to see them, and the calls of these kernels.
#pragma once

#include <vector>

#include "engine/dispatch.h"
#include "engine/ops/mixed_cell_plan.h"
#include "kernels/elementwise.h"

namespace oche {

struct CellTensors {
  Tensor x[2], table;
  std::vector<Tensor> weights;
  Tensor y, mean, var;
  std::vector<Tensor> kept;               // undefined: not there
  std::vector<NormMoments> running = {};  // of each normalisation, in place of mean and var
};

// The elements of `t`; in a dry run, where there are none, an address that nobody reads: what a
// kernel is given still says what it is to do, and so how large its workspace is.
void* no_elements();
template <typename T>
const T* elements(const Tensor& t) {
  return DryRun::active() ? static_cast<const T*>(no_elements()) : t.data<T>();
}
template <typename T>
T* mutable_elements(const Tensor& t) {
  return DryRun::active() ? static_cast<T*>(no_elements()) : t.mutable_data<T>();
}

template <typename T>
class CellViews {
 public:
  using Term = CellPlan::Term;

  CellViews(const CellPlan& plan, const CellTensors& tensors) : plan_(plan), t_(tensors) {
    const Shape &x = t_.x[0].shape(), &y = t_.y.shape();
    channels_ = x[3];
    const auto products = static_cast<kernels::CellProducts>(plan.spec.precision);
    outer_ = {x[0], x[1], x[2], channels_, plan.spec.eps, products};
    inner_ = {y[0], y[1], y[2], channels_, plan.spec.eps, products};
  }

  int64_t channels() const { return channels_; }
  Device device() const { return t_.y.device(); }
  const kernels::CellShape& shape_of(int64_t state) const { return state < 2 ? outer_ : inner_; }
  const kernels::CellShape& node_shape() const { return inner_; }
  Tensor node_sized() const { return node_sized(t_.y.dtype()); }
  Tensor make_kept(int64_t i) const { return node_sized(plan_.kept_dtype(i, t_.y.dtype())); }

  kernels::Pixels<const T> dense(const Tensor& t) const { return {elements<T>(t), channels_}; }
  kernels::Pixels<T> mutable_dense(const Tensor& t) const {
    return {mutable_elements<T>(t), channels_};
  }
  // Of a kept tensor.
  kernels::StoredPixels<const T> stored(const Tensor& t) const {
    if constexpr (std::is_same_v<T, float>) {
      if (t.dtype() == DType::kBFloat16) return {elements<kernels::BFloat16>(t), channels_};
    }
    return dense(t);
  }
  kernels::StoredPixels<T> mutable_stored(const Tensor& t) const {
    if constexpr (std::is_same_v<T, float>) {
      if (t.dtype() == DType::kBFloat16) return {mutable_elements<kernels::BFloat16>(t), channels_};
    }
    return mutable_dense(t);
  }
  // Of a tensor of y's shape, the channels of a node.
  kernels::Pixels<const T> slice(const Tensor& y, int64_t node) const {
    return {elements<T>(y) + first_channel(node), plan_.spec.multiplier * channels_};
  }
  kernels::Pixels<T> mutable_slice(const Tensor& y, int64_t node) const {
    return {mutable_elements<T>(y) + first_channel(node), plan_.spec.multiplier * channels_};
  }
  kernels::Pixels<const T> state(int64_t j) const {
    if (j < 2) return dense(t_.x[j]);
    return plan_.in_output(j - 2) ? slice(t_.y, j - 2) : dense(t_.kept[plan_.outside[j - 2]]);
  }

  kernels::Moments<const T> moments(int64_t row, int64_t channel = 0) const {
    const int64_t at = row * channels_ + channel;
    return {elements<T>(t_.mean) + at, elements<T>(t_.var) + at};
  }
  // Those that normalise what block `block` of a term makes.
  kernels::Moments<const T> moments(const Term& t, int64_t block, int64_t channel = 0) const {
    if (t_.running.empty()) return moments(t.row + block, channel);
    const NormMoments& m = t_.running[t.norm + block];
    return {elements<T>(m.mean) + channel, elements<T>(m.var) + channel};
  }
  // Where those of a batch go, if it has any.
  kernels::Moments<T> mutable_moments(int64_t row, int64_t channel = 0) const {
    if (!t_.running.empty()) return {};
    const int64_t at = row * channels_ + channel;
    return {mutable_elements<T>(t_.mean) + at, mutable_elements<T>(t_.var) + at};
  }
  // What convolution `block` of a separable branch writes.
  kernels::StoredPixels<const T> result(const Term& t, int64_t block = 0) const {
    return stored(t_.kept[t.kept + block]);
  }
  kernels::CellSource<T> normalised(const Term& t, int64_t block) const {
    return {result(t, block), moments(t, block)};
  }

  kernels::CellConv<T> conv(const Term& t, int64_t block) const {
    const Branch& b = t.branch;
    return {.kernel = b.kernel,
            .dilation = b.dilation,
            .stride = block == 0 ? t.stride : 1,
            .offset = -b.dilation * (b.kernel - 1) / 2,
            .out = channels_,
            .depthwise = elements<T>(t_.weights[t.weight + 2 * block]),
            .pointwise = elements<T>(t_.weights[t.weight + 2 * block + 1])};
  }
  // Half 0 or 1 of a factorized reduce, and the first channel of its result.
  kernels::CellConv<T> half(const Term& t, int64_t h) const {
    return {.stride = t.stride,
            .offset = h,
            .out = h == 0 ? channels_ / 2 : channels_ - channels_ / 2,
            .pointwise = elements<T>(t_.weights[t.weight + h])};
  }
  int64_t half_channel(int64_t h) const { return h == 0 ? 0 : channels_ / 2; }
  // A single channel has one half.
  int64_t first_half() const { return channels_ == 1 ? 1 : 0; }

  kernels::CellTerm<T> term(const Term& t) const {
    using Kind = kernels::CellTermKind;
    const int64_t place = t.branch.place;
    if (t.branch.kind == BranchKind::kIdentity) return {Kind::kIdentity, state(t.from), {}, place};
    if (t.pool >= 0 && t.kept < 0) {
      const auto kind = t.branch.kind == BranchKind::kMaxPool ? Kind::kMaxPool : Kind::kAveragePool;
      return {kind, state(t.from), moments(t, 0), place};
    }
    const int64_t last = t.separable() ? t.last() : 0;
    return {Kind::kNormalised, result(t, last), moments(t, last), place};
  }
  const T* weight(const Term& t) const { return elements<T>(t_.table) + t.branch.place; }

 private:
  Tensor node_sized(DType dtype) const {
    return Tensor::empty({inner_.N, inner_.H, inner_.W, channels_}, dtype, device());
  }
  int64_t first_channel(int64_t node) const {
    return (node - plan_.spec.steps + plan_.spec.multiplier) * channels_;
  }

  const CellPlan& plan_;
  const CellTensors& t_;
  int64_t channels_;
  kernels::CellShape outer_, inner_;
};

// Runs kernel.operator()(context, workspace of so many bytes) unless this is a dry run.
template <typename T, typename Kernel>
void run_with_workspace(Device device, int64_t bytes, const Kernel& kernel) {
  const Tensor workspace = Tensor::empty({bytes}, DType::kUInt8, device);
  dispatch_device<T>(device, [&]<typename U>(auto& ctx) {
    kernel(ctx, reinterpret_cast<std::byte*>(workspace.mutable_data<uint8_t>()));
  });
}

// The passes of kernels/mixed_cell.h over `sources`, if there are any.
template <typename T>
void run_sources(Device device,
                 const kernels::CellShape& shape,
                 const std::vector<kernels::CellSourceForward<T>>& sources) {
  if (sources.empty()) return;
  const int64_t bytes = with_context(device, [&](const auto& ctx) {
    return kernels::cell_source_forward_workspace<T>(ctx, shape, sources);
  });
  run_with_workspace<T>(device, bytes, [&](auto& ctx, std::byte* workspace) {
    kernels::cell_source_forward<T>(ctx, shape, sources, workspace);
  });
}
template <typename T>
void run_sources(Device device,
                 const kernels::CellShape& shape,
                 const std::vector<kernels::CellSourceBackward<T>>& sources) {
  if (sources.empty()) return;
  const int64_t bytes = with_context(device, [&](const auto& ctx) {
    return kernels::cell_source_backward_workspace<T>(ctx, shape, sources);
  });
  run_with_workspace<T>(device, bytes, [&](auto& ctx, std::byte* workspace) {
    kernels::cell_source_backward<T>(ctx, shape, sources, workspace);
  });
}

template <typename T>
void fill_zero(const Tensor& t) {
  dispatch_device<T>(t.device(), [&]<typename U>(auto& ctx) {
    kernels::fill<U>(ctx, t.numel(), U{0}, t.mutable_data<U>());
  });
}

// The schedules. `tensors.kept` holds what is to be kept; what is undefined there is made for the
// time that it is needed.
template <typename T>
void cell_forward(const CellPlan& plan, CellTensors& tensors);

// Undefined: not wanted.
struct CellGradients {
  Tensor x[2], table;
  std::vector<Tensor> weights;
};
// g: of y.
template <typename T>
void cell_backward(const CellPlan& plan,
                   const CellDemand& demand,
                   const CellTensors& tensors,
                   const Tensor& g,
                   const CellGradients& gradients);

}  // namespace oche
