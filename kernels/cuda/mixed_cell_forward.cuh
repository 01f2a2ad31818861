// What the two kernels of the forward pass of a cell's sources share: for usual convolutions, and
// for any.
#pragma once

#include "kernels/cuda/cell_product.cuh"
#include "kernels/cuda/merges.cuh"

namespace oche::kernels::cuda {

// A convolution or a pool of a source. The `follow` convolutions after one are computed by the same
// blocks, from what they have read of the source.
template <typename T>
struct ForwardUnit {
  CellView<T> x;
  CellTaps<T> taps;
  void* y = nullptr;                  // nullptr: not wanted
  T *mean = nullptr, *var = nullptr;  // the same
  int pitch = 0;                      // of y
  int n = 0;  // blocks: tiles of pixels * chunks of channels; 0 of those that follow another
  unsigned sums = 0;    // where its partial sums lie, in lines of the workspace
  int8_t pool = -1;     // a CellPool, or a convolution
  bool narrow = false;  // y is of bfloat16
  short follow = 0;
};
// Partial sums, (tiles, 3, out): sums and squares around the third.
constexpr int kLine = 64 / sizeof(double);
template <typename T>
__device__ double* sums_of(const ForwardUnit<T>& u, double* workspace) {
  return workspace + static_cast<int64_t>(u.sums) * kLine;
}

// The pointwise weights of `depth` channels from `chunk` on for a chunk of outputs, to rows of
// `pitch` vectors in shared memory: a factor of `products`.
template <bool kVector, typename T>
__device__ void fetch_weights(const CellTaps<T>& taps,
                              const TileThread& thread,
                              int channels,
                              int chunk,
                              int depth,
                              int first_out,
                              CellProducts products,
                              int pitch,
                              Vec<T>* weights) {
  constexpr int kWide = Vec<T>::kWidth;
  const int out = first_out + thread.vector * kWide;
  for (int d = thread.group; d < depth; d += thread.groups) {
    const bool inside = chunk + d < channels && out < taps.out;
    const T* const from = taps.pointwise + static_cast<int64_t>(chunk + d) * taps.out + out;
    const Vec<T> v = inside ? load_channels<kVector, kWide>(from, taps.out - out) : Vec<T>{};
    weights[d * pitch + thread.vector] = rounded(products, v);
  }
}

// Where a block works.
struct ForwardPlace {
  const TileThread thread;
  const CellTiles tiles;
  int64_t first;          // pixel
  int tile, size, begin;  // pixels; channel of the outputs

  template <typename T>
  __device__ ForwardPlace(const CellExtents& e, const ForwardUnit<T>& u, int block)
      : thread(u.taps.vectors), tiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors) {
    const int side = thread.vectors * Vec<T>::kWidth, chunks = (u.taps.out + side - 1) / side;
    tile = block / chunks;
    begin = block % chunks * side;
    first = tiles.first(tile);
    size = tiles.size(tile);
  }
};

// Stores a tile of y, and its sums around its first pixel.
template <bool kVector, typename T>
__device__ void leave(const ForwardUnit<T>& u,
                      const ForwardPlace& at,
                      double* workspace,
                      const Vec<T> (&y)[kPixelsOfThread]) {
  using V = Vec<T>;
  constexpr int kWide = V::kWidth;
  const TileThread& thread = at.thread;
  const int out = u.taps.out, channel = at.begin + thread.vector * kWide, count = out - channel;
  const auto live = [&](int i) { return count > 0 && thread.pixel(i) < at.size; };
  if (u.y) {
    visit_stored<T>(u.y, u.narrow, [&](auto* data) {
#pragma unroll
      for (int i = 0; i < kPixelsOfThread; ++i) {
        if (!live(i)) continue;
        const int64_t to = (at.first + thread.pixel(i)) * u.pitch + channel;
        store_stored<kVector>(y[i], data + to, count);
      }
    });
  }
  if (!u.mean) return;  // all threads
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
  double* const partials = sums_of(u, workspace) + int64_t{3} * at.tile * out;
  merge_columns(thread.vectors, sums, [&](int s, int c, double total) {
    if (at.begin + c < out) partials[s * out + at.begin + c] = total;
  });
  if (thread.group != 0) return;
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    if (j < count) partials[2 * out + channel + j] = static_cast<double>(around[j]);
  }
}

// Mean and variance of each channel, from the partial sums of all tiles.
template <typename T>
__device__ void finish_moments(const ForwardUnit<T>& u,
                               const CellTiles& tiles,
                               const double* partials) {
  const int64_t out = u.taps.out;
  merge_tiles<2>(
      tiles.count,
      out,
      [&](int64_t t, int64_t c, double(&sums)[2]) {
        // Around the first tile's centre.
        const double* const from = partials + 3 * t * out + c;
        const double count = tiles.size(static_cast<int>(t)),
                     d = from[2 * out] - partials[2 * out + c];
        sums[0] += from[0] + count * d;
        sums[1] += from[out] + d * (2 * from[0] + count * d);
      },
      [&](int64_t c, const double(&sums)[2]) {
        const double all = static_cast<double>(tiles.pixels), mean = sums[0] / all;
        const double var = sums[1] / all - mean * mean;
        u.mean[c] = static_cast<T>(partials[2 * out + c] + mean);
        u.var[c] = static_cast<T>(var < 0 ? 0.0 : var);
      });
}

// Of a unit and those that follow it, once all their blocks have come here. Not inlined, so that
// nothing it needs stays in registers before.
template <typename T>
__device__ __attribute__((noinline)) void finish(const CellExtents& e,
                                                 const ForwardUnit<T>* u,
                                                 double* workspace,
                                                 unsigned* ticket) {
  if (!last_block(ticket, static_cast<unsigned>(u->n))) return;
  const CellTiles tiles(e.N, e.H, e.W, u->taps.stride, u->taps.vectors);
  for (int k = 0; k <= u->follow; ++k) {
    if (u[k].mean) finish_moments(u[k], tiles, sums_of(u[k], workspace));
  }
}

// A tile of a pool.
template <bool kVector, typename T>
__device__ void pool_tile(const CellExtents& e,
                          const ForwardUnit<T>& u,
                          const ForwardPlace& at,
                          double* workspace) {
  const int channel = at.begin + at.thread.vector * Vec<T>::kWidth, count = u.taps.out - channel;
  Vec<T> y[kPixelsOfThread] = {};
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    if (count <= 0 || at.thread.pixel(i) >= at.size) continue;
    const CellPixel pixel(at.first + at.thread.pixel(i), at.tiles.rows, at.tiles.columns);
    const auto pool = static_cast<CellPool>(u.pool);
    y[i] = pooled_at<kVector>(e, u.x, pool, u.taps.stride, pixel, channel, count);
  }
  leave<kVector>(u, at, workspace, y);
}

// The units of one launch, usual ones or any.
template <typename T>
using ForwardTable = CellTable<ForwardUnit<T>>;
static_assert(ForwardTable<float>::kEntries >= 36, "both inputs of a cell with four nodes");
template <typename T>
void launch_forward_usual(
    CudaContext&, const CellShape&, const ForwardTable<T>&, int shared, double* workspace);

}  // namespace oche::kernels::cuda
