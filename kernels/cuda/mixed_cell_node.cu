// The nodes of a cell on a CUDA device: the weighted sum of all that leads to one, and what its
// gradient makes of each term. Pools are computed anew from what they pool.
#include "kernels/cuda/cell_strips.cuh"
#include "kernels/cuda/merges.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

constexpr int kTerms = 64;        // of a launch
constexpr int kTermsOfBlock = 4;  // in the backward pass
constexpr int kTiles = 64;        // that are to be had there before a thread takes several strips

// One more kind, whose value is 1.
constexpr int kOne = static_cast<int>(CellTermKind::kAveragePool) + 1;

template <typename T>
struct NodeTerm {
  CellView<T> x;
  int kind, place;
};
template <typename T>
struct NodeTerms {
  int count;
  NodeTerm<T> term[kTerms];
};

// The values of a term at the pixels of a strip before they are normalised.
template <bool kVector, typename T>
__device__ void load_term(const CellExtents& e,
                          const NodeTerm<T>& term,
                          const CellStrip& at,
                          int channel,
                          int count,
                          Vec<T> (&x)[kStrip]) {
  const auto kind = static_cast<CellTermKind>(term.kind);
  const int pitch = static_cast<int>(term.x.pitch);
  const T* const pooled = static_cast<const T*>(term.x.data);
  if (kind == CellTermKind::kMaxPool) {
    return pool_strip<kVector, CellPool::kMax>(e, pooled, pitch, at, channel, count, x);
  }
  if (kind == CellTermKind::kAveragePool) {
    return pool_strip<kVector, CellPool::kAverage>(e, pooled, pitch, at, channel, count, x);
  }
  const int64_t first = at.pixel * term.x.pitch + channel;
  term.x.visit([&](const auto* from) {
    load_pixels<kVector>(x, from + first, pitch, fresh(at.width), count);
  });
}

// grid: (blocks of strips, chunks of channels). y = (add ? y : 0) + the terms.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize, kVector ? 3 : 2)
    cell_node_forward_kernel(const __grid_constant__ NodeTerms<T> terms,
                             const __grid_constant__ CellExtents e,
                             int vectors,
                             bool add,
                             const T* weights,
                             T* y,
                             int pitch) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const TileThread thread(vectors);
  const int side = vectors * kWide, begin = static_cast<int>(blockIdx.y) * side;
  // Of each term and channel: the mean, and what the deviation from it is multiplied by.
  V* const mean = dynamic_shared<V>();
  V* const scale = mean + terms.count * vectors;
  for (int i = static_cast<int>(threadIdx.x); i < terms.count * side; i += kBlockSize) {
    const NodeTerm<T>& term = terms.term[i / side];
    const int channel = begin + i % side;
    const T weight = weights[term.place];
    const bool some = term.x.mean && channel < e.C;
    (&mean[0][0])[i] = some ? term.x.mean[channel] : T(0);
    (&scale[0][0])[i] = some ? weight * inverse_deviation(term.x.var[channel], e.eps) : weight;
  }
  __syncthreads();
  const int channel = begin + thread.vector * kWide, count = e.C - channel;
  const CellStrip at(e, static_cast<int64_t>(blockIdx.x) * thread.groups + thread.group);
  if (count <= 0 || at.width == 0) return;
  V total[kStrip] = {};
  if (add) {
    const T* const from = y + at.pixel * int64_t{pitch} + channel;
    load_pixels<kVector>(total, from, pitch, at.width, count);
  }
#pragma unroll 1
  for (int t = 0; t < terms.count; ++t) {
    V x[kStrip];
    load_term<kVector>(e, terms.term[t], at, channel, count, x);
    const V centre = mean[t * vectors + thread.vector], factor = scale[t * vectors + thread.vector];
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        total[k][j] = ::fma(factor[j], x[k][j] - centre[j], total[k][j]);
      }
    }
  }
  pitch = fresh(pitch);
  T* const to = y + at.pixel * int64_t{pitch} + channel;
#pragma unroll
  for (int k = 0; k < kStrip; ++k) {
    if (k < at.width) store_channels<kVector>(total[k], to + k * pitch, count);
  }
}

