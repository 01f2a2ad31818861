// The backward pass of a cell's sources on a CUDA device: what its two kernels work on.
#include "kernels/cuda/cell_strips.cuh"
#include "kernels/cuda/mixed_cell_backward.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

constexpr int kStepsWithWeights = 4;  // tiles whose part of the weights' gradients is one

template <typename T>
constexpr int kMostUnits = CellTable<BackwardUnit<T>>::kEntries;

// All units, sources and weights of a call, and where in the workspace they leave what.
template <typename T>
class Plan {
 public:
  Plan(const CellShape& s,
       const std::vector<CellSourceBackward<T>>& sources,
       CellWorkspace& workspace)
      : s_(s), workspace_(workspace), vectors_(cell_vectors<T>(s.C)) {
    for (const CellSourceBackward<T>& source : sources) add(source);
  }

  void launch(CudaContext& ctx) {
    std::vector<BackwardUnit<T>> usual, others;
    for (size_t i = 0; i < units_.size(); ++i) {
      const auto end = units_.begin() + i + units_[i].follow + 1;
      const bool all = std::all_of(units_.begin() + i, end, [&](const BackwardUnit<T>& u) {
        return usual_unit(ctx, s_, u);
      });
      auto& list = all ? usual : others;
      list.insert(list.end(), units_.begin() + i, end);
      if (!all) {
        BackwardUnit<T>& lead = *(list.end() - 1 - units_[i].follow);
        lead.n = blocks_any(s_, lead);
      }
      i += units_[i].follow;
    }
    for_cell_tables(usual, [&](const auto& table) { launch_units_usual<T>(ctx, s_, table); });
    for_cell_tables(others, [&](const auto& table) { launch_units_any<T>(ctx, s_, table); });
    GatherTable<T> table;
    const auto flush = [&] {
      if (table.blocks() > 0) launch_gather<T>(ctx, s_, table);
      table = {};
      table.vectors = vectors_;
      table.blocks_of_source = static_cast<int>(tiles() * channel_chunks<T>(s_.C, vectors_));
    };
    flush();
    for (const auto& [source, terms] : gathers_) {
      const int count = static_cast<int>(terms.size());
      if (table.sources == table.kSources || table.terms + count > table.kTerms ||
          source.initial == source.grad) {  // goes on with what an earlier launch has written
        flush();
      }
      GatherSource<T>& entry = table.source[table.sources++] = source;
      entry.first = table.terms;
      entry.count = count;
      for (const GatherTerm<T>& term : terms) table.term[table.terms++] = term;
    }
    for (GatherWeights<T> w : weights_) {
      if (table.weights == table.kWeights) flush();
      w.begin = table.blocks_of_weights;
      table.blocks_of_weights += static_cast<int>(ceil_div(w.columns, kBlockSize));
      table.weight[table.weights++] = w;
    }
    flush();
  }

 private:
  int64_t tiles() const { return strip_blocks(s_, vectors_); }  // of a source

  void add(const CellSourceBackward<T>& source) {
    std::vector<GatherTerm<T>> terms;
    const CellView<T> x(source.source.x, source.source.moments);
    for (const auto& b : source.convs) terms.push_back(add_conv(x, b));
    for (const auto& b : source.pools) {
      if (!b.incoming.empty()) terms.push_back(add_pool(x, b));
    }
    for (const auto& b : source.skips) {
      GatherTerm<T> term;
      term.kind = GatherTerm<T>::kSkip;
      term.grad = b.g.data;
      term.pitch = static_cast<int>(b.g.pitch);
      term.weight = b.weight;
      terms.push_back(term);
    }
    GatherSource<T> gather;
    gather.x = x;
    gather.initial = source.initial.data;
    gather.initial_pitch = static_cast<int>(source.initial.pitch);
    gather.grad = source.grad.data;
    gather.pitch = static_cast<int>(source.grad.pitch);
    const auto most = static_cast<size_t>(GatherTable<T>::kTerms);
    for (size_t first = 0; first < terms.size() || first == 0; first += most) {
      const size_t end = std::min(terms.size(), first + most);
      if (end == terms.size() && (source.sum_g || source.sum_gx)) {
        gather.sum_g = source.sum_g;
        gather.sum_gx = source.sum_gx;
        gather.partials = workspace_.take<double>(2 * tiles() * s_.C);
      }
      gathers_.push_back({gather, {terms.begin() + first, terms.begin() + end}});
      gather.initial = gather.grad;
      gather.initial_pitch = gather.pitch;
    }
  }

  static void set_incoming(BackwardUnit<T>& u, const CellIncoming<T>& in) {
    u.g = in.g.data;
    u.pitch = static_cast<int>(in.g.pitch);
    u.weight = in.weight;
    u.sum_g = in.sum_g;
    u.sum_gx = in.sum_gx;
  }

