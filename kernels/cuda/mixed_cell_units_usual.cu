// The units of the backward pass for usual convolutions: a tile holds all channels of both sides.
#include "kernels/cuda/cell_window.cuh"
#include "kernels/cuda/mixed_cell_units.cuh"

namespace oche::kernels::cuda {
namespace {

// Vectors that the window of a tile takes.
template <typename T>
__host__ __device__ int unit_window(const CellExtents& e, const BackwardUnit<T>& u) {
  if (!u.wants_depthwise && !u.wants_pointwise) return 0;
  const CellTiles tiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors);
  const int high = u.taps.offset + (u.taps.kernel - 1) * u.taps.dilation + 1;
  const int rows = window_rows(tiles, e.H, u.taps.stride, u.taps.offset, high);
  return window_vectors(rows, e.W, e.C / (16 / static_cast<int>(sizeof(T))));
}

// For the depthwise weights a thread has one channel and adds up all taps of some strips: into
// `sums` of (taps, kBlockSize) in shared memory, since there is no room for so many in registers
// beside the rest.
template <typename T>
struct TapSums {
  T* sums;
  int side, channel, lane, lanes;

  __device__ TapSums(int side_of_tile, T* memory)
      : sums(memory),
        side(side_of_tile),
        channel(static_cast<int>(threadIdx.x) % side),
        lane(static_cast<int>(threadIdx.x) / side),
        lanes(kBlockSize / side) {}
  __device__ T& operator[](int tap) const { return sums[tap * kBlockSize + threadIdx.x]; }

  // Adds grad_z, whose pixels lie `pitch` elements apart, times what the taps read of the window.
  __device__ void add(const CellExtents& e,
                      const CellTaps<T>& taps,
                      const CellWindow<T>& window,
                      const TileRows& rows,
                      int pitch,
                      const T* grad_z) const {
    if (channel >= e.C) return;
    visit_taps(taps.kernel, taps.stride, taps.dilation, [&](auto fixed) {
      using Fixed = decltype(fixed);
      constexpr int kTaps = Fixed::kTaps;
      if constexpr (kTaps > 1) {
#pragma unroll 1
        for (int r = 0; r < kTaps; ++r) {
          T total[kTaps];
#pragma unroll
          for (int s = 0; s < kTaps; ++s) total[s] = (*this)[r * kTaps + s];
          for_strips(lane, lanes, rows, [&](const TileStrip& at) {
            const int h = at.row * Fixed::kStride + taps.offset + r * Fixed::kDilation;
            if (h < 0 || h >= e.H) return;
            T g[kStrip], v[Fixed::kColumns];
#pragma unroll
            for (int k = 0; k < kStrip; ++k) {
              g[k] = k < at.width ? grad_z[(at.pixel + k) * pitch + channel] : T(0);
            }
            const int left = at.column * Fixed::kStride + taps.offset;
            load_strip<Fixed>(v, &window.row(at.image, h)[0][0] + channel, left, e.W, e.C);
#pragma unroll
            for (int s = 0; s < kTaps; ++s) {
#pragma unroll
              for (int k = 0; k < kStrip; ++k) {
                total[s] = ::fma(v[Fixed::column(k, s)], g[k], total[s]);
              }
            }
          });
#pragma unroll
          for (int s = 0; s < kTaps; ++s) (*this)[r * kTaps + s] = total[s];
        }
      }
    });
  }
};

// One of these sums over a block of tiles, of the terms that exist: for one that is a NaN, which
// zeros beside a row may have made.
template <typename T>
__device__ __attribute__((noinline)) T tap_again(
    const CellExtents& e, const BackwardUnit<T>& u, int block, int r, int s, int channel) {
  const CellTiles tiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors);
  T sum = 0;
  for (int t = block * u.steps; t < (block + 1) * u.steps && t < tiles.count; ++t) {
#pragma unroll 1
    for (int p = 0; p < tiles.size(t); ++p) {
      const CellPixel at(tiles.first(t) + p, tiles.rows, tiles.columns);
      const int h = at.row * u.taps.stride + u.taps.offset + r * u.taps.dilation;
      const int w = at.column * u.taps.stride + u.taps.offset + s * u.taps.dilation;
      if (h < 0 || h >= e.H || w < 0 || w >= e.W) continue;
      T x = u.x.template load<false>(((at.n * e.H + h) * e.W + w) * u.x.pitch + channel, 1)[0];
      if (u.x.mean) {
        x = (x - u.x.mean[channel]) * inverse_deviation(u.x.var[channel], e.eps);
      }
      if (x <= 0) x = 0;
      sum = ::fma(x, u.grad[(tiles.first(t) + p) * e.C + channel], sum);
    }
  }
  return sum;
}

