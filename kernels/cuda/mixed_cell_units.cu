// What reaches the depthwise output of a cell's convolutions and the values of its pools, and what
// a block of pixels contributes to the gradients of the weights.
#include "kernels/cuda/cell_product.cuh"
#include "kernels/cuda/merges.cuh"
#include "kernels/cuda/mixed_cell_backward.cuh"

namespace oche::kernels::cuda {
namespace {

// grad_y = scale * (g - shift - (y - mean) * slope) of a channel, for the incoming gradient of `u`.
template <typename T>
struct Incoming {
  T scale, shift, mean, slope;
  __device__ Incoming(const BackwardUnit<T>& u, int channel, double pixels, double eps) {
    const T rstd = inverse_deviation(u.y.var[channel], eps);
    const T all = static_cast<T>(pixels);
    scale = (u.weight ? *u.weight : T(1)) * rstd;
    shift = u.sum_g[channel] / all;
    mean = u.y.mean[channel];
    slope = rstd * (u.sum_gx[channel] / all);
  }
};

// The shared memory of a block: two tiles of pixels, the pointwise weights of a chunk, and the
// constants above of each channel.
template <typename T>
struct UnitShared {
  Vec<T>*grad_y, *z, *weights, *constants;
  __device__ UnitShared(int vectors, int pixels) {
    grad_y = dynamic_shared<Vec<T>>();
    z = grad_y + pixels * tile_pitch(vectors);
    weights = z + pixels * tile_pitch(vectors);
    constants = weights + vectors * vectors * Vec<T>::kWidth;
  }
  static int bytes(int vectors) {
    return 2 * tile_bytes(vectors) + (vectors * vectors * kWidth<T> + 4 * vectors) * 16;
  }
};

// One convolution: a block of pixels, a chunk of channels `chunk`, and for the pointwise weights a
// chunk of outputs `out_chunk`.
template <bool kVector, typename T>
struct ConvUnit {
  static constexpr int kWide = Vec<T>::kWidth;
  const CellExtents& e;
  const BackwardUnit<T>& u;
  const TileThread thread;
  const int rows, columns, out, side, chunk, out_chunk;
  const int64_t pixels, block, base;
  const UnitShared<T> shared;

  __device__ ConvUnit(const CellExtents& extents, const BackwardUnit<T>& unit, int number)
      : e(extents),
        u(unit),
        thread(unit.vectors),
        rows((e.H + u.taps.stride - 1) / u.taps.stride),
        columns((e.W + u.taps.stride - 1) / u.taps.stride),
        out(u.taps.out),
        side(u.vectors * kWide),
        chunk(number % chunks_of(e.C)),
        out_chunk(number / chunks_of(e.C) % out_chunks()),
        pixels(e.N * rows * columns),
        block(number / chunks_of(e.C) / out_chunks()),
        base(block * u.steps * thread.pixels()),
        shared(unit.vectors, thread.pixels()) {}
  __device__ int chunks_of(int channels) const { return (channels + side - 1) / side; }
  __device__ int out_chunks() const { return u.wants_pointwise ? chunks_of(out) : 1; }

  __device__ int channel() const { return chunk * side + thread.vector * kWide; }
  __device__ int place(int i) const {
    return thread.pixel(i) * tile_pitch(thread.vectors) + thread.vector;
  }

  // The weights between the chunk's channels and the outputs from `first` on, and their constants.
  __device__ void fetch_weights(int first) const {
    T* const to = &shared.weights[0][0];
    for (int i = static_cast<int>(threadIdx.x); i < side * thread.vectors; i += kBlockSize) {
      // Neighbouring threads read neighbouring outputs of a channel.
      const int c = i / thread.vectors, o = i % thread.vectors * kWide;
      const int64_t from = static_cast<int64_t>(chunk * side + c) * out + first + o;
      Vec<T> v{};
      if (chunk * side + c < e.C && first + o < out) {
        v = load_channels<kVector, kWide>(u.taps.pointwise + from, out - first - o);
      }
#pragma unroll
      for (int j = 0; j < kWide; ++j) to[(o + j) * side + c] = v[j];
    }
    T* const constants = &shared.constants[0][0];
    for (int o = static_cast<int>(threadIdx.x); o < side; o += kBlockSize) {
      if (first + o >= out) break;
      const Incoming<T> in(u, first + o, static_cast<double>(pixels), e.eps);
      constants[o] = in.scale;
      constants[side + o] = in.shift;
      constants[2 * side + o] = in.mean;
      constants[3 * side + o] = in.slope;
    }
  }

