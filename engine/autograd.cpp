// Reverse-mode differentiation: one pass over the nodes, from the youngest to the oldest.
#include "engine/autograd.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <unordered_map>

#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/profile.h"
#include "kernels/elementwise.h"

namespace oche {
namespace {

// A sum of gradients. From the second term on it owns its buffer, and adds in place unless the
// graph must see it.
class Accumulator {
 public:
  void add(const Tensor& g) {
    if (!g) return;
    if (!sum_) {
      sum_ = g;
    } else if (owned_ && !grad_enabled()) {
      ProfileScope profile(ProfileKind::kOp, "accumulate");
      const Tensor dense = contiguous(g);
      profile.count(3 * g.numel() * size_of(g.dtype()));
      dispatch(sum_, [&]<typename T>(auto& ctx) {
        kernels::accumulate<T>(ctx, dense.numel(), dense.data<T>(), sum_.mutable_data<T>());
      });
    } else {
      sum_ = sum_ + g;
      owned_ = true;
    }
  }
  Tensor take() {
    owned_ = false;
    return std::exchange(sum_, Tensor());
  }
  // The same, contiguous: a gradient may be a view, such as that of a sum.
  Tensor take_contiguous() {
    const Tensor sum = take();
    return sum ? contiguous(sum) : sum;
  }

 private:
  Tensor sum_;
  bool owned_ = false;
};

struct Pending {  // a node on the way of the pass
  std::shared_ptr<Node> node;
  std::vector<Accumulator> grads;  // of its outputs
  bool wanted = false;             // true iff a target lies at or above it
};

class Pass {
 public:
  // `targets` empty: every leaf is a target.
  Pass(std::span<const Tensor> outputs, std::span<const Tensor> targets)
      : every_leaf_(targets.empty()) {
    for (size_t i = 0; i < targets.size(); ++i) {
      const TensorImpl& impl = *targets[i].impl();
      if (impl.node) {
        node_targets_.emplace(std::pair(impl.node.get(), impl.output), i);
      } else {
        leaf_targets_.emplace(&impl, i);
      }
    }
    collected_.resize(targets.size());
    for (const Tensor& t : outputs) discover(t.impl()->node);
    mark_wanted();
  }

  void seed(const Tensor& output, const Tensor& g) {
    const TensorImpl& impl = *output.impl();
    send({impl.node, impl.output, impl.node ? nullptr : output.impl()}, g);
  }

  void run(GradOptions options) {
    const bool retain = options.retain_graph || options.create_graph;
    for (auto it = order_.rbegin(); it != order_.rend();
         ++it) {  // youngest first: all consumers come before a producer
      Pending& pending = *it->second;
      Gradients g;
      bool any = false;
      for (size_t i = 0; i < pending.grads.size(); ++i) {
        g.push_back(pending.grads[i].take());
        any = any || g.back();
        const auto [first, last] =
            node_targets_.equal_range({pending.node.get(), static_cast<int>(i)});
        for (auto target = first; target != last; ++target)
          collected_[target->second].add(g.back());
      }
      if (any && pending.wanted) {
        const std::vector<Node::Edge>& edges = pending.node->edges();
        Needs needs = pending.node->needs();
        for (size_t i = 0; i < edges.size(); ++i) needs[i] = needs[i] && leads_to_target(edges[i]);
        const Gradients grads = pending.node->backward(g, needs);
        g.clear();
        for (size_t i = 0; i < grads.size(); ++i) {
          if (needs[i]) send(edges[i], grads[i]);
        }
        if (!retain) pending.node->release();
      }
    }
  }

  std::vector<Tensor> collected() {
    std::vector<Tensor> result;
    for (Accumulator& a : collected_) result.push_back(a.take_contiguous());
    return result;
  }
  std::map<TensorImpl*, Accumulator>& leaves() { return leaves_; }

 private:
  using NodeOutput = std::pair<const Node*, int>;

  void discover(const std::shared_ptr<Node>& root) {
    std::vector<std::shared_ptr<Node>> stack;
    if (root) stack.push_back(root);
    while (!stack.empty()) {
      const std::shared_ptr<Node> node = std::move(stack.back());
      stack.pop_back();
      const auto [it, fresh] = pending_.try_emplace(node.get());
      if (!fresh) continue;
      it->second.node = node;
      it->second.grads.resize(node->output_count());
      for (const Node::Edge& edge : node->edges()) {
        if (edge.node) stack.push_back(edge.node);
      }
    }
  }

  void mark_wanted() {
    for (auto& [node, pending] : pending_) order_.emplace_back(node->sequence(), &pending);
    std::sort(order_.begin(), order_.end());
    for (auto& [sequence, pending] : order_) {  // producers first
      const std::vector<Node::Edge>& edges = pending->node->edges();
      pending->wanted = std::any_of(
          edges.begin(), edges.end(), [&](const auto& e) { return leads_to_target(e); });
    }
  }

  bool leads_to_target(const Node::Edge& edge) const {
    if (edge.leaf) return every_leaf_ || leaf_targets_.count(edge.leaf.get()) > 0;
    if (!edge.node) return false;
    return node_targets_.count({edge.node.get(), edge.output}) > 0 ||
           pending_.at(edge.node.get()).wanted;
  }

