// The schedule of a fused cell's backward pass: from the last node to the first, its sums, the
// convolutions that led to it, then the state before it.
#include <algorithm>

#include "engine/ops/mixed_cell_views.h"

namespace oche {
namespace {

template <typename T>
class Backward {
 public:
  Backward(const CellPlan& plan,
           const CellDemand& demand,
           const CellTensors& tensors,
           const Tensor& g,
           const CellGradients& gradients)
      : plan_(plan),
        demand_(demand),
        t_(tensors),
        g_(g),
        out_(gradients),
        views_(plan, tensors),
        node_grad_(plan.spec.steps),
        sums_(plan.spec.steps),
        results_(plan.terms.size()) {}

  void run() {
    if (out_.table) fill_zero<T>(out_.table);
    for (int64_t node = plan_.spec.steps; node-- > 0;) {
      if (plan_.live[node]) {
        reduce(node);
        for (int64_t block = plan_.blocks; block-- > 1;) back_through(node, block);
      }
      enter(node == 0 ? std::vector<int64_t>{0, 1} : std::vector<int64_t>{node + 1});
    }
  }

 private:
  using Term = CellPlan::Term;
  struct Result {     // of a term's convolutions
    int64_t row = 0;  // of its sums among the node's
    Tensor g, sums;   // gradient of the normalised result of a block, and its two sums
  };

  kernels::Pixels<const T> grad_of(int64_t node) const {
    return node_grad_[node] ? views_.dense(node_grad_[node]) : views_.slice(g_, node);
  }

  void reduce(int64_t node) {
    std::vector<kernels::CellTerm<T>> terms;
    for (const size_t i : plan_.into[node]) {
      if (!demand_.sums(i)) continue;
      terms.push_back(views_.term(plan_.terms[i]));
      results_[i].row = static_cast<int64_t>(terms.size());
    }
    if (terms.empty()) return;
    const auto K = static_cast<int64_t>(terms.size());
    sums_[node] = Tensor::empty({1 + K, views_.channels()}, g_.dtype(), g_.device());
    const int64_t doubles = with_context(views_.device(), [&](const auto& ctx) {
      return kernels::cell_node_reduce_workspace(ctx, views_.node_shape(), K);
    });
    const Tensor workspace = Tensor::empty({doubles}, DType::kFloat64, g_.device());
    dispatch_device<T>(views_.device(), [&]<typename U>(auto& ctx) {
      kernels::cell_node_reduce<U>(ctx,
                                   views_.node_shape(),
                                   terms,
                                   grad_of(node),
                                   sums_[node].template mutable_data<U>(),
                                   out_.table ? out_.table.template mutable_data<U>() : nullptr,
                                   workspace.mutable_data<double>());
    });
  }

  // The gradients of what the convolutions `block` on the way to a node read.
  void back_through(int64_t node, int64_t block) {
    std::vector<kernels::CellSourceBackward<T>> sources;
    std::vector<std::pair<Result*, Result>> next;
    for (const size_t i : plan_.into[node]) {
      const Term& t = plan_.terms[i];
      if (!t.separable() || block > t.last() || !demand_.block(i, block)) continue;
      Result made{results_[i].row,
                  views_.node_sized(),
                  Tensor::empty({2, views_.channels()}, g_.dtype(), g_.device())};
      kernels::CellSourceBackward<T> source;
      source.source = views_.normalised(t, block - 1);
      source.convs = {conv(i, block)};
      source.grad = views_.mutable_dense(made.g);
      source.sum_g = mutable_elements<T>(made.sums);
      source.sum_gx = source.sum_g + views_.channels();
      sources.push_back(std::move(source));
      next.emplace_back(&results_[i], std::move(made));
    }
    run_sources(views_.device(), views_.node_shape(), sources);
    for (auto& [result, made] : next) *result = std::move(made);
  }

  // The gradients of states of one shape.
  void enter(const std::vector<int64_t>& states) {
    std::vector<kernels::CellSourceBackward<T>> sources;
    std::vector<Tensor> unwanted;  // gradients that only come along with those of weights
    for (const int64_t j : states) {
      kernels::CellSourceBackward<T> source = consumers(j);
      const bool any = !source.convs.empty() || !source.pools.empty() || !source.skips.empty();
      if (!any) continue;  // the gradient is what comes from y
      source.source = {views_.state(j), {}};
      if (j < 2) {
        if (!out_.x[j]) unwanted.push_back(Tensor::empty(t_.x[j].shape(), g_.dtype(), g_.device()));
        source.grad = views_.mutable_dense(out_.x[j] ? out_.x[j] : unwanted.back());
      } else {
        if (plan_.in_output(j - 2)) source.initial = views_.slice(g_, j - 2);
        node_grad_[j - 2] = views_.node_sized();
        source.grad = views_.mutable_dense(node_grad_[j - 2]);
      }
      sources.push_back(std::move(source));
    }
    run_sources(views_.device(), views_.shape_of(states[0]), sources);
    for (const int64_t j : states) {
      for (const size_t i : plan_.out_of[j]) results_[i] = {};
    }
    // What no earlier state leads to was needed for the last time.
    for (int64_t node = 0; node < plan_.spec.steps; ++node) {
      if (std::ranges::none_of(plan_.into[node],
                               [&](size_t i) { return plan_.terms[i].from < states[0]; })) {
        if (node + 2 > states.back()) node_grad_[node] = {};
      }
    }
  }

