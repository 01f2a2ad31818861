// The gradient of a cell's sources, gathered for each pixel from all that it led to, and the sums
// of the weights' gradients over the blocks of pixels.
#include "kernels/cuda/cell_strips.cuh"
#include "kernels/cuda/cell_window.cuh"
#include "kernels/cuda/merges.cuh"
#include "kernels/cuda/mixed_cell_backward.cuh"

namespace oche::kernels::cuda {
namespace {

// The outputs that a pixel reaches through tap r along one axis; -1: none.
__device__ inline int reached(int at, int tap, int stride, int outputs) {
  const int from = at - tap;
  if (from < 0 || from % stride != 0) return -1;
  return from / stride < outputs ? from / stride : -1;
}

template <bool kVector, typename T>
__device__ Vec<T> from_conv(const CellExtents& e,
                            const GatherTerm<T>& term,
                            const CellPixel& at,
                            int channel,
                            int count,
                            Vec<T> sum) {
  constexpr int kWide = Vec<T>::kWidth;
  const int rows = (e.H + term.stride - 1) / term.stride;
  const int columns = (e.W + term.stride - 1) / term.stride;
#pragma unroll 1
  for (int r = 0; r < term.kernel; ++r) {
    const int p = reached(at.row, term.offset + r * term.dilation, term.stride, rows);
    if (p < 0) continue;
    for (int s = 0; s < term.kernel; ++s) {
      const int q = reached(at.column, term.offset + s * term.dilation, term.stride, columns);
      if (q < 0) continue;
      const Vec<T> grad = load_channels<kVector, kWide>(
          term.grad + ((at.n * rows + p) * columns + q) * e.C + channel, count);
      if (term.weight) {
        const int64_t tap = static_cast<int64_t>(r * term.kernel + s) * e.C + channel;
        sum = fma(grad, load_channels<kVector, kWide>(term.weight + tap, count), sum);
      } else {
#pragma unroll
        for (int j = 0; j < kWide; ++j) sum[j] += grad[j];
      }
    }
  }
  return sum;
}

// From the windows over a pixel.
template <bool kVector, typename T>
__device__ Vec<T> from_pool(const CellExtents& e,
                            const GatherTerm<T>& term,
                            const CellPixel& at,
                            int channel,
                            int count,
                            Vec<T> sum) {
  constexpr int kWide = Vec<T>::kWidth;
  const int rows = (e.H + term.stride - 1) / term.stride;
  const int columns = (e.W + term.stride - 1) / term.stride;
  for (int r = 0; r < 3; ++r) {
    const int p = reached(at.row, r - 1, term.stride, rows);
    if (p < 0) continue;
    for (int s = 0; s < 3; ++s) {
      const int q = reached(at.column, s - 1, term.stride, columns);
      if (q < 0) continue;
      const int64_t from = ((at.n * rows + p) * columns + q) * e.C + channel;
      const Vec<T> grad = load_channels<kVector, kWide>(term.grad + from, count);
      if (term.winner) {
        const auto winner = load_channels<kVector, kWide>(term.winner + from, count);
#pragma unroll
        for (int j = 0; j < kWide; ++j) sum[j] += winner[j] == r * 3 + s ? grad[j] : T(0);
      } else {
        const T share = 1 / static_cast<T>(PoolReach(p * term.stride, e.H).size() *
                                           PoolReach(q * term.stride, e.W).size());
#pragma unroll
        for (int j = 0; j < kWide; ++j) sum[j] = ::fma(grad[j], share, sum[j]);
      }
    }
  }
  return sum;
}

// Adds what reaches the pixels of a strip from a usual convolution.
template <typename Fixed, bool kOdd, typename T>
__device__ void strip_from_conv(const CellExtents& e,
                                const GatherTerm<T>& term,
                                const CellStrip& at,
                                int channel,
                                Vec<T> (&sum)[kStrip]) {
  using V = Vec<T>;
  const int rows = (e.H + Fixed::kStride - 1) / Fixed::kStride;
  const int columns = (e.W + Fixed::kStride - 1) / Fixed::kStride;
  const T* const image = term.grad + at.n * rows * columns * e.C + channel;
  const T* const weight = term.weight + channel;
  V v[kGathered<Fixed>], tap;
  gather_strip<Fixed, kOdd>(
      at,
      term.offset,
      rows,
      columns,
      [&](int u, int p, int q) { v[u] = V::load(image + (p * columns + q) * e.C); },
      [&](int u) { v[u] = V{}; },
      [&](int r, int s) {
        if (Fixed::kTaps > 1) tap = V::load(weight + (r * Fixed::kTaps + s) * e.C);
      },
      [&](int k, int, int, int u) {
        if constexpr (Fixed::kTaps > 1) {
          sum[k] = fma(v[u], tap, sum[k]);
        } else {
#pragma unroll
          for (int j = 0; j < V::kWidth; ++j) sum[k][j] += v[u][j];
        }
      });
}

// The same from a pool.
template <int kStride, bool kMaximum, typename T>
__device__ void strip_from_pool(const CellExtents& e,
                                const GatherTerm<T>& term,
                                const CellStrip& at,
                                int channel,
                                Vec<T> (&sum)[kStrip]) {
  using V = Vec<T>;
  using Fixed = Taps<3, kStride, 1>;
  const int rows = (e.H + kStride - 1) / kStride, columns = (e.W + kStride - 1) / kStride;
  const int64_t image = at.n * rows * columns * e.C + channel;
  V v[kGathered<Fixed>];
  Vec<uint8_t, V::kWidth> winner[kGathered<Fixed>];
  gather_strip<Fixed, true>(
      at,
      -1,
      rows,
      columns,
      [&](int u, int p, int q) {
        const int64_t from = image + (p * columns + q) * e.C;
        v[u] = V::load(term.grad + from);
        if constexpr (kMaximum) {
          winner[u] = Vec<uint8_t, V::kWidth>::load(term.winner + from);
        } else {
          const T share = 1 / static_cast<T>(PoolReach(p * kStride, e.H).size() *
                                             PoolReach(q * kStride, e.W).size());
#pragma unroll
          for (int j = 0; j < V::kWidth; ++j) v[u][j] *= share;
        }
      },
      [&](int u) {
        v[u] = V{};
        winner[u] = {};
      },
      [&](int, int) {},
      [&](int k, int r, int s, int u) {
#pragma unroll
        for (int j = 0; j < V::kWidth; ++j) {
          const bool counts = !kMaximum || winner[u][j] == r * 3 + s;
          sum[k][j] += counts ? v[u][j] : T(0);
        }
      });
}

template <typename T>
bool usual_term(const GatherTerm<T>& term) {
  if (term.kind == GatherTerm<T>::kSkip) return true;
  if (term.kind != GatherTerm<T>::kConv) return term.stride == 1 || term.stride == 2;
  CellTaps<T> taps;
  taps.depthwise = term.weight;
  taps.kernel = term.kernel;
  taps.stride = term.stride;
  taps.dilation = term.dilation;
  return usual_taps(taps);
}

// What the convolutions `first` up to `end` contribute to a strip, before the relu's gate.
template <bool kUsual, bool kVector, typename T>
__device__ void through_relu(const GatherTable<T>& table,
                             const CellExtents& e,
                             int first,
                             int end,
                             const CellStrip& at,
                             int channel,
                             Vec<T> (&sum)[kStrip]) {
  const auto any = [&](int k) {
    const CellPixel pixel(at.pixel + k, e.H, e.W);
    Vec<T> total{};
    for (int t = first; t < end; ++t) {
      if (table.term[t].kind != GatherTerm<T>::kConv) continue;
      total = from_conv<kVector>(e, table.term[t], pixel, channel, e.C - channel, total);
    }
    return total;
  };
  if constexpr (kUsual) {
    for (int t = first; t < end; ++t) {
      const GatherTerm<T>& term = table.term[t];
      if (term.kind != GatherTerm<T>::kConv) continue;
      visit_taps(term.kernel, term.stride, term.dilation, [&](auto fixed) {
        using Fixed = decltype(fixed);
        if (Fixed::kStride > 1 && term.offset % 2 != 0) {
          strip_from_conv<Fixed, true>(e, term, at, channel, sum);
        } else {
          strip_from_conv<Fixed, false>(e, term, at, channel, sum);
        }
      });
    }
    if (!any_nan(sum)) return;  // which zeros beside a row may have made
  }
#pragma unroll
  for (int k = 0; k < kStrip; ++k) {
    if (k < at.width) sum[k] = any(k);
  }
}

// A tile of a source: blocks_of_source blocks, of strips and chunks of channels, for each.
template <bool kUsual, bool kVector, typename T>
__device__ void gather(const GatherTable<T>& table, const CellExtents& e, unsigned* tickets) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const int number = static_cast<int>(blockIdx.x) / table.blocks_of_source;
  const int block = static_cast<int>(blockIdx.x) % table.blocks_of_source;
  const GatherSource<T>& source = table.source[number];
  const TileThread thread(table.vectors);
  const int side = table.vectors * kWide, chunks = (e.C + side - 1) / side;
  const int begin = block % chunks * side, channel = begin + thread.vector * kWide;
  const int count = e.C - channel, tile = block / chunks;