// Adds up the lanes of each channel, in order.
template <typename T>
__device__ void merge_taps(
    const CellExtents& e, const BackwardUnit<T>& u, const TapSums<T>& of, int block, T* partials) {
  __syncthreads();
  const int kernel = u.taps.kernel;
  for (int i = static_cast<int>(threadIdx.x); i < kernel * kernel * of.side; i += kBlockSize) {
    const int tap = i / of.side, c = i % of.side;
    if (c >= e.C) continue;
    double total = 0;
    for (int lane = 0; lane < of.lanes; ++lane) {
      total += of.sums[tap * kBlockSize + lane * of.side + c];
    }
    T value = static_cast<T>(total);
    if (value != value) value = tap_again(e, u, block, tap / kernel, tap % kernel, c);
    partials[tap * e.C + c] = value;
  }
}

template <CellProducts kProducts, typename T>
__global__ void __launch_bounds__(kBlockSize, 2)
    cell_unit_backward_usual_kernel(const __grid_constant__ CellTable<BackwardUnit<T>> table,
                                    const __grid_constant__ CellExtents e) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const int at = table.find(blockIdx.x), block = static_cast<int>(blockIdx.x - table.begin[at]);
  const BackwardUnit<T>& u = table.entry[at];
  if (u.pool >= 0) return pool_unit<true>(e, &u, block);

  const TileThread thread(u.taps.vectors);
  const CellTiles all(e.N, e.H, e.W, u.taps.stride, u.taps.vectors);
  const int pitch = tile_pitch(thread.vectors), tile_vectors = thread.pixels() * pitch;
  const int pitch_of_weights = weights_pitch(kProducts, thread.vectors);
  V* const grad_y = dynamic_shared<V>();
  V* const z = grad_y + tile_vectors;
  V* const weights = z + tile_vectors;
  V* const constants = weights + pitch_of_weights * thread.vectors * kWide;
  V* const window_memory = constants + 4 * thread.vectors;
  fetch_transposed<true>(e, u, thread, 0, 0, kProducts, pitch_of_weights, weights);
  fetch_constants(e, u, thread, all.pixels, 0, constants);

  V products[kWide] = {};
  const TapSums<T> taps(thread.vectors * kWide, &window_memory[unit_window(e, u)][0]);
  if (u.wants_depthwise) {
    for (int tap = 0; tap < u.taps.kernel * u.taps.kernel; ++tap) taps[tap] = 0;
  }
  const int begin = block * u.steps, rest = all.count - begin;
  const int end = begin + (rest < u.steps ? rest : u.steps);
  for (int tile = begin; tile < end; ++tile) {
    // Anew for each, so that it takes no registers in between.
    const CellTiles tiles(e.N, e.H, e.W, fresh(u.taps.stride), u.taps.vectors);
    const int64_t first = tiles.first(tile);
    const int size = tiles.size(tile);
    const TileRows rows(tiles, tile, size);
    const int high = u.taps.offset + (u.taps.kernel - 1) * u.taps.dilation + 1;
    const CellWindow<T> window(e, rows, u.taps.stride, u.taps.offset, high, window_memory);
    __syncthreads();  // the constants are there, the tile before has been read
    if (u.wants_depthwise || u.wants_pointwise)
      window.fetch(e, u.x, thread, rows, tiles.image(tile));
    rebuild<true>(u, thread, first, size, 0, kProducts, constants, grad_y);
    __syncthreads();
    if (u.wants_pointwise) convolve<kProducts>(e, window, u.taps, thread, rows, tile, z);
    const auto add_to_products = [&] {
      if (!u.wants_pointwise) return;
      __syncthreads();
      multiply_outer<kProducts>(thread, z, grad_y, size, products);
    };
    V grad_z[kPixelsOfThread] = {};
    if constexpr (kProducts != CellProducts::kExact) add_to_products();  // before grad_z is in z
    multiply<kProducts>(thread, grad_y, weights, u.taps.out, z, grad_z);
    store_grad_z<true>(u, thread, first, size, e.C, thread.vector * kWide, grad_z);
    if constexpr (kProducts == CellProducts::kExact) add_to_products();
    if (u.wants_depthwise) {
      if constexpr (kProducts == CellProducts::kExact) {  // else it has come through there
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kPixelsOfThread; ++i) {
          z[thread.pixel(i) * pitch + thread.vector] = grad_z[i];
        }
        __syncthreads();
      }
      taps.add(e, u.taps, window, rows, pitch * kWide, &z[0][0]);
    }
  }
  T* const partials = u.partials + static_cast<int64_t>(block) * u.partial_columns(e.C);
  if (u.wants_pointwise) {
    T* const to = partials + u.depthwise_columns(e.C);
    merge_outer_product<kProducts>(thread, products, grad_y, [&](int c, int column, const V& v) {
      if (c >= e.C || column * kWide >= u.taps.out) return;
      v.store(to + c * u.taps.out + column * kWide);
    });
  }
  if (u.wants_depthwise) merge_taps(e, u, taps, block, partials);
}

}  // namespace

