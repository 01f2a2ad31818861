// The schedule of a fused cell's forward pass: state after state, what it leads to, then the next
// node.
#include "engine/ops/mixed_cell_views.h"

namespace oche {
namespace {

template <typename T>
class Forward {
 public:
  Forward(const CellPlan& plan, CellTensors& tensors)
      : plan_(plan), t_(tensors), views_(plan, tensors) {
    for (const Tensor& k : t_.kept) passing_.push_back(!k.defined());
  }

  void run() {
    clear_empty_nodes();
    leave({0, 1});
    for (int64_t node = 0; node < plan_.spec.steps; ++node) {
      sum(node);
      leave({2 + node});
    }
  }

 private:
  // The slices of y that nobody will write.
  void clear_empty_nodes() {
    bool output = false;
    for (int64_t node = 0; node < plan_.spec.steps; ++node) {
      if (!plan_.into[node].empty()) continue;
      if (plan_.in_output(node)) {
        output = true;
      } else {
        fill_zero<T>(make(plan_.outside[node]));
      }
    }
    if (output) fill_zero<T>(t_.y);
  }

  // All that is computed of states of one shape alone.
  void leave(const std::vector<int64_t>& states) {
    std::vector<kernels::CellSourceForward<T>> sources;
    for (const int64_t j : states) {
      kernels::CellSourceForward<T> source;
      for (const size_t i : plan_.out_of[j]) {
        const CellPlan::Term& t = plan_.terms[i];
        if (t.separable()) source.convs.push_back(conv(t, 0));
        if (t.reduces()) add_halves(t, source.convs);
      }
      for (const size_t i : plan_.pools_of[j]) {
        const CellPlan::Pool& p = plan_.pools[i];
        kernels::CellPoolForward<T> pool{p.kind, p.stride, {}, views_.mutable_moments(p.row)};
        if (p.kept >= 0) pool.y = views_.mutable_stored(make(p.kept));
        if (pool.y.stored() || pool.moments.mean) source.pools.push_back(pool);
      }
      if (source.convs.empty() && source.pools.empty()) continue;
      source.source = {views_.state(j), {}};
      sources.push_back(std::move(source));
    }
    run_sources(views_.device(), views_.shape_of(states[0]), sources);

    for (int64_t block = 1; block < plan_.blocks; ++block) {
      sources.clear();
      for (const int64_t j : states) {
        for (const size_t i : plan_.out_of[j]) {
          const CellPlan::Term& t = plan_.terms[i];
          if (!t.separable() || block > t.last()) continue;
          sources.push_back({views_.normalised(t, block - 1), {conv(t, block)}, {}});
        }
      }
      run_sources(views_.device(), views_.node_shape(), sources);
    }
  }

  void sum(int64_t node) {
    if (plan_.into[node].empty()) return;
    std::vector<kernels::CellTerm<T>> terms;
    for (const size_t i : plan_.into[node]) terms.push_back(views_.term(plan_.terms[i]));
    const kernels::Pixels<T> y = plan_.in_output(node)
                                     ? views_.mutable_slice(t_.y, node)
                                     : views_.mutable_dense(make(plan_.outside[node]));
    const T* weights = elements<T>(t_.table);
    dispatch_device<T>(views_.device(), [&]<typename U>(auto& ctx) {
      kernels::cell_node_forward<U>(ctx, views_.node_shape(), terms, weights, y);
    });
    for (const size_t i : plan_.into[node]) {
      const CellPlan::Term& t = plan_.terms[i];
      for (int64_t b = 0; t.pool < 0 && b < norm_count(t.branch); ++b) {
        if (passing_[t.kept + b]) t_.kept[t.kept + b] = {};
      }
    }
  }

  kernels::CellConvForward<T> conv(const CellPlan::Term& t, int64_t block) {
    return {views_.conv(t, block),
            views_.mutable_stored(make(t.kept + block)),
            views_.mutable_moments(t.row + block)};
  }
  void add_halves(const CellPlan::Term& t, std::vector<kernels::CellConvForward<T>>& convs) {
    const kernels::StoredPixels<T> y = views_.mutable_stored(make(t.kept));
    for (int64_t h = views_.first_half(); h < 2; ++h) {
      const int64_t channel = views_.half_channel(h);
      convs.push_back({views_.half(t, h), y.from(channel), views_.mutable_moments(t.row, channel)});
    }
  }

  const Tensor& make(int64_t kept) {
    if (!t_.kept[kept]) t_.kept[kept] = views_.make_kept(kept);
    return t_.kept[kept];
  }

  const CellPlan& plan_;
  CellTensors& t_;
  const CellViews<T> views_;
  std::vector<bool> passing_;  // kept tensors that go with their node
};

}  // namespace

void* no_elements() {
  alignas(64) static std::byte nothing[64];
  return nothing;
}

template <typename T>
void cell_forward(const CellPlan& plan, CellTensors& tensors) {
  Forward<T>(plan, tensors).run();
}
template void cell_forward<float>(const CellPlan&, CellTensors&);
template void cell_forward<double>(const CellPlan&, CellTensors&);

}  // namespace oche
