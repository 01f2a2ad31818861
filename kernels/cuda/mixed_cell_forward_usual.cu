// The forward pass of a cell's sources for its usual convolutions: a block brings the rows of the
// source that its tile needs into shared memory once, and computes several convolutions of them.
#include "kernels/cuda/cell_window.cuh"
#include "kernels/cuda/mixed_cell_forward.cuh"

namespace oche::kernels::cuda {
namespace {

template <CellProducts kProducts, typename T>
__global__ void __launch_bounds__(kBlockSize, 2)
    cell_source_forward_usual_kernel(const __grid_constant__ ForwardTable<T> table,
                                     const __grid_constant__ CellExtents e,
                                     double* workspace,
                                     unsigned* tickets) {
  using V = Vec<T>;
  const int number = table.find(blockIdx.x);
  const ForwardUnit<T>* const u = table.entry + number;
  const ForwardPlace at(e, *u, static_cast<int>(blockIdx.x - table.begin[number]));
  if (u->pool >= 0) {
    pool_tile<true>(e, *u, at, workspace);
  } else {
    const TileThread& thread = at.thread;
    V* const z = dynamic_shared<V>();
    V* const weights = z + thread.pixels() * tile_pitch(thread.vectors);
    const int depth = weights_rows<T>(kProducts, thread.vectors, e.C);
    const int pitch = weights_pitch(kProducts, thread.vectors);
    const TileRows rows(at.tiles, at.tile, at.size);
    int low = u->taps.offset, high = low;
    for (int k = 0; k <= u->follow; ++k) {
      const CellTaps<T>& taps = u[k].taps;
      const int end = taps.offset + (taps.kernel - 1) * taps.dilation + 1;
      low = taps.offset < low ? taps.offset : low;
      high = end > high ? end : high;
    }
    const CellWindow<T> window(e, rows, u->taps.stride, low, high, weights + pitch * depth);
    window.fetch(e, u->x, thread, rows, at.tiles.image(at.tile));
    for (int k = 0; k <= u->follow; ++k) {
      __syncthreads();  // the convolution before has been read
      convolve<kProducts>(e, window, u[k].taps, thread, rows, at.tile, z);
      fetch_weights<true>(u[k].taps, thread, e.C, 0, depth, at.begin, kProducts, pitch, weights);
      __syncthreads();
      V y[kPixelsOfThread] = {};
      multiply<kProducts>(thread, z, weights, e.C, z, y);
      leave<true>(u[k], at, workspace, y);
    }
  }
  finish(e, u, workspace, tickets + number);
}

}  // namespace

template <typename T>
void launch_forward_usual(CudaContext& ctx,
                          const CellShape& s,
                          const ForwardTable<T>& table,
                          int shared,
                          double* workspace) {
  with_products<T>(s, [&](auto products) {
    CU_LAUNCH((cell_source_forward_usual_kernel<products, T>),
              table.begin[table.count],
              kBlockSize,
              shared,
              ctx.stream(),
              table,
              CellExtents(s),
              workspace,
              ctx.tickets());
  });
}

template void launch_forward_usual(
    CudaContext&, const CellShape&, const ForwardTable<float>&, int, double*);
template void launch_forward_usual(
    CudaContext&, const CellShape&, const ForwardTable<double>&, int, double*);

}  // namespace oche::kernels::cuda
