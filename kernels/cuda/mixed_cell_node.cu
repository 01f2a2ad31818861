// The nodes of a cell on a CUDA device: the weighted sum of all that leads to one, and what its
// gradient makes of each term. Pools are computed anew from what they pool.
#include "kernels/cuda/cell_product.cuh"
#include "kernels/cuda/merges.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

constexpr int kTerms = 64;        // of a launch
constexpr int kTermsOfBlock = 4;  // in the backward pass
constexpr int kSteps = 2;         // tiles that a block of the backward pass goes through

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

// The value of a term at a pixel before it is normalised.
template <bool kVector, typename T>
__device__ Vec<T> term_at(
    const CellExtents& e, const NodeTerm<T>& term, int64_t pixel, int channel, int count) {
  constexpr int kWide = Vec<T>::kWidth;
  const auto kind = static_cast<CellTermKind>(term.kind);
  if (kind != CellTermKind::kMaxPool && kind != CellTermKind::kAveragePool) {
    return load_channels<kVector, kWide>(term.x.data + pixel * term.x.pitch + channel, count);
  }
  return pooled_at<kVector>(e,
                            term.x.data,
                            term.x.pitch,
                            kind == CellTermKind::kMaxPool ? CellPool::kMax : CellPool::kAverage,
                            1,
                            CellPixel(pixel, e.H, e.W),
                            channel,
                            count);
}

// grid: (tiles, chunks of channels). y = (add ? y : 0) + the terms.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_node_forward_kernel(const __grid_constant__ NodeTerms<T> terms,
                             const __grid_constant__ CellExtents e,
                             int vectors,
                             bool add,
                             const T* weights,
                             T* y,
                             int64_t pitch) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const TileThread thread(vectors);
  const int side = vectors * kWide, begin = static_cast<int>(blockIdx.y) * side;
  // Of each term and channel: the mean, and what the deviation from it is multiplied by.
  T* const mean = dynamic_shared<T>();
  T* const scale = mean + terms.count * side;
  for (int i = static_cast<int>(threadIdx.x); i < terms.count * side; i += kBlockSize) {
    const NodeTerm<T>& term = terms.term[i / side];
    const int channel = begin + i % side;
    const T weight = weights[term.place];
    const bool some = term.x.mean && channel < e.C;
    mean[i] = some ? term.x.mean[channel] : T(0);
    scale[i] = some ? weight * inverse_deviation(term.x.var[channel], e.eps) : weight;
  }
  __syncthreads();
  const int channel = begin + thread.vector * kWide, count = e.C - channel;
  const int64_t pixels = e.N * e.H * e.W;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * thread.pixels();
  const auto live = [&](int i) { return count > 0 && first + thread.pixel(i) < pixels; };
  V total[kPixelsOfThread] = {};
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (add && live(i)) {
      total[i] =
          load_channels<kVector, kWide>(y + (first + thread.pixel(i)) * pitch + channel, count);
    }
  }
  for (int t = 0; t < terms.count; ++t) {
    V x[kPixelsOfThread];
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      x[i] = live(i) ? term_at<kVector>(e, terms.term[t], first + thread.pixel(i), channel, count)
                     : V{};
    }
    const V centre = V::load(mean + t * side + thread.vector * kWide);
    const V factor = V::load(scale + t * side + thread.vector * kWide);
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        total[i][j] = ::fma(factor[j], x[i][j] - centre[j], total[i][j]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (!live(i)) continue;
    store_channels<kVector>(total[i], y + (first + thread.pixel(i)) * pitch + channel, count);
  }
}

// grid: (tiles * chunks of channels, groups of kTermsOfBlock terms). `partials` (groups, tiles,
// kTermsOfBlock, C): the sums of g * term over a tile.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_node_reduce_kernel(const __grid_constant__ NodeTerms<T> terms,
                            const __grid_constant__ CellExtents e,
                            int vectors,
                            int chunks,
                            const T* g,
                            int64_t pitch,
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
  const int64_t pixels = e.N * e.H * e.W;
  const int group = static_cast<int>(blockIdx.y) * kTermsOfBlock;
  double* const mine = partials + blockIdx.y * tiles * kTermsOfBlock * e.C;

  V total[kTermsOfBlock] = {};
  for (int step = 0; step < kSteps; ++step) {
    const int64_t first = (tile * kSteps + step) * thread.pixels();
    const auto live = [&](int i) { return count > 0 && first + thread.pixel(i) < pixels; };
    V grad[kPixelsOfThread];
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      grad[i] = V{};
      if (live(i)) {
        const int64_t at = (first + thread.pixel(i)) * pitch + channel;
        grad[i] = load_channels<kVector, kWide>(g + at, count);
      }
    }
#pragma unroll
    for (int t = 0; t < kTermsOfBlock; ++t) {
      if (group + t >= terms.count) break;
      const NodeTerm<T>& term = terms.term[group + t];
      const Normalisation<T> normalised(term.x, channel, count, e.eps);
#pragma unroll
      for (int i = 0; i < kPixelsOfThread; ++i) {
        if (!live(i)) continue;
        if (term.kind == kOne) {
#pragma unroll
          for (int j = 0; j < kWide; ++j) total[t][j] += grad[i][j];
          continue;
        }
        const V x = term_at<kVector>(e, term, first + thread.pixel(i), channel, count);
        total[t] = fma(grad[i], normalised(x), total[t]);
      }
    }
  }
  merge_columns(vectors, total, [&](int t, int c, double sum) {
    if (begin + c < e.C) mine[(tile * kTermsOfBlock + t) * e.C + begin + c] = sum;
  });
  if (!last_block(tickets + blockIdx.y, gridDim.x)) return;

  // The sums over all tiles take the place of the first one's.
  const int64_t columns = static_cast<int64_t>(kTermsOfBlock) * e.C;
  merge_tiles<1>(
      tiles,
      columns,
      [&](int64_t t, int64_t c, double(&sum)[1]) { sum[0] += mine[t * columns + c]; },
      [&](int64_t c, const double(&sum)[1]) {
        if (group + c / e.C < terms.count) sums[group * e.C + c] = static_cast<T>(sum[0]);
        mine[c] = sum[0];
      });
  __syncthreads();
  const int t = static_cast<int>(threadIdx.x) / kWarpSize;
  if (!grad_weights || t >= kTermsOfBlock || group + t >= terms.count) return;
  if (terms.term[group + t].kind == kOne) return;
  double sum = 0;
  for (int c = static_cast<int>(threadIdx.x) % kWarpSize; c < e.C; c += kWarpSize) {
    sum += mine[t * static_cast<int64_t>(e.C) + c];
  }
  sum = warp_merge(sum, [](double a, double b) { return a + b; });
  if (threadIdx.x % kWarpSize == 0) {
    grad_weights[terms.term[group + t].place] = static_cast<T>(sum);
  }
}

template <typename T>
int64_t reduce_tiles(const CellShape& s) {
  return ceil_div(cell_pixels(s), kSteps * tile_pixels(cell_vectors<T>(s.C)));
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
      vector = vector && term.x.pitch % kWidth<T> == 0 && aligned<kWidth<T>>(term.x.data);
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
  const dim3 grid(static_cast<unsigned>(ceil_div(cell_pixels(s), tile_pixels(vectors))),
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
                y.pitch);
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
                g.data,
                g.pitch,
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
