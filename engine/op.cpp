// Applying ops, and the nodes that record them.
#include "engine/op.h"

#include <fmt/format.h>

#include <atomic>
#include <stdexcept>

#include "engine/diagnose.h"
#include "engine/ops.h"
#include "engine/profile.h"

namespace oche {
namespace {

thread_local bool grad_mode = true;
thread_local std::string_view running = "tensor";
thread_local int64_t macs_so_far = 0;

// Names the op for current_op() while it runs.
struct Running {
  explicit Running(std::string_view name) : previous(running) { running = name; }
  ~Running() { running = previous; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  std::string_view previous;
};

void check_inputs(const Op& op, Inputs in) {
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i]) throw std::invalid_argument(fmt::format("{}: input {} is undefined", op.name(), i));
    if (!in[i].impl()->storage) {
      throw std::logic_error(fmt::format("{}: input {}: {}", op.name(), i, in[i].impl()->absent));
    }
    if (in[i].device() != in[0].device()) {
      throw std::invalid_argument(fmt::format("{}: input {} is on {}, input 0 on {}",
                                              op.name(),
                                              i,
                                              to_string(in[i].device()),
                                              to_string(in[0].device())));
    }
  }
}

int64_t bytes_of(std::span<const Tensor> tensors) {
  int64_t bytes = 0;
  for (const Tensor& t : tensors) bytes += t.numel() * size_of(t.dtype());
  return bytes;
}

}  // namespace

std::string_view current_op() {
  return running;
}
int64_t mac_count() {
  return macs_so_far;
}
bool grad_enabled() {
  return grad_mode;
}
GradModeGuard::GradModeGuard(bool enabled) : previous_(grad_mode) {
  grad_mode = enabled;
}
GradModeGuard::~GradModeGuard() {
  grad_mode = previous_;
}

std::vector<Tensor> apply_op(std::unique_ptr<const Op> op, std::vector<Tensor> inputs) {
  const Running scope(op->name());
  ProfileScope profile(ProfileKind::kOp, op->name());
  check_inputs(*op, inputs);
  if (!op->accepts_strides()) {
    for (Tensor& t : inputs) t = contiguous(t);
  }

  std::vector<Tensor> outputs;
  std::vector<bool> differentiable;
  if (std::optional<Tensor> view = op->view(inputs)) {
    outputs = {*view};
    differentiable = {is_floating(view->dtype())};
  } else {
    for (const TensorSpec& spec : op->infer_outputs(inputs)) {
      outputs.push_back(Tensor::empty(spec.shape, spec.dtype, inputs[0].device()));
      differentiable.push_back(spec.differentiable && is_floating(spec.dtype));
    }
    op->forward(inputs, outputs);
    const int64_t macs = op->macs(inputs, outputs);
    macs_so_far += macs;
    if (profile) profile.count(bytes_of(inputs) + bytes_of(outputs), macs);
    OpObserver::show(op->name(), outputs);
  }

  if (!grad_mode) return outputs;
  Needs needs;
  bool any = false;
  for (const Tensor& t : inputs) {
    needs.push_back(t.requires_grad());
    any = any || needs.back();
  }
  if (!any) return outputs;
  for (size_t i = 0; i < outputs.size(); ++i) outputs[i].impl()->requires_grad = differentiable[i];
  auto node = std::make_shared<Node>(std::move(op), inputs, outputs, std::move(needs));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!differentiable[i]) continue;
    outputs[i].impl()->node = node;
    outputs[i].impl()->output = static_cast<int>(i);
  }
  return outputs;
}

Node::Node(std::unique_ptr<const Op> op, Inputs inputs, Outputs outputs, Needs needs)
    : op_(std::move(op)), needs_(std::move(needs)) {
  static std::atomic<uint64_t> created{0};
  sequence_ = ++created;
  if (FiniteChecks::active()) where_ = current_labels();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorImpl& impl = *inputs[i].impl();
    Edge edge;
    if (impl.node) {
      edge.node = impl.node;
      edge.output = impl.output;
    } else if (impl.requires_grad) {
      edge.leaf = inputs[i].impl();
    }
    edges_.push_back(std::move(edge));
    inputs_.push_back(save(inputs[i], op_->saves_input(i, needs_)));
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    outputs_.push_back(save(outputs[i], op_->saves_output(i, needs_)));
}

