// The forward pass of a cell's sources on a CUDA device: depthwise and pointwise convolution of a
// tile of pixels in one block, with the statistics of what comes out.
#include "kernels/cuda/cell_product.cuh"
#include "kernels/cuda/merges.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

// A convolution or a pool of a source.
template <typename T>
struct ForwardUnit {
  static constexpr int follow = 0;
  int64_t n = 0;  // blocks: tiles of pixels * chunks of channels
  CellView<T> x;
  CellTaps<T> taps;  // of a pool, the stride and the channels
  int pool = -1;     // a CellPool, or a convolution
  int vectors = 0;
  T *y = nullptr, *mean = nullptr, *var = nullptr;  // nullptr: not wanted
  int64_t pitch = 0;
  double* partials = nullptr;  // (tiles, 3, out): sums and squares around the third
};

template <typename T>
constexpr int kWeightVectors = kMostVectors* kMostVectors* kWidth<T>;
template <typename T>
int forward_shared_bytes(int vectors) {
  return tile_bytes(vectors) + vectors * vectors * kWidth<T> * 16;
}

// Of a tile: z, the depthwise convolution of `depth` channels at a time, times the pointwise one.
template <bool kVector, typename T>
__device__ void convolve(const CellExtents& e,
                         const ForwardUnit<T>& u,
                         const TileThread& thread,
                         int64_t pixels,
                         int64_t first,
                         int first_out,
                         int rows,
                         int columns,
                         Vec<T> (&sum)[kPixelsOfThread]) {
  constexpr int kWide = Vec<T>::kWidth;
  Vec<T>* const z = dynamic_shared<Vec<T>>();
  Vec<T>* const weights = z + thread.pixels() * tile_pitch(thread.vectors);
  const int side = thread.vectors * kWide;
  for (int chunk = 0; chunk < e.C; chunk += side) {
    const int channel = chunk + thread.vector * kWide, count = e.C - channel;
    const int rest = (e.C - chunk + kWide - 1) / kWide * kWide, depth = rest < side ? rest : side;
    const Normalisation<T> normalised(u.x, channel, count, e.eps);
    __syncthreads();  // the chunk before has been read
#pragma unroll 1
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const int64_t pixel = first + thread.pixel(i);
      Vec<T> value{};
      if (count > 0 && pixel < pixels) {
        const CellPixel at(pixel, rows, columns);
        value = depthwise_at<kVector>(e, u.x, u.taps, normalised, at, channel, count);
      }
      z[thread.pixel(i) * tile_pitch(thread.vectors) + thread.vector] = value;
    }
    const int out = first_out + thread.vector * kWide;
    for (int d = thread.group; d < depth; d += thread.groups) {
      const bool inside = chunk + d < e.C && out < u.taps.out;
      const int64_t at = static_cast<int64_t>(chunk + d) * u.taps.out + out;
      weights[d * thread.vectors + thread.vector] =
          inside ? load_channels<kVector, kWide>(u.taps.pointwise + at, u.taps.out - out)
                 : Vec<T>{};
    }
    __syncthreads();
    add_product<T>(thread, z, weights, depth, sum);
  }
}

// Mean and variance of each channel, from the partial sums of all tiles.
template <typename T>
__device__ void finish_moments(const ForwardUnit<T>& u, int64_t pixels, int tile) {
  const int64_t out = u.taps.out, tiles = (pixels + tile - 1) / tile;
  const double* const partials = u.partials;
  merge_tiles<2>(
      tiles,
      out,
      [&](int64_t t, int64_t c, double(&sums)[2]) {
        // Around the first tile's centre.
        const double* const from = partials + 3 * t * out + c;
        const double rest = static_cast<double>(pixels - t * tile);
        const double count = rest < tile ? rest : tile, d = from[2 * out] - partials[2 * out + c];
        sums[0] += from[0] + count * d;
        sums[1] += from[out] + d * (2 * from[0] + count * d);
      },
      [&](int64_t c, const double(&sums)[2]) {
        const double all = static_cast<double>(pixels), mean = sums[0] / all;
        const double var = sums[1] / all - mean * mean;
        u.mean[c] = static_cast<T>(partials[2 * out + c] + mean);
        u.var[c] = static_cast<T>(var < 0 ? 0.0 : var);
      });
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_source_forward_kernel(const __grid_constant__ CellTable<ForwardUnit<T>> table,
                               const __grid_constant__ CellExtents e,
                               unsigned* tickets) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const int number = table.find(blockIdx.x);
  const ForwardUnit<T>& u = table.entry[number];
  const TileThread thread(u.vectors);
  const int out = u.taps.out, side = thread.vectors * kWide, chunks = (out + side - 1) / side;
  const int block = static_cast<int>(blockIdx.x - table.begin[number]);
  const int64_t tile = block / chunks, first = tile * thread.pixels();
  const int channel = block % chunks * side + thread.vector * kWide, count = out - channel;
  const int rows = (e.H + u.taps.stride - 1) / u.taps.stride;
  const int columns = (e.W + u.taps.stride - 1) / u.taps.stride;
  const int64_t pixels = e.N * rows * columns;

  V y[kPixelsOfThread] = {};
  if (u.pool < 0) {
    convolve<kVector>(e, u, thread, pixels, first, block % chunks * side, rows, columns, y);
  } else if (count > 0) {
#pragma unroll 1
    for (int i = 0; i < kPixelsOfThread; ++i) {
      if (first + thread.pixel(i) >= pixels) break;
      const CellPixel at(first + thread.pixel(i), rows, columns);
      y[i] = pooled_at<kVector>(
          e, u.x.data, u.x.pitch, static_cast<CellPool>(u.pool), u.taps.stride, at, channel, count);
    }
  }
  const auto live = [&](int i) { return count > 0 && first + thread.pixel(i) < pixels; };
  if (u.y) {
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      if (!live(i)) continue;
      store_channels<kVector>(y[i], u.y + (first + thread.pixel(i)) * u.pitch + channel, count);
    }
  }
  if (!u.mean) return;  // all threads

  // Around the tile's first pixel.
  CU_SHARED(V, centre, kMostVectors);
  if (thread.group == 0) centre[thread.vector] = y[0];
  __syncthreads();
  const V around = centre[thread.vector];
  V sums[2] = {};
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (!live(i)) continue;
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const T d = y[i][j] - around[j];
      sums[0][j] += d;
      sums[1][j] = ::fma(d, d, sums[1][j]);
    }
  }
  double* const partials = u.partials + 3 * tile * out;
  const int begin = block % chunks * side;
  merge_columns(thread.vectors, sums, [&](int s, int c, double total) {
    if (begin + c < out) partials[s * out + begin + c] = total;
  });
  if (thread.group == 0) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (j < count) partials[2 * out + channel + j] = static_cast<double>(around[j]);
    }
  }
  if (last_block(tickets + number, static_cast<unsigned>(u.n))) {
    finish_moments(u, pixels, thread.pixels());
  }
}

