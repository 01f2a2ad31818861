// The gradient of a cell's sources, gathered for each pixel from all that it led to, and the sums
// of the weights' gradients over the blocks of pixels.
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

// A tile of a source: tiles * chunks of channels blocks of each.
template <bool kVector, typename T>
__device__ void gather(const GatherTable<T>& table, const CellExtents& e, unsigned* tickets) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const int number = static_cast<int>(blockIdx.x) / table.blocks_of_source;
  const int block = static_cast<int>(blockIdx.x) % table.blocks_of_source;
  const GatherSource<T>& source = table.source[number];
  const TileThread thread(table.vectors);
  const int side = table.vectors * kWide, chunks = (e.C + side - 1) / side;
  const int begin = block % chunks * side, channel = begin + thread.vector * kWide;
  const int count = e.C - channel;
  const int64_t pixels = e.N * e.H * e.W, tile = block / chunks;
  const Normalisation<T> normalised(source.x, channel, count, e.eps);

  V sums[2] = {};
#pragma unroll 1
  for (int i = 0; i < kPixelsOfThread; ++i) {
    const int64_t pixel = tile * thread.pixels() + thread.pixel(i);
    if (count <= 0 || pixel >= pixels) break;
    const CellPixel at(pixel, e.H, e.W);
    V through{}, past{};  // the relu
    if (source.initial) {
      past = load_channels<kVector, kWide>(source.initial + pixel * source.initial_pitch + channel,
                                           count);
    }
    for (int k = source.first; k < source.first + source.count; ++k) {
      const GatherTerm<T>& term = table.term[k];
      if (term.kind == GatherTerm<T>::kConv) {
        through = from_conv<kVector>(e, term, at, channel, count, through);
      } else if (term.kind == GatherTerm<T>::kSkip) {
        const T weight = term.weight ? *term.weight : T(1);
        const V g = load_channels<kVector, kWide>(term.grad + pixel * term.pitch + channel, count);
#pragma unroll
        for (int j = 0; j < kWide; ++j) past[j] = ::fma(weight, g[j], past[j]);
      } else {
        past = from_pool<kVector>(e, term, at, channel, count, past);
      }
    }
    const V x = normalised(
        load_channels<kVector, kWide>(source.x.data + pixel * source.x.pitch + channel, count));
    V grad = gated(through, x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) grad[j] += past[j];
    store_channels<kVector>(grad, source.grad + pixel * source.pitch + channel, count);
#pragma unroll
    for (int j = 0; j < kWide; ++j) sums[0][j] += grad[j];
    sums[1] = fma(grad, x, sums[1]);
  }
  if (!source.partials) return;  // all threads

  double* const partials = source.partials + 2 * tile * e.C;
  merge_columns(thread.vectors, sums, [&](int s, int c, double total) {
    if (begin + c < e.C) partials[s * e.C + begin + c] = total;
  });
  if (!last_block(tickets + number, static_cast<unsigned>(table.blocks_of_source))) return;
  const double* const from = source.partials;
  merge_tiles<1>((pixels + thread.pixels() - 1) / thread.pixels(),
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

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_gather_kernel(const __grid_constant__ GatherTable<T> table,
                       const __grid_constant__ CellExtents e,
                       unsigned* tickets) {
  const int weights = static_cast<int>(blockIdx.x) - table.sources * table.blocks_of_source;
  if (weights >= 0) return merge_weights(table, weights);
  gather<kVector>(table, e, tickets);
}

}  // namespace

template <typename T>
void launch_gather(CudaContext& ctx, const CellShape& s, const GatherTable<T>& table) {
  constexpr int kWide = kWidth<T>;
  bool vector = s.C % kWide == 0;
  for (int i = 0; i < table.sources; ++i) {
    const GatherSource<T>& g = table.source[i];
    vector = vector && aligned<kWide>(g.x.data, g.initial, g.grad) && g.x.pitch % kWide == 0 &&
             g.initial_pitch % kWide == 0 && g.pitch % kWide == 0;
  }
  for (int i = 0; i < table.terms; ++i) {
    const GatherTerm<T>& t = table.term[i];
    vector = vector && aligned<kWide>(t.grad) && t.pitch % kWide == 0 &&
             (t.kind != GatherTerm<T>::kConv || aligned<kWide>(t.weight));
  }
  with_bool(vector, [&](auto whole) {
    CU_LAUNCH((cell_gather_kernel<whole, T>),
              static_cast<unsigned>(table.blocks()),
              kBlockSize,
              0,
              ctx.stream(),
              table,
              CellExtents(s),
              ctx.tickets());
  });
}

template void launch_gather(CudaContext&, const CellShape&, const GatherTable<float>&);
template void launch_gather(CudaContext&, const CellShape&, const GatherTable<double>&);

}  // namespace oche::kernels::cuda