Node::~Node() {
  // A node that dies releases its producers, which would recurse along the graph: hand them to the
  // outermost call instead.
  thread_local std::vector<std::shared_ptr<Node>>* outermost = nullptr;
  std::vector<std::shared_ptr<Node>> own;
  std::vector<std::shared_ptr<Node>>& orphans = outermost ? *outermost : own;
  for (Edge& edge : edges_) {
    if (edge.node) orphans.push_back(std::move(edge.node));
  }
  if (outermost) return;
  outermost = &own;
  while (!own.empty()) {
    const std::shared_ptr<Node> next = std::move(own.back());
    own.pop_back();
  }
  outermost = nullptr;
}

Node::Saved Node::save(const Tensor& t, bool with_data) {
  const TensorImpl& impl = *t.impl();
  Saved saved{with_data ? impl.storage : nullptr,
              impl.shape,
              impl.strides,
              impl.offset,
              impl.dtype,
              impl.device,
              impl.requires_grad,
              0};
  if (with_data) saved.version = impl.storage->version();
  return saved;
}

Tensor Node::unpack(const Saved& saved, std::string_view kind, size_t index) const {
  if (saved.storage && saved.storage->version() != saved.version) {
    throw std::logic_error(fmt::format(
        "{}: {} {} was overwritten after it was saved for backward", op_->name(), kind, index));
  }
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = saved.storage;
  impl->shape = saved.shape;
  impl->strides = saved.strides;
  impl->offset = saved.offset;
  impl->dtype = saved.dtype;
  impl->device = saved.device;
  if (!saved.storage)
    impl->absent = "this tensor was not saved for backward: only its shape is known";
  return Tensor(std::move(impl));
}

Gradients Node::backward(const Gradients& grad_outputs, const Needs& needs) {
  if (released_) {
    throw std::logic_error(fmt::format(
        "{}: its saved tensors were released by an earlier backward; ask for retain_graph there",
        op_->name()));
  }
  std::vector<Tensor> in, out;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Edge& edge = edges_[i];
    if (edge.leaf && inputs_[i].storage) {
      unpack(inputs_[i], "input", i);  // checks the version
      in.emplace_back(edge.leaf);
      continue;
    }
    Tensor t = unpack(inputs_[i], "input", i);
    if (edge.node) {
      t.impl()->node = edge.node;
      t.impl()->output = edge.output;
      t.impl()->requires_grad = true;
    }
    in.push_back(std::move(t));
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Tensor t = unpack(outputs_[i], "output", i);
    if (outputs_[i].differentiable) {
      t.impl()->node = shared_from_this();
      t.impl()->output = static_cast<int>(i);
      t.impl()->requires_grad = true;
    }
    out.push_back(std::move(t));
  }

  const Running scope(op_->name());
  const ProfileScope profile(ProfileKind::kBackward, op_->name());
  std::optional<LabelsGuard> labels;
  if (FiniteChecks::active()) {
    labels.emplace(
        fmt::format("{}{}backward of {}", where_, where_.empty() ? "" : ", ", op_->name()));
  }
  Gradients grads = op_->backward(in, out, grad_outputs, needs);
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i] || !needs[i]) continue;
    if (grads[i].shape() != inputs_[i].shape || grads[i].dtype() != inputs_[i].dtype) {
      throw std::logic_error(fmt::format("{}: the gradient of input {} is {} {}, the input {} {}",
                                         op_->name(),
                                         i,
                                         to_string(grads[i].dtype()),
                                         to_string(grads[i].shape()),
                                         to_string(inputs_[i].dtype),
                                         to_string(inputs_[i].shape)));
    }
  }
  return grads;
}

void Node::release() {
  released_ = true;
  for (Saved& saved : inputs_) saved.storage.reset();
  for (Saved& saved : outputs_) saved.storage.reset();
}

}  // namespace oche
