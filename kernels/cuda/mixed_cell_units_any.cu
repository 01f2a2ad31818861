// The units of the backward pass for any taps, channels and alignment.
#include "kernels/cuda/mixed_cell_units.cuh"

namespace oche::kernels::cuda {
namespace {

// One convolution: a block of tiles, a chunk of channels `chunk`, and for the pointwise weights a
// chunk of outputs `out_chunk`.
template <bool kVector, typename T>
struct ConvUnit {
  static constexpr int kWide = Vec<T>::kWidth;
  const CellExtents& e;
  const BackwardUnit<T>& u;
  const TileThread thread;
  const CellTiles tiles;
  const int out, side, chunk, out_chunk;
  const int64_t block;
  Vec<T>*grad_y, *z, *weights, *constants;  // shared

  __device__ ConvUnit(const CellExtents& extents, const BackwardUnit<T>& unit, int number)
      : e(extents),
        u(unit),
        thread(unit.vectors),
        tiles(e.N, e.H, e.W, u.taps.stride, u.vectors),
        out(u.taps.out),
        side(u.vectors * kWide),
        chunk(number % chunks_of(e.C)),
        out_chunk(number / chunks_of(e.C) % out_chunks()),
        block(number / chunks_of(e.C) / out_chunks()) {
    const int tile = thread.pixels() * tile_pitch(thread.vectors);
    grad_y = dynamic_shared<Vec<T>>();
    z = grad_y + tile;
    weights = z + tile;
    constants = weights + thread.vectors * side;
  }
  __device__ int chunks_of(int channels) const { return (channels + side - 1) / side; }
  __device__ int out_chunks() const { return u.wants_pointwise ? chunks_of(out) : 1; }
  __device__ int channel() const { return chunk * side + thread.vector * kWide; }

  // body(first pixel, size) for the tiles of the block.
  template <typename Body>
  __device__ void for_tiles(const Body& body) const {
    for (int64_t t = block * u.steps; t < (block + 1) * u.steps && t < tiles.count; ++t) {
      body(tiles.first(t), tiles.size(t));
    }
  }

  __device__ void convolve(int64_t first_pixel, int size) const {
    const int count = e.C - channel();
    const Normalisation<T> normalised(u.x, channel(), count, e.eps);
#pragma unroll 1
    for (int p = thread.group; p < size; p += thread.groups) {
      Vec<T> value{};
      if (count > 0) {
        const CellPixel at(first_pixel + p, tiles.rows, tiles.columns);
        value = depthwise_at<kVector>(e, u.x, u.taps, normalised, at, channel(), count);
      }
      z[p * tile_pitch(thread.vectors) + thread.vector] = value;
    }
  }

  // The sums over the block of grad_z times what a tap reads; a thread reads what it has written.
  __device__ void depthwise_weights(T* partials) const {
    const int count = e.C - channel();
    const Normalisation<T> normalised(u.x, channel(), count, e.eps);
    for (int tap = 0; tap < u.taps.kernel * u.taps.kernel; ++tap) {
      Vec<T> sum[1] = {};
      const int down = u.taps.offset + tap / u.taps.kernel * u.taps.dilation;
      const int right = u.taps.offset + tap % u.taps.kernel * u.taps.dilation;
      for_tiles([&](int64_t first, int size) {
        for (int p = thread.group; count > 0 && p < size; p += thread.groups) {
          const CellPixel at(first + p, tiles.rows, tiles.columns);
          const int h = at.row * u.taps.stride + down, w = at.column * u.taps.stride + right;
          if (h < 0 || h >= e.H || w < 0 || w >= e.W) continue;
          const int64_t from = ((at.n * e.H + h) * e.W + w) * u.x.pitch + channel();
          Vec<T> v = normalised(load_channels<kVector, kWide>(u.x.data + from, count));
          v = gated(v, v);
          const T* const grad = u.grad + (first + p) * e.C + channel();
          sum[0] = fma(v, load_channels<kVector, kWide>(grad, count), sum[0]);
        }
      });
      merge_columns(thread.vectors, sum, [&](int, int c, double total) {
        const int64_t at = static_cast<int64_t>(tap) * e.C + chunk * side + c;
        if (chunk * side + c < e.C) partials[at] = static_cast<T>(total);
      });
    }
  }

  __device__ void run() const {
    const int last = chunks_of(out), end = out_chunk == 0 ? last : out_chunk + 1;
    Vec<T> products[kWide] = {};
    bool fetched = false;
    for_tiles([&](int64_t first, int size) {
      Vec<T> grad_z[kPixelsOfThread] = {};
      for (int o = out_chunk; o < end; ++o) {
        __syncthreads();  // the tile before has been read
        if (!fetched || last > 1) {
          fetch_outputs<kVector>(
              e, u, thread, tiles.pixels, chunk * side, o * side, weights, constants);
          __syncthreads();
        }
        fetched = true;
        rebuild<kVector>(u, thread, first, size, o * side, constants, grad_y);
        const bool pointwise = u.wants_pointwise && o == out_chunk;
        if (pointwise) convolve(first, size);
        __syncthreads();
        const int rest = (out - o * side + kWide - 1) / kWide * kWide;
        if (out_chunk == 0) {
          add_product<T>(thread, grad_y, weights, rest < side ? rest : side, grad_z);
        }
        if (pointwise) {
          add_outer_product<T>(thread, OuterThread(thread.vectors), z, grad_y, size, products);
        }
      }
      if (out_chunk == 0) {
        store_grad_z<kVector>(u, thread, first, size, e.C, channel(), grad_z);
      }
    });
    T* const partials = u.partials + block * u.partial_columns(e.C);
    if (u.wants_pointwise) {
      T* const to = partials + u.depthwise_columns(e.C);
      merge_outer_product<T>(
          thread, products, grad_y, [&](int row, int column, const Vec<T>& total) {
            const int c = chunk * side + row, o = out_chunk * side + column * kWide;
            if (c >= e.C || o >= out) return;
            store_channels<kVector>(total, to + static_cast<int64_t>(c) * out + o, out - o);
          });
    }
    if (u.wants_depthwise && out_chunk == 0) depthwise_weights(partials);
  }
};

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_unit_backward_kernel(const __grid_constant__ CellTable<BackwardUnit<T>> table,
                              const __grid_constant__ CellExtents e) {
  const int at = table.find(blockIdx.x), number = static_cast<int>(blockIdx.x - table.begin[at]);
  const BackwardUnit<T>* const u = table.entry + at;
  if (u->pool >= 0) return pool_unit<kVector>(e, u, number);
  ConvUnit<kVector, T>(e, *u, number).run();
}

}  // namespace

template <typename T>
void launch_units_any(CudaContext& ctx,
                      const CellShape& s,
                      const CellTable<BackwardUnit<T>>& table) {
  bool vector = true;
  int shared = 0;
  for (int i = 0; i < table.count; ++i) {
    const BackwardUnit<T>& u = table.entry[i];
    vector = vector && whole_vectors(s, u);
    if (u.pool < 0) shared = std::max(shared, unit_shared_bytes<T>(u.vectors));
  }
  with_bool(vector, [&](auto whole) {
    CU_LAUNCH((cell_unit_backward_kernel<whole, T>),
              table.begin[table.count],
              kBlockSize,
              shared,
              ctx.stream(),
              table,
              CellExtents(s));
  });
}

template void launch_units_any(CudaContext&,
                               const CellShape&,
                               const CellTable<BackwardUnit<float>>&);
template void launch_units_any(CudaContext&,
                               const CellShape&,
                               const CellTable<BackwardUnit<double>>&);

}  // namespace oche::kernels::cuda