  V sums[2] = {};
  const CellStrip at(e, static_cast<int64_t>(tile) * thread.groups + thread.group);
  if (count > 0 && at.width > 0) {
    const int end = source.first + source.count;
    V grad[kStrip] = {}, x[kStrip];
    through_relu<kUsual, kVector>(table, e, source.first, end, at, channel, grad);
    const Normalisation<T> normalised(source.x, channel, count, e.eps);
    const int pitch = source.x.pitch;
    source.x.visit([&](const auto* from) {
      load_pixels<kVector>(x, from + at.pixel * pitch + channel, pitch, at.width, count);
    });
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      x[k] = normalised(x[k]);
      grad[k] = gated(grad[k], x[k]);
    }
    const auto add = [&](const T* from, int from_pitch, T weight) {
      V v[kStrip];
      load_pixels<kVector>(v, from + at.pixel * from_pitch + channel, from_pitch, at.width, count);
#pragma unroll
      for (int k = 0; k < kStrip; ++k) {
#pragma unroll
        for (int j = 0; j < kWide; ++j) grad[k][j] = ::fma(weight, v[k][j], grad[k][j]);
      }
    };
    if (source.initial) add(source.initial, source.initial_pitch, T(1));
    for (int t = source.first; t < end; ++t) {
      const GatherTerm<T>& term = table.term[t];
      if (term.kind == GatherTerm<T>::kConv) continue;
      if (term.kind == GatherTerm<T>::kSkip) {
        add(term.grad, term.pitch, term.weight ? *term.weight : T(1));
      } else if constexpr (kUsual) {
        const bool maximum = term.kind == GatherTerm<T>::kMaxPool;
        if (term.stride == 1) {
          maximum ? strip_from_pool<1, true>(e, term, at, channel, grad)
                  : strip_from_pool<1, false>(e, term, at, channel, grad);
        } else {
          maximum ? strip_from_pool<2, true>(e, term, at, channel, grad)
                  : strip_from_pool<2, false>(e, term, at, channel, grad);
        }
      } else {
#pragma unroll
        for (int k = 0; k < kStrip; ++k) {
          if (k >= at.width) continue;
          const CellPixel pixel(at.pixel + k, e.H, e.W);
          grad[k] = from_pool<kVector>(e, term, pixel, channel, count, grad[k]);
        }
      }
    }
    T* const to = source.grad + at.pixel * source.pitch + channel;
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      if (k >= at.width) continue;
      store_channels<kVector>(grad[k], to + k * source.pitch, count);
#pragma unroll
      for (int j = 0; j < kWide; ++j) sums[0][j] += grad[k][j];
      sums[1] = fma(grad[k], x[k], sums[1]);
    }
  }
  if (!source.partials) return;  // all threads

  double* const partials = source.partials + 2 * static_cast<int64_t>(tile) * e.C;
  merge_columns(thread.vectors, sums, [&](int s, int c, double total) {
    if (begin + c < e.C) partials[s * e.C + begin + c] = total;
  });
  if (!last_block(tickets + number, static_cast<unsigned>(table.blocks_of_source))) return;
  const double* const from = source.partials;
  merge_tiles<1>(
      table.blocks_of_source / chunks,
      2 * e.C,
      [&](int64_t t, int64_t c, double(&sum)[1]) { sum[0] += from[2 * t * e.C + c]; },
      [&](int64_t c, const double(&sum)[1]) {
        T* const to = c < e.C ? source.sum_g : source.sum_gx;
        if (to) to[c % e.C] = static_cast<T>(sum[0]);
      });
}