  // grad_y of the tile from `first_pixel` on, for the outputs from `first` on.
  __device__ void rebuild(int64_t first_pixel, int first) const {
    const int o = first + thread.vector * kWide, count = out - o;
    const Vec<T>* const constants = shared.constants + thread.vector;
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const int64_t pixel = first_pixel + thread.pixel(i);
      Vec<T> value{};
      if (count > 0 && pixel < pixels) {
        const Vec<T> g = load_channels<kVector, kWide>(u.g + pixel * u.pitch + o, count);
        const Vec<T> y = load_channels<kVector, kWide>(u.y.data + pixel * u.y.pitch + o, count);
#pragma unroll
        for (int j = 0; j < kWide; ++j) {
          if (j >= count) break;
          const T deviation = y[j] - constants[2 * thread.vectors][j];
          value[j] = constants[0][j] * (g[j] - constants[thread.vectors][j] -
                                        deviation * constants[3 * thread.vectors][j]);
        }
      }
      shared.grad_y[place(i)] = value;
    }
  }

  __device__ void convolve(int64_t first_pixel) const {
    const int count = e.C - channel();
    const Normalisation<T> normalised(u.x, channel(), count, e.eps);
#pragma unroll 1
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const int64_t pixel = first_pixel + thread.pixel(i);
      Vec<T> value{};
      if (count > 0 && pixel < pixels) {
        const CellPixel at(pixel, rows, columns);
        value = depthwise_at<kVector>(e, u.x, u.taps, normalised, at, channel(), count);
      }
      shared.z[place(i)] = value;
    }
  }

  __device__ void store_grad_z(int64_t first_pixel, const Vec<T> (&grad)[kPixelsOfThread]) const {
    const int count = e.C - channel();
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const int64_t pixel = first_pixel + thread.pixel(i);
      if (count <= 0 || pixel >= pixels) continue;
      store_channels<kVector>(grad[i], u.grad + pixel * e.C + channel(), count);
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
      for (int p = thread.group; count > 0 && p < u.steps * thread.pixels(); p += thread.groups) {
        if (base + p >= pixels) break;
        const CellPixel at(base + p, rows, columns);
        const int h = at.row * u.taps.stride + down, w = at.column * u.taps.stride + right;
        if (h < 0 || h >= e.H || w < 0 || w >= e.W) continue;
        const int64_t from = ((at.n * e.H + h) * e.W + w) * u.x.pitch + channel();
        Vec<T> v = normalised(load_channels<kVector, kWide>(u.x.data + from, count));
        v = gated(v, v);
        const T* const grad = u.grad + (base + p) * e.C + channel();
        sum[0] = fma(v, load_channels<kVector, kWide>(grad, count), sum[0]);
      }
      merge_columns(thread.vectors, sum, [&](int, int c, double total) {
        const int64_t at = static_cast<int64_t>(tap) * e.C + chunk * side + c;
        if (chunk * side + c < e.C) partials[at] = static_cast<T>(total);
      });
    }
  }

  __device__ void run() const {
    const int last = chunks_of(out);
    Vec<T> products[kWide] = {};
    for (int step = 0; step < u.steps; ++step) {
      const int64_t first_pixel = base + step * thread.pixels();
      Vec<T> grad_z[kPixelsOfThread] = {};
      for (int o = out_chunk == 0 ? 0 : out_chunk; o < (out_chunk == 0 ? last : out_chunk + 1);
           ++o) {
        __syncthreads();  // the tile before has been read
        if (step == 0 || last > 1) {
          fetch_weights(o * side);
          __syncthreads();
        }
        rebuild(first_pixel, o * side);
        const bool pointwise = u.wants_pointwise && o == out_chunk;
        if (pointwise) convolve(first_pixel);
        __syncthreads();
        const int rest = (out - o * side + kWide - 1) / kWide * kWide;
        if (out_chunk == 0) {
          add_product<T>(thread, shared.grad_y, shared.weights, rest < side ? rest : side, grad_z);
        }
        if (pointwise) {
          add_outer_product<T>(
              thread, OuterThread(thread.vectors), shared.z, shared.grad_y, products);
        }
      }
      if (out_chunk == 0) store_grad_z(first_pixel, grad_z);
    }
    T* const partials = u.partials + block * u.partial_columns(e.C);
    if (u.wants_pointwise) {
      T* const to = partials + u.depthwise_columns(e.C);
      merge_outer_product<T>(
          thread, products, shared.grad_y, [&](int row, int column, const Vec<T>& total) {
            const int c = chunk * side + row, o = out_chunk * side + column * kWide;
            if (c >= e.C || o >= out) return;
            store_channels<kVector>(total, to + static_cast<int64_t>(c) * out + o, out - o);
          });
    }
    if (u.wants_depthwise && out_chunk == 0) depthwise_weights(partials);
  }
};