  // All that the gradient of a state is made of.
  kernels::CellSourceBackward<T> consumers(int64_t j) {
    kernels::CellSourceBackward<T> source;
    for (const size_t i : plan_.out_of[j]) {
      const Term& t = plan_.terms[i];
      if (!demand_.source(i)) continue;
      if (t.separable()) source.convs.push_back(conv(i, 0));
      if (t.reduces()) add_halves(i, source.convs);
      if (t.branch.kind == BranchKind::kIdentity)
        source.skips.push_back({grad_of(t.to), views_.weight(t)});
    }
    for (const size_t p : plan_.pools_of[j]) {
      const CellPlan::Pool& pool = plan_.pools[p];
      kernels::CellPoolBackward<T> consumer{pool.kind, pool.stride, views_.moments(pool.row), {}};
      for (const size_t i : plan_.out_of[j]) {
        if (plan_.terms[i].pool == static_cast<int64_t>(p) && demand_.source(i))
          consumer.incoming.push_back(incoming(i));
      }
      if (!consumer.incoming.empty()) source.pools.push_back(std::move(consumer));
    }
    return source;
  }

  // From the node itself, from `channel` on.
  kernels::CellIncoming<T> incoming(size_t term, int64_t channel = 0) const {
    const Term& t = plan_.terms[term];
    const kernels::Pixels<const T> g = grad_of(t.to);
    const T* sums = elements<T>(sums_[t.to]) + channel;
    return {{g.data + channel, g.pitch},
            views_.weight(t),
            sums,
            sums + results_[term].row * views_.channels()};
  }

  kernels::CellConvBackward<T> conv(size_t term, int64_t block) const {
    const Term& t = plan_.terms[term];
    const Result& result = results_[term];
    kernels::CellConvBackward<T> b;
    b.conv = views_.conv(t, block);
    b.y = views_.result(t, block);
    b.moments = views_.moments(t, block);
    if (block == t.last()) {
      b.incoming = incoming(term);
    } else {
      const T* sums = elements<T>(result.sums);
      b.incoming = {views_.dense(result.g), nullptr, sums, sums + views_.channels()};
    }
    b.grad_depthwise = weight_grad(t.weight + 2 * block);
    b.grad_pointwise = weight_grad(t.weight + 2 * block + 1);
    return b;
  }
  void add_halves(size_t term, std::vector<kernels::CellConvBackward<T>>& convs) const {
    const Term& t = plan_.terms[term];
    const kernels::StoredPixels<const T> y = views_.result(t);
    for (int64_t h = views_.first_half(); h < 2; ++h) {
      const int64_t channel = views_.half_channel(h);
      convs.push_back({views_.half(t, h),
                       y.from(channel),
                       views_.moments(t, 0, channel),
                       incoming(term, channel),
                       nullptr,
                       weight_grad(t.weight + h)});
    }
  }
  T* weight_grad(int64_t i) const {
    return out_.weights[i] ? mutable_elements<T>(out_.weights[i]) : nullptr;
  }

  const CellPlan& plan_;
  const CellDemand& demand_;
  const CellTensors& t_;
  const Tensor& g_;
  const CellGradients& out_;
  const CellViews<T> views_;
  std::vector<Tensor> node_grad_;  // undefined: the node's slice of g
  std::vector<Tensor> sums_;       // of each node: of its gradient, then of its product with terms
  std::vector<Result> results_;    // of each term
};

}  // namespace

template <typename T>
void cell_backward(const CellPlan& plan,
                   const CellDemand& demand,
                   const CellTensors& tensors,
                   const Tensor& g,
                   const CellGradients& gradients) {
  Backward<T>(plan, demand, tensors, g, gradients).run();
}
template void cell_backward<float>(
    const CellPlan&, const CellDemand&, const CellTensors&, const Tensor&, const CellGradients&);
template void cell_backward<double>(
    const CellPlan&, const CellDemand&, const CellTensors&, const Tensor&, const CellGradients&);

}  // namespace oche