  void send(const Node::Edge& edge, const Tensor& g) {
    if (edge.node) {
      pending_.at(edge.node.get()).grads[edge.output].add(g);
    } else if (edge.leaf && every_leaf_) {
      leaves_[edge.leaf.get()].add(g);
    } else if (edge.leaf) {
      const auto [first, last] = leaf_targets_.equal_range(edge.leaf.get());
      for (auto target = first; target != last; ++target) collected_[target->second].add(g);
    }
  }

  bool every_leaf_;
  std::unordered_map<const Node*, Pending> pending_;
  std::vector<std::pair<uint64_t, Pending*>> order_;
  std::multimap<NodeOutput, size_t> node_targets_;
  std::multimap<const TensorImpl*, size_t> leaf_targets_;
  std::vector<Accumulator> collected_;
  std::map<TensorImpl*, Accumulator> leaves_;
};

void check_output(const Tensor& output, bool has_gradient) {
  if (!output || !output.requires_grad()) {
    throw std::invalid_argument("grad: an output does not require a gradient");
  }
  if (!has_gradient && output.numel() != 1) {
    throw std::invalid_argument(
        fmt::format("grad: an output of shape {} needs a gradient of its own; only one-element "
                    "outputs default to 1",
                    to_string(output.shape())));
  }
}

void check_gradient(const Tensor& output, const Tensor& g) {
  if (g.shape() != output.shape() || g.dtype() != output.dtype()) {
    throw std::invalid_argument(
        fmt::format("grad: an output {} {} with a gradient {} {}; expected the same",
                    to_string(output.dtype()),
                    to_string(output.shape()),
                    to_string(g.dtype()),
                    to_string(g.shape())));
  }
}

Tensor ones_like(const Tensor& t) {
  return Tensor::ones(t.shape(), t.dtype(), t.device());
}

}  // namespace

std::vector<Tensor> grad(std::span<const Tensor> outputs,
                         std::span<const Tensor> inputs,
                         std::span<const Tensor> grad_outputs,
                         GradOptions options) {
  if (!grad_outputs.empty() && grad_outputs.size() != outputs.size()) {
    throw std::invalid_argument(
        fmt::format("grad: {} outputs but {} gradients", outputs.size(), grad_outputs.size()));
  }
  for (const Tensor& input : inputs) {
    if (!input || !input.requires_grad()) {
      throw std::invalid_argument("grad: an input does not require a gradient");
    }
  }
  if (inputs.empty()) return {};
  const auto seed = [&](size_t i) {
    return grad_outputs.empty() ? ones_like(outputs[i]) : grad_outputs[i];
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    check_output(outputs[i], !grad_outputs.empty());
    if (!grad_outputs.empty() && grad_outputs[i]) check_gradient(outputs[i], grad_outputs[i]);
  }
  const GradModeGuard mode(options.create_graph);
  const ProfileScope profile(ProfileKind::kPhase, "backward pass");
  Pass pass(outputs, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) pass.seed(outputs[i], seed(i));
  pass.run(options);
  return pass.collected();
}

std::vector<Tensor> grad(const Tensor& output,
                         std::span<const Tensor> inputs,
                         GradOptions options) {
  return grad(std::span(&output, 1), inputs, {}, options);
}

void backward(const Tensor& output, GradOptions options) {
  check_output(output, false);
  if (options.create_graph) {
    throw std::invalid_argument(
        "backward: create_graph would tie grad() to its own leaf in a cycle; use grad()");
  }
  const NoGrad mode;
  const ProfileScope profile(ProfileKind::kPhase, "backward pass");
  Pass pass(std::span(&output, 1), {});
  pass.seed(output, ones_like(output));
  pass.run(options);
  for (auto& [leaf, sum] : pass.leaves()) {
    const Tensor g = sum.take_contiguous();
    leaf->grad = leaf->grad ? leaf->grad + g : g;
  }
}

std::vector<Tensor> mixed_product(const Tensor& output,
                                  std::span<const Tensor> first,
                                  std::span<const Tensor> v,
                                  std::span<const Tensor> second,
                                  GradOptions options) {
  if (first.size() != v.size()) {
    throw std::invalid_argument(
        fmt::format("mixed_product: {} tensors but {} vectors", first.size(), v.size()));
  }
  const std::vector<Tensor> g = grad(output, first, {.create_graph = true});
  std::vector<Tensor> outputs, vectors;
  for (size_t i = 0; i < g.size(); ++i) {
    if (!g[i] || !g[i].requires_grad()) continue;  // constant in everything
    outputs.push_back(g[i]);
    vectors.push_back(v[i]);
  }
  std::vector<Tensor> product(second.size());
  if (!outputs.empty()) product = grad(outputs, second, vectors, options);
  return defined_or_zeros(std::move(product), second);
}

std::vector<Tensor> hessian_vector_product(const Tensor& output,
                                           std::span<const Tensor> inputs,
                                           std::span<const Tensor> v,
                                           GradOptions options) {
  return mixed_product(output, inputs, v, inputs, options);
}

std::vector<Tensor> defined_or_zeros(std::vector<Tensor> gradients, std::span<const Tensor> like) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i])
      gradients[i] = Tensor::zeros(like[i].shape(), like[i].dtype(), like[i].device());
  }
  return gradients;
}

}  // namespace oche
