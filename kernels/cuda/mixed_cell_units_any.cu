// The units of the backward pass for any taps, channels and alignment.
#include "kernels/cuda/mixed_cell_units.cuh"

namespace oche::kernels::cuda {
namespace {

// One convolution: a block of tiles and a chunk of channels. Blocks of role 0 compute grad_z and
// from it the depthwise weights' part, those of role r the pointwise weights' for chunk r - 1 of
// the outputs.
template <bool kVector, typename T>
struct ConvUnit {
  static constexpr int kWide = Vec<T>::kWidth;
  const CellExtents& e;
  const BackwardUnit<T>& u;
  const TileThread thread;
  const CellTiles tiles;
  const int out, side, chunk, role, block;
  Vec<T>*grad_y, *z, *weights, *constants;  // shared

  __device__ ConvUnit(const CellExtents& extents, const BackwardUnit<T>& unit, int number)
      : e(extents),
        u(unit),
        thread(unit.taps.vectors),
        tiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors),
        out(u.taps.out),
        side(u.taps.vectors * kWide),
        chunk(number % chunks_of(e.C)),
        role(number / chunks_of(e.C) % roles()),
        block(number / chunks_of(e.C) / roles()) {
    const int tile = thread.pixels() * tile_pitch(thread.vectors);
    grad_y = dynamic_shared<Vec<T>>();
    z = grad_y + tile;
    weights = z + tile;
    constants = weights + thread.vectors * side;
  }
  __device__ int chunks_of(int channels) const { return (channels + side - 1) / side; }
  __device__ int roles() const { return 1 + (u.wants_pointwise ? chunks_of(out) : 0); }
  __device__ T* partials() const {
    return u.partials + static_cast<int64_t>(block) * u.partial_columns(e.C);
  }
  __device__ int channel() const { return chunk * side + thread.vector * kWide; }

  // body(first pixel, size) for the tiles of the block; which tiles there are is computed anew for
  // each, so that it takes no registers in between.
  template <typename Body>
  __device__ void for_tiles(const Body& body) const {
    for (int t = block * u.steps; t < (block + 1) * u.steps; ++t) {
      const CellTiles each(e.N, e.H, e.W, fresh(u.taps.stride), u.taps.vectors);
      if (t >= each.count) break;
      body(each.first(t), each.size(t));
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
      z[p * tile_pitch(thread.vectors) + thread.vector] = rounded(e.products, value);
    }
  }

  // The sums over the block of grad_z times what a tap reads; a thread reads what it has written.
  __device__ void depthwise_weights() const {
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
          Vec<T> v = normalised(u.x.template load<kVector>(from, count));
          v = gated(v, v);
          const T* const grad = u.grad + (first + p) * e.C + channel();
          sum[0] = fma(v, load_channels<kVector, kWide>(grad, count), sum[0]);
        }
      });
      merge_columns(thread.vectors, sum, [&](int, int c, double total) {
        const int64_t at = static_cast<int64_t>(tap) * e.C + chunk * side + c;
        if (chunk * side + c < e.C) partials()[at] = static_cast<T>(total);
      });
    }
  }

  __device__ void input_gradient() const {
    const int chunks = chunks_of(out);
    bool fetched = false;
    for_tiles([&](int64_t first, int size) {
      Vec<T> grad_z[kPixelsOfThread] = {};
      for (int o = 0; o < chunks; ++o) {
        __syncthreads();  // the tile before has been read
        if (!fetched || chunks > 1) {
          fetch_transposed<kVector>(
              e, u, thread, chunk * side, o * side, e.products, thread.vectors, weights);
          fetch_constants(e, u, thread, tiles.pixels, o * side, constants);
          __syncthreads();
        }
        fetched = true;
        rebuild<kVector>(u, thread, first, size, o * side, e.products, constants, grad_y);
        __syncthreads();
        const int rest = (out - o * side + kWide - 1) / kWide * kWide;
        add_product<T>(thread, grad_y, weights, rest < side ? rest : side, grad_z);
      }
      store_grad_z<kVector>(u, thread, first, size, e.C, channel(), grad_z);
    });
  }

  __device__ void pointwise_weights() const {
    const int first_out = (role - 1) * side;
    Vec<T> products[kWide] = {};
    fetch_constants(e, u, thread, tiles.pixels, first_out, constants);
    for_tiles([&](int64_t first, int size) {
      __syncthreads();  // the constants are there, the tile before has been read
      rebuild<kVector>(u, thread, first, size, first_out, e.products, constants, grad_y);
      convolve(first, size);
      __syncthreads();
      add_outer_product<T>(thread, OuterThread(thread.vectors), z, grad_y, size, products);
    });
    T* const to = partials() + u.depthwise_columns(e.C);
    const auto store = [&](int row, int column, const Vec<T>& total) {
      const int c = chunk * side + row, o = first_out + column * kWide;
      if (c >= e.C || o >= out) return;
      store_channels<kVector>(total, to + static_cast<int64_t>(c) * out + o, out - o);
    };
    merge_outer_product<CellProducts::kExact>(thread, products, grad_y, store);
  }
};