// grid: (tiles * chunks of channels, groups of kTermsOfBlock terms). A tile is `steps` blocks of
// strips. `partials` (groups, tiles, kTermsOfBlock, C): the sums of g * term over a tile.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize, kVector ? 3 : 2)
    cell_node_reduce_kernel(const __grid_constant__ NodeTerms<T> terms,
                            const __grid_constant__ CellExtents e,
                            int vectors,
                            int chunks,
                            int steps,
                            const T* g,
                            int pitch,
                            double* partials,
                            unsigned* tickets,
                            T* sums,
                            T* grad_weights) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const TileThread thread(vectors);
  const int64_t tile = blockIdx.x / chunks, tiles = gridDim.x / chunks;
  const int begin = static_cast<int>(blockIdx.x % chunks) * vectors * kWide;
  const int channel = begin + thread.vector * kWide, count = e.C - channel;
  const int group = static_cast<int>(blockIdx.y) * kTermsOfBlock;
  double* const mine = partials + blockIdx.y * tiles * kTermsOfBlock * e.C;

  for (int t = 0; t < kTermsOfBlock && group + t < terms.count; ++t) {
    const NodeTerm<T>& term = terms.term[group + t];
    V mean{}, total[1] = {};
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (term.x.mean && j < count) mean[j] = term.x.mean[channel + j];
    }
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const CellStrip at(e, (tile * steps + step) * thread.groups + thread.group);
      if (count <= 0 || at.width == 0) break;
      V grad[kStrip], x[kStrip];  // grad is 0 where there is no pixel
      if (term.kind != kOne) load_term<kVector>(e, term, at, channel, count, x);
      const T* const from = g + at.pixel * int64_t{pitch} + channel;
      load_pixels<kVector>(grad, from, pitch, at.width, count);
#pragma unroll
      for (int k = 0; k < kStrip; ++k) {
        if (k >= at.width) continue;
#pragma unroll
        for (int j = 0; j < kWide; ++j) {
          const T value = term.kind == kOne ? T(1) : x[k][j] - mean[j];
          total[0][j] = ::fma(grad[k][j], value, total[0][j]);
        }
      }
    }
    merge_columns(vectors, total, [&](int, int c, double sum) {
      if (begin + c >= e.C) return;
      if (term.x.mean) sum *= inverse_deviation(term.x.var[begin + c], e.eps);
      mine[(tile * kTermsOfBlock + t) * e.C + begin + c] = sum;
    });
  }
  if (!last_block(tickets + blockIdx.y, gridDim.x)) return;

  // The sums over all tiles take the place of the first one's.
  const int64_t columns = static_cast<int64_t>(kTermsOfBlock) * e.C;
  const int here = terms.count - group < kTermsOfBlock ? terms.count - group : kTermsOfBlock;
  merge_tiles<1>(
      tiles,
      static_cast<int64_t>(here) * e.C,
      [&](int64_t t, int64_t c, double(&sum)[1]) { sum[0] += mine[t * columns + c]; },
      [&](int64_t c, const double(&sum)[1]) {
        sums[group * static_cast<int64_t>(e.C) + c] = static_cast<T>(sum[0]);
        mine[c] = sum[0];
      });
  __syncthreads();
  const int t = static_cast<int>(threadIdx.x) / kWarpSize;
  if (!grad_weights || t >= here || terms.term[group + t].kind == kOne) return;
  double sum = 0;
  for (int c = static_cast<int>(threadIdx.x) % kWarpSize; c < e.C; c += kWarpSize) {
    sum += mine[t * static_cast<int64_t>(e.C) + c];
  }
  sum = warp_merge(sum, [](double a, double b) { return a + b; });
  if (threadIdx.x % kWarpSize == 0) {
    grad_weights[terms.term[group + t].place] = static_cast<T>(sum);
  }
}

// Blocks of strips in a tile of the backward pass, and tiles.
template <typename T>
int64_t reduce_steps(const CellShape& s) {
  return std::clamp<int64_t>(strip_blocks(s, cell_vectors<T>(s.C)) / kTiles, 1, 8);
}
template <typename T>
int64_t reduce_tiles(const CellShape& s) {
  return ceil_div(strip_blocks(s, cell_vectors<T>(s.C)), reduce_steps<T>(s));
}

