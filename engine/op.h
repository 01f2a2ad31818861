// Op: one differentiable operation, and how it is applied. An Op holds hyper-parameters only; its
// backward rule is written in ops, so that it can be differentiated again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tensor.h"

namespace oche {

using Inputs = std::span<const Tensor>;
using Outputs = std::span<const Tensor>;
using Gradients = std::vector<Tensor>;  // an undefined entry is zero, or was not asked for
using Needs =
    std::vector<bool>;  // for each input: true iff a gradient with respect to it is wanted

struct TensorSpec {
  Shape shape;
  DType dtype;
  bool differentiable =
      true;  // false: gradients never flow through this output (indices, statistics)
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view name() const = 0;

  // Checks the inputs (throws std::invalid_argument) and says what forward() will write.
  virtual std::vector<TensorSpec> infer_outputs(Inputs in) const = 0;
  // Writes `out`, allocated as infer_outputs() says. Inputs are contiguous unless
  // accepts_strides().
  virtual void forward(Inputs in, Outputs out) const = 0;
  // The gradients with respect to the inputs that `needs` names, given those of the outputs. Only
  // what saves_input() and saves_output() announced has data here; the other tensors know their
  // shape.
  virtual Gradients backward(Inputs in,
                             Outputs out,
                             const Gradients& g,
                             const Needs& needs) const = 0;

  virtual bool saves_input(size_t, const Needs&) const { return false; }
  virtual bool saves_output(size_t, const Needs&) const { return false; }
  virtual bool accepts_strides() const { return false; }
  // The output as a view of the input, for ops that move no data; forward() is then not called.
  virtual std::optional<Tensor> view(Inputs) const { return std::nullopt; }
  // Multiply-adds of one forward().
  virtual int64_t macs(Inputs, Outputs) const { return 0; }
};

// Runs `op` on `inputs` and records it in the graph when a gradient may be wanted.
std::vector<Tensor> apply_op(std::unique_ptr<const Op> op, std::vector<Tensor> inputs);

template <typename O, typename... Args>
std::vector<Tensor> apply_multi(std::vector<Tensor> inputs, Args&&... args) {
  return apply_op(std::make_unique<const O>(std::forward<Args>(args)...), std::move(inputs));
}
template <typename O, typename... Args>
Tensor apply_op(std::vector<Tensor> inputs, Args&&... args) {
  return apply_multi<O>(std::move(inputs), std::forward<Args>(args)...).front();
}

// The op that runs on this thread, for messages; "tensor" outside of one.
std::string_view current_op();

// Multiply-adds of all ops applied on this thread so far.
int64_t mac_count();

// True iff ops applied on this thread are recorded.
bool grad_enabled();

// Sets grad_enabled() for a scope.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool enabled);
  ~GradModeGuard();
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool previous_;
};
struct NoGrad : GradModeGuard {
  NoGrad() : GradModeGuard(false) {}
};

// One applied op. It owns what backward will need: the storage of saved inputs and outputs (never a
// tensor that refers back to the node, so that there is no cycle), and the way to the nodes of its
// inputs.
class Node : public std::enable_shared_from_this<Node> {
 public:
  struct Edge {                        // where the gradient of one input goes
    std::shared_ptr<Node> node;        // the node that produced the input ...
    int output = 0;                    // ... and which output of it; or
    std::shared_ptr<TensorImpl> leaf;  // a leaf that requires a gradient; neither: nowhere
  };

  Node(std::unique_ptr<const Op> op, Inputs inputs, Outputs outputs, Needs needs);
  ~Node();  // iterative: a graph may be a chain of any length

  const Op& op() const { return *op_; }
  const std::vector<Edge>& edges() const { return edges_; }
  const Needs& needs() const { return needs_; }
  size_t output_count() const { return outputs_.size(); }
  const Shape& output_shape(size_t i) const { return outputs_[i].shape; }
  // Grows with creation: a node comes after those of its inputs.
  uint64_t sequence() const { return sequence_; }

  // Runs the op's backward rule. Throws naming the op and tensor when a saved tensor was
  // overwritten since, or released.
  Gradients backward(const Gradients& grad_outputs, const Needs& needs);
  // Drops the saved tensors.
  void release();

 private:
  struct Saved {
    std::shared_ptr<Storage> storage;  // null when not saved
    Shape shape;
    Strides strides;
    int64_t offset = 0;
    DType dtype;
    Device device;
    bool differentiable;
    uint32_t version = 0;
  };
  static Saved save(const Tensor& t, bool with_data);
  Tensor unpack(const Saved& saved, std::string_view kind, size_t index) const;

  std::unique_ptr<const Op> op_;
  std::vector<Edge> edges_;
  std::vector<Saved> inputs_, outputs_;
  Needs needs_;
  uint64_t sequence_;
  std::string where_;  // the labels (diagnose.h) under which the op was applied, when checks are on
  bool released_ = false;
};

}  // namespace oche