// What a block may do, each a function of its own, so that they need not share registers.
template <bool kVector, typename T>
__device__ __attribute__((noinline)) void input_gradient(const CellExtents& e,
                                                         const BackwardUnit<T>& u,
                                                         int number) {
  ConvUnit<kVector, T>(e, u, number).input_gradient();
}
template <bool kVector, typename T>
__device__ __attribute__((noinline)) void depthwise_weights(const CellExtents& e,
                                                            const BackwardUnit<T>& u,
                                                            int number) {
  ConvUnit<kVector, T>(e, u, number).depthwise_weights();
}
template <bool kVector, typename T>
__device__ __attribute__((noinline)) void pointwise_weights(const CellExtents& e,
                                                            const BackwardUnit<T>& u,
                                                            int number) {
  ConvUnit<kVector, T>(e, u, number).pointwise_weights();
}
template <bool kVector, typename T>
__device__ __attribute__((noinline)) void pool_unit_apart(const CellExtents& e,
                                                          const BackwardUnit<T>* u,
                                                          int number) {
  pool_unit<kVector>(e, u, number);
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize, sizeof(T) == 4 ? 2 : 1)
    cell_unit_backward_kernel(const __grid_constant__ CellTable<BackwardUnit<T>> table,
                              const __grid_constant__ CellExtents e) {
  const int at = table.find(blockIdx.x), number = static_cast<int>(blockIdx.x - table.begin[at]);
  const BackwardUnit<T>* const u = table.entry + at;
  if (u->pool >= 0) return pool_unit_apart<kVector>(e, u, number);
  if (ConvUnit<kVector, T>(e, *u, number).role > 0) {
    return pointwise_weights<kVector>(e, *u, number);
  }
  input_gradient<kVector>(e, *u, number);
  if (u->wants_depthwise) depthwise_weights<kVector>(e, *u, number);
}

}  // namespace

template <typename T>
int blocks_any(const CellShape& s, const BackwardUnit<T>& u) {
  if (u.pool >= 0) return u.n;
  const int roles = 1 + (u.wants_pointwise ? channel_chunks<T>(u.taps.out, u.taps.vectors) : 0);
  return u.n * channel_chunks<T>(s.C, u.taps.vectors) * roles;
}

template <typename T>
void launch_units_any(CudaContext& ctx,
                      const CellShape& s,
                      const CellTable<BackwardUnit<T>>& table) {
  bool vector = true;
  int shared = 0;
  for (int i = 0; i < table.count; ++i) {
    const BackwardUnit<T>& u = table.entry[i];
    vector = vector && whole_vectors(s, u);
    if (u.pool < 0) shared = std::max(shared, unit_shared_bytes<T>(u.taps.vectors, u.taps.vectors));
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

#define OCHE_INSTANTIATE(T)                                          \
  template int blocks_any(const CellShape&, const BackwardUnit<T>&); \
  template void launch_units_any(CudaContext&, const CellShape&, const CellTable<BackwardUnit<T>>&);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels::cuda