  GatherTerm<T> add_conv(const CellView<T>& x, const CellConvBackward<T>& b) {
    BackwardUnit<T> u;
    u.x = x;
    u.y = CellView<T>(b.y, b.moments);
    u.taps = CellTaps<T>(b.conv);
    set_incoming(u, b.incoming);
    u.taps.vectors = cell_vectors<T>(std::max(s_.C, b.conv.out));
    u.wants_depthwise = b.grad_depthwise != nullptr;
    u.wants_pointwise = b.grad_pointwise != nullptr;
    const bool weights = u.wants_depthwise || u.wants_pointwise;
    if (weights) u.steps = kStepsWithWeights;
    const CellExtents e(s_);
    const CellTiles tiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors);
    const int64_t M = tiles.pixels, blocks = ceil_div(tiles.count, u.steps);
    u.grad = workspace_.take<T>(M * s_.C);
    if (weights) {
      GatherWeights<T> w;
      w.depthwise = b.grad_depthwise;
      w.pointwise = b.grad_pointwise;
      w.rows = static_cast<int>(blocks);
      w.depthwise_columns = u.depthwise_columns(static_cast<int>(s_.C));
      w.columns = u.partial_columns(static_cast<int>(s_.C));
      w.partials = u.partials = workspace_.take<T>(blocks * w.columns);
      weights_.push_back(w);
    }
    u.n = static_cast<int>(blocks);
    units_.push_back(u);

    GatherTerm<T> term;
    term.grad = u.grad;
    term.weight = u.taps.depthwise;
    term.kernel = u.taps.kernel;
    term.dilation = u.taps.dilation;
    term.stride = u.taps.stride;
    term.offset = u.taps.offset;
    return term;
  }

  GatherTerm<T> add_pool(const CellView<T>& x, const CellPoolBackward<T>& b) {
    GatherTerm<T> term;
    term.kind = b.pool == CellPool::kMax ? GatherTerm<T>::kMaxPool : GatherTerm<T>::kAveragePool;
    term.stride = static_cast<short>(b.stride);
    const int64_t M = cell_pixels(s_, b.stride);
    T* const grad = workspace_.take<T>(M * s_.C);
    uint8_t* const winner = b.pool == CellPool::kMax ? workspace_.take<uint8_t>(M * s_.C) : nullptr;
    for (size_t i = 0; i < b.incoming.size(); ++i) {
      BackwardUnit<T> u;
      u.x = x;
      u.y = CellView<T>({}, b.moments);
      u.taps.stride = static_cast<short>(b.stride);
      u.taps.out = static_cast<int>(s_.C);
      set_incoming(u, b.incoming[i]);
      u.pool = static_cast<short>(b.pool);
      u.grad = grad;
      u.winner = winner;
      u.taps.vectors = vectors_;
      if (i % kMostUnits<T> == 0) {  // leads as many as share a launch with it
        u.add = i > 0;
        u.follow = static_cast<short>(std::min<size_t>(kMostUnits<T>, b.incoming.size() - i) - 1);
        u.n = static_cast<int>(ceil_div(M, tile_pixels(vectors_)) *
                               channel_chunks<T>(s_.C, vectors_));
      }
      units_.push_back(u);
    }
    term.grad = grad;
    term.winner = winner;
    return term;
  }

  const CellShape& s_;
  CellWorkspace& workspace_;
  const int vectors_;
  std::vector<BackwardUnit<T>> units_;
  std::vector<std::pair<GatherSource<T>, std::vector<GatherTerm<T>>>> gathers_;
  std::vector<GatherWeights<T>> weights_;
};

}  // namespace

template <typename T>
int64_t cell_source_backward_workspace(const CudaContext&,
                                       const CellShape& s,
                                       const std::vector<CellSourceBackward<T>>& sources) {
  CellWorkspace workspace(nullptr);
  Plan<T>(s, sources, workspace);
  return workspace.bytes();
}

template <typename T>
void cell_source_backward(CudaContext& ctx,
                          const CellShape& s,
                          const std::vector<CellSourceBackward<T>>& sources,
                          std::byte* memory) {
  CellWorkspace workspace(memory);
  Plan<T>(s, sources, workspace).launch(ctx);
}

#define OCHE_INSTANTIATE(T)                                                                   \
  template void cell_source_backward(                                                         \
      CudaContext&, const CellShape&, const std::vector<CellSourceBackward<T>>&, std::byte*); \
  template int64_t cell_source_backward_workspace(                                            \
      const CudaContext&, const CellShape&, const std::vector<CellSourceBackward<T>>&);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