// What the kernel for usual convolutions asks for.
template <typename T>
int64_t usual_shared_bytes(const CellShape& s, const BackwardUnit<T>& u) {
  const int64_t taps = u.wants_depthwise ? u.taps.kernel * u.taps.kernel : 0;
  const int pitch = weights_pitch(products_of<T>(s), u.taps.vectors);
  return unit_shared_bytes<T>(u.taps.vectors, pitch) +
         unit_window(CellExtents(s), u) * int64_t{16} +
         taps * kBlockSize * static_cast<int64_t>(sizeof(T));
}

template <typename T>
bool usual_unit(const CudaContext& ctx, const CellShape& s, const BackwardUnit<T>& u) {
  constexpr int64_t kMost = 112 << 10;  // so that an H100 holds two blocks
  if (!whole_vectors(s, u)) return false;
  if (u.pool >= 0) return true;
  const CellExtents e(s);
  const int channels = u.taps.vectors * kWidth<T>;
  return usual_taps(u.taps) && usual_vectors<T>(s, u.taps.vectors) && e.C <= channels &&
         u.taps.out <= channels &&
         CellTiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors).tall > 0 &&
         usual_shared_bytes(s, u) <= std::min<int64_t>(kMost, ctx.shared_bytes());
}

template <typename T>
void launch_units_usual(CudaContext& ctx,
                        const CellShape& s,
                        const CellTable<BackwardUnit<T>>& table) {
  int64_t shared = 0;
  for (int i = 0; i < table.count; ++i) {
    if (table.entry[i].pool < 0) shared = std::max(shared, usual_shared_bytes(s, table.entry[i]));
  }
  with_products<T>(s, [&](auto products) {
    CU_LAUNCH((cell_unit_backward_usual_kernel<products, T>),
              table.begin[table.count],
              kBlockSize,
              shared,
              ctx.stream(),
              table,
              CellExtents(s));
  });
}

#define OCHE_INSTANTIATE(T)                                                               \
  template bool usual_unit(const CudaContext&, const CellShape&, const BackwardUnit<T>&); \
  template void launch_units_usual(                                                       \
      CudaContext&, const CellShape&, const CellTable<BackwardUnit<T>>&);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels::cuda