// The units of a call, and what they need of the workspace.
template <typename T>
std::vector<ForwardUnit<T>> forward_units(const CellShape& s,
                                          const std::vector<CellSourceForward<T>>& sources,
                                          CellWorkspace& workspace) {
  std::vector<ForwardUnit<T>> units;
  const auto add = [&](const CellView<T>& x,
                       int pool,
                       const CellTaps<T>& taps,
                       Pixels<T> y,
                       Moments<T> moments) {
    ForwardUnit<T> u;
    u.x = x;
    u.taps = taps;
    u.pool = pool;
    u.vectors = cell_vectors<T>(taps.out);
    u.y = y.data;
    u.pitch = y.pitch;
    u.mean = moments.mean;
    u.var = moments.var;
    const int64_t tiles = ceil_div(cell_pixels(s, taps.stride), tile_pixels(u.vectors));
    if (u.mean) u.partials = workspace.take<double>(3 * tiles * taps.out);
    u.n = tiles * channel_chunks<T>(taps.out, u.vectors);
    if (u.n > 0 && (u.y || u.mean)) units.push_back(u);
  };
  for (const CellSourceForward<T>& source : sources) {
    const CellView<T> x(source.source.x, source.source.moments);
    for (const auto& f : source.convs) add(x, -1, CellTaps<T>(f.conv), f.y, f.moments);
    for (const auto& f : source.pools) {
      CellTaps<T> taps;
      taps.stride = static_cast<short>(f.stride);
      taps.out = static_cast<int>(s.C);
      add(x, static_cast<int>(f.pool), taps, f.y, f.moments);
    }
  }
  return units;
}

template <typename T>
bool whole_vectors(const CellShape& s, const ForwardUnit<T>& u) {
  constexpr int kWide = kWidth<T>;
  return s.C % kWide == 0 && u.taps.out % kWide == 0 && u.x.pitch % kWide == 0 &&
         u.pitch % kWide == 0 && aligned<kWide>(u.x.data, u.taps.depthwise, u.taps.pointwise, u.y);
}

}  // namespace

template <typename T>
int64_t cell_source_forward_workspace(const CudaContext&,
                                      const CellShape& s,
                                      const std::vector<CellSourceForward<T>>& sources) {
  CellWorkspace workspace(nullptr);
  forward_units(s, sources, workspace);
  return workspace.bytes();
}

template <typename T>
void cell_source_forward(CudaContext& ctx,
                         const CellShape& s,
                         const std::vector<CellSourceForward<T>>& sources,
                         std::byte* memory) {
  CellWorkspace workspace(memory);
  const auto units = forward_units(s, sources, workspace);
  for_cell_tables(units, [&](const CellTable<ForwardUnit<T>>& table) {
    bool vector = true;
    int shared = 0;
    for (int i = 0; i < table.count; ++i) {
      vector = vector && whole_vectors(s, table.entry[i]);
      shared = std::max(shared, forward_shared_bytes<T>(table.entry[i].vectors));
    }
    with_bool(vector, [&](auto whole) {
      CU_LAUNCH((cell_source_forward_kernel<whole, T>),
                table.begin[table.count],
                kBlockSize,
                shared,
                ctx.stream(),
                table,
                CellExtents(s),
                ctx.tickets());
    });
  });
}

#define OCHE_INSTANTIATE(T)                                                                  \
  template void cell_source_forward(                                                         \
      CudaContext&, const CellShape&, const std::vector<CellSourceForward<T>>&, std::byte*); \
  template int64_t cell_source_forward_workspace(                                            \
      const CudaContext&, const CellShape&, const std::vector<CellSourceForward<T>>&);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