template <typename T>
__device__ void merge_weights(const GatherTable<T>& table, int block) {
  int k = 0;
  while (k + 1 < table.weights && table.weight[k + 1].begin <= block) ++k;
  const GatherWeights<T>& w = table.weight[k];
  const int column = (block - w.begin) * kBlockSize + static_cast<int>(threadIdx.x);
  if (column >= w.columns) return;
  double total = 0;
#pragma unroll 8
  for (int row = 0; row < w.rows; ++row) {
    total += w.partials[static_cast<int64_t>(row) * w.columns + column];
  }
  const int pointwise = column - w.depthwise_columns;
  (pointwise < 0 ? w.depthwise[column] : w.pointwise[pointwise]) = static_cast<T>(total);
}

template <bool kUsual, bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize, 2)
    cell_gather_kernel(const __grid_constant__ GatherTable<T> table,
                       const __grid_constant__ CellExtents e,
                       unsigned* tickets) {
  const int weights = static_cast<int>(blockIdx.x) - table.sources * table.blocks_of_source;
  if (weights >= 0) return merge_weights(table, weights);
  gather<kUsual, kVector>(table, e, tickets);
}

}  // namespace

template <typename T>
void launch_gather(CudaContext& ctx, const CellShape& s, const GatherTable<T>& table) {
  constexpr int kWide = kWidth<T>;
  bool vector = s.C % kWide == 0;
  for (int i = 0; i < table.sources; ++i) {
    const GatherSource<T>& g = table.source[i];
    vector = vector && g.x.whole_vectors() && aligned<kWide>(g.initial, g.grad) &&
             g.initial_pitch % kWide == 0 && g.pitch % kWide == 0;
  }
  for (int i = 0; i < table.terms; ++i) {
    const GatherTerm<T>& t = table.term[i];
    vector = vector && aligned<kWide>(t.grad) && t.pitch % kWide == 0 &&
             (t.kind != GatherTerm<T>::kConv || aligned<kWide>(t.weight));
  }
  const bool usual = vector && std::all_of(table.term, table.term + table.terms, usual_term<T>);
  const auto run = [&](auto kernel) {
    CU_LAUNCH(kernel,
              static_cast<unsigned>(table.blocks()),
              kBlockSize,
              0,
              ctx.stream(),
              table,
              CellExtents(s),
              ctx.tickets());
  };
  if (usual) return run(cell_gather_kernel<true, true, T>);
  with_bool(vector, [&](auto whole) { run(cell_gather_kernel<false, whole, T>); });
}

template void launch_gather(CudaContext&, const CellShape&, const GatherTable<float>&);
template void launch_gather(CudaContext&, const CellShape&, const GatherTable<double>&);

}  // namespace oche::kernels::cuda