// What reaches the values of a pool from all its consumers, the units from `u` on, and which tap
// each maximum is.
template <bool kVector, typename T>
__device__ void pool_unit(const CellExtents& e, const BackwardUnit<T>* u, int number) {
  constexpr int kWide = Vec<T>::kWidth;
  const TileThread thread(u->vectors);
  const int rows = (e.H + u->taps.stride - 1) / u->taps.stride;
  const int columns = (e.W + u->taps.stride - 1) / u->taps.stride;
  const int64_t pixels = e.N * rows * columns;
  const int side = u->vectors * kWide, chunks = (e.C + side - 1) / side;
  const int channel = number % chunks * side + thread.vector * kWide, count = e.C - channel;
  const int64_t first = static_cast<int64_t>(number / chunks) * thread.pixels();
  if (count <= 0) return;
  const auto live = [&](int i) { return first + thread.pixel(i) < pixels; };
  const auto place = [&](int i) { return (first + thread.pixel(i)) * e.C + channel; };
  Vec<T> value[kPixelsOfThread] = {}, grad[kPixelsOfThread] = {};
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (!live(i)) continue;
    const CellPixel at(first + thread.pixel(i), rows, columns);
    const auto pool = static_cast<CellPool>(u->pool);
    Vec<uint8_t, kWide> winner{};
    value[i] = pooled_at<kVector>(
        e, u->x.data, u->x.pitch, pool, u->taps.stride, at, channel, count, &winner);
    if (u->winner) store_channels<kVector>(winner, u->winner + place(i), count);
    if (u->add) grad[i] = load_channels<kVector, kWide>(u->grad + place(i), count);
  }
  for (int k = 0; k <= u->follow; ++k) {
    const BackwardUnit<T>& in = u[k];
    Vec<T> g[kPixelsOfThread] = {};
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      if (!live(i)) continue;
      const T* const from = in.g + (first + thread.pixel(i)) * in.pitch + channel;
      g[i] = load_channels<kVector, kWide>(from, count);
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (j >= count) break;
      const Incoming<T> c(in, channel + j, static_cast<double>(pixels), e.eps);
#pragma unroll
      for (int i = 0; i < kPixelsOfThread; ++i) {
        grad[i][j] += c.scale * (g[i][j] - c.shift - (value[i][j] - c.mean) * c.slope);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (live(i)) store_channels<kVector>(grad[i], u->grad + place(i), count);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_unit_backward_kernel(const __grid_constant__ CellTable<BackwardUnit<T>> table,
                              const __grid_constant__ CellExtents e) {
  const int at = table.find(blockIdx.x), number = static_cast<int>(blockIdx.x - table.begin[at]);
  const BackwardUnit<T>* const u = table.entry + at;
  if (u->pool >= 0) return pool_unit<kVector>(e, u, number);
  ConvUnit<kVector, T>(e, *u, number).run();
}

template <typename T>
bool whole_vectors(const CellShape& s, const BackwardUnit<T>& u) {
  constexpr int kWide = kWidth<T>;
  return s.C % kWide == 0 && u.taps.out % kWide == 0 && u.x.pitch % kWide == 0 &&
         u.y.pitch % kWide == 0 && u.pitch % kWide == 0 &&
         aligned<kWide>(u.x.data, u.y.data, u.g, u.taps.depthwise, u.taps.pointwise);
}

}  // namespace

template <typename T>
void launch_units(CudaContext& ctx, const CellShape& s, const CellTable<BackwardUnit<T>>& table) {
  bool vector = true;
  int shared = 0;
  for (int i = 0; i < table.count; ++i) {
    vector = vector && whole_vectors(s, table.entry[i]);
    if (table.entry[i].pool < 0) {
      shared = std::max(shared, UnitShared<T>::bytes(table.entry[i].vectors));
    }
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

template void launch_units(CudaContext&, const CellShape&, const CellTable<BackwardUnit<float>>&);
template void launch_units(CudaContext&, const CellShape&, const CellTable<BackwardUnit<double>>&);

}  // namespace oche::kernels::cuda