// body(terms, true iff whole vectors can be loaded from each) for the launches that `all` take.
template <typename T, typename Body>
void for_launches(const CellShape& s, const std::vector<NodeTerm<T>>& all, const Body& body) {
  for (size_t first = 0; first < all.size(); first += kTerms) {
    NodeTerms<T> terms{};
    terms.count = static_cast<int>(std::min<size_t>(all.size() - first, kTerms));
    bool vector = s.C % kWidth<T> == 0;
    for (int t = 0; t < terms.count; ++t) {
      const NodeTerm<T>& term = terms.term[t] = all[first + t];
      vector = vector && term.x.whole_vectors();
    }
    body(static_cast<int64_t>(first), terms, vector);
  }
}

template <typename T>
void add_terms(const std::vector<CellTerm<T>>& terms, std::vector<NodeTerm<T>>& all) {
  for (const CellTerm<T>& t : terms) {
    all.push_back(
        {CellView<T>(t.x, t.moments), static_cast<int>(t.kind), static_cast<int>(t.place)});
  }
}

}  // namespace

template <typename T>
void cell_node_forward(CudaContext& ctx,
                       const CellShape& s,
                       const std::vector<CellTerm<T>>& terms,
                       const T* weights,
                       Pixels<T> y) {
  std::vector<NodeTerm<T>> all;
  add_terms(terms, all);
  const int vectors = cell_vectors<T>(s.C);
  const dim3 grid(static_cast<unsigned>(strip_blocks(s, vectors)),
                  static_cast<unsigned>(channel_chunks<T>(s.C, vectors)));
  for_launches(s, all, [&](int64_t first, const NodeTerms<T>& some, bool vector) {
    vector = vector && y.pitch % kWidth<T> == 0 && aligned<kWidth<T>>(y.data);
    with_bool(vector, [&](auto whole) {
      CU_LAUNCH((cell_node_forward_kernel<whole, T>),
                grid,
                kBlockSize,
                2 * sizeof(T) * some.count * vectors * kWidth<T>,
                ctx.stream(),
                some,
                CellExtents(s),
                vectors,
                first > 0,
                weights,
                y.data,
                static_cast<int>(y.pitch));
    });
  });
}

int64_t cell_node_reduce_workspace(const CudaContext&, const CellShape& s, int64_t terms) {
  return ceil_div(1 + terms, kTermsOfBlock) * kTermsOfBlock * s.C *
         std::max(reduce_tiles<float>(s), reduce_tiles<double>(s));
}

template <typename T>
void cell_node_reduce(CudaContext& ctx,
                      const CellShape& s,
                      const std::vector<CellTerm<T>>& terms,
                      Pixels<const T> g,
                      T* sums,
                      T* grad_weights,
                      double* workspace) {
  std::vector<NodeTerm<T>> all{{CellView<T>(g, {}), kOne, 0}};
  add_terms(terms, all);
  const int vectors = cell_vectors<T>(s.C), chunks = channel_chunks<T>(s.C, vectors);
  const int64_t tiles = reduce_tiles<T>(s);
  for_launches(s, all, [&](int64_t first, const NodeTerms<T>& some, bool vector) {
    vector = vector && g.pitch % kWidth<T> == 0 && aligned<kWidth<T>>(g.data);
    const dim3 grid(static_cast<unsigned>(tiles * chunks),
                    static_cast<unsigned>(ceil_div(some.count, kTermsOfBlock)));
    with_bool(vector, [&](auto whole) {
      CU_LAUNCH((cell_node_reduce_kernel<whole, T>),
                grid,
                kBlockSize,
                0,
                ctx.stream(),
                some,
                CellExtents(s),
                vectors,
                chunks,
                static_cast<int>(reduce_steps<T>(s)),
                g.data,
                static_cast<int>(g.pitch),
                workspace + first * tiles * s.C,
                ctx.tickets(),
                sums + first * s.C,
                grad_weights);
    });
  });
}

#define OCHE_INSTANTIATE(T)                                                                  \
  template void cell_node_forward(                                                           \
      CudaContext&, const CellShape&, const std::vector<CellTerm<T>>&, const T*, Pixels<T>); \
  template void cell_node_reduce(CudaContext&,                                               \
                                 const CellShape&,                                           \
                                 const std::vector<CellTerm<T>>&,                            \
                                 Pixels<const T>,                                            \
                                 T*,                                                         \
                                 T*,                                                         \
                                 double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
