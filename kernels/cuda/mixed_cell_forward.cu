// The forward pass of a cell's sources on a CUDA device: depthwise and pointwise convolution of a
// tile of pixels in one block, with the statistics of what comes out. Here the kernel for any taps,
// channels and alignment, and which kernel takes what.
#include "kernels/cuda/cell_window.cuh"
#include "kernels/cuda/mixed_cell_forward.cuh"

namespace oche::kernels {
namespace {

using namespace cuda;

constexpr int kMostGroup = 4;              // convolutions of a block
constexpr int kBlocksOfProcessor = 6;      // that are to be had before blocks take several
constexpr size_t kMostShared = 100 << 10;  // bytes, for the usual ones

// y of a tile: z, the depthwise convolution of `side` channels at a time, times the pointwise one.
template <bool kVector, typename T>
__device__ void convolve_any(const CellExtents& e,
                             const ForwardUnit<T>& u,
                             const ForwardPlace& at,
                             Vec<T> (&sum)[kPixelsOfThread]) {
  constexpr int kWide = Vec<T>::kWidth;
  const TileThread& thread = at.thread;
  Vec<T>* const z = dynamic_shared<Vec<T>>();
  Vec<T>* const weights = z + thread.pixels() * tile_pitch(thread.vectors);
  const int side = thread.vectors * kWide;
  for (int chunk = 0; chunk < e.C; chunk += side) {
    const int channel = chunk + thread.vector * kWide, count = e.C - channel;
    const int rest = (e.C - chunk + kWide - 1) / kWide * kWide, depth = rest < side ? rest : side;
    const Normalisation<T> normalised(u.x, channel, count, e.eps);
    __syncthreads();  // the chunk before has been read
#pragma unroll 1
    for (int p = thread.group; p < at.size; p += thread.groups) {
      Vec<T> value{};
      if (count > 0) {
        const CellPixel pixel(at.first + p, at.tiles.rows, at.tiles.columns);
        value = depthwise_at<kVector>(e, u.x, u.taps, normalised, pixel, channel, count);
      }
      z[p * tile_pitch(thread.vectors) + thread.vector] = rounded(e.products, value);
    }
    fetch_weights<kVector>(
        u.taps, thread, e.C, chunk, depth, at.begin, e.products, thread.vectors, weights);
    __syncthreads();
    add_product<T>(thread, z, weights, depth, sum);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlockSize)
    cell_source_forward_kernel(const __grid_constant__ ForwardTable<T> table,
                               const __grid_constant__ CellExtents e,
                               double* workspace,
                               unsigned* tickets) {
  const int number = table.find(blockIdx.x);
  const ForwardUnit<T>* const u = table.entry + number;
  const ForwardPlace at(e, *u, static_cast<int>(blockIdx.x - table.begin[number]));
  if (u->pool >= 0) {
    pool_tile<kVector>(e, *u, at, workspace);
  } else {
    Vec<T> y[kPixelsOfThread] = {};
    convolve_any<kVector>(e, *u, at, y);
    leave<kVector>(*u, at, workspace, y);
  }
  finish(e, u, workspace, tickets + number);
}

template <typename T>
CellTiles tiles_of(const CellShape& s, const ForwardUnit<T>& u) {
  const CellExtents e(s);
  return CellTiles(e.N, e.H, e.W, u.taps.stride, u.taps.vectors);
}

// The units of a call, one for each convolution and pool that leaves anything, and what they need
// of the workspace.
template <typename T>
std::vector<ForwardUnit<T>> forward_units(const CellShape& s,
                                          const std::vector<CellSourceForward<T>>& sources,
                                          CellWorkspace& workspace) {
  std::vector<ForwardUnit<T>> units;
  const auto add = [&](ForwardUnit<T> u, StoredPixels<T> y, Moments<T> moments) {
    u.narrow = y.narrow != nullptr;
    u.y = u.narrow ? static_cast<void*>(y.narrow) : y.data;
    u.pitch = static_cast<int>(y.pitch);
    u.mean = moments.mean;
    u.var = moments.var;
    // A tile holds all channels of both sides, unless most of it would be idle.
    const int64_t out = u.taps.out, most = s.C <= 2 * out ? std::max(s.C, out) : out;
    u.taps.vectors = cell_vectors<T>(most);
    const CellTiles tiles = tiles_of(s, u);
    u.sums = static_cast<unsigned>(workspace.bytes() / (kLine * sizeof(double)));
    if (u.mean) workspace.take<double>(3 * tiles.count * out);
    u.n = tiles.count * channel_chunks<T>(out, u.taps.vectors);
    if (u.n > 0 && (u.y || u.mean)) units.push_back(u);
  };
  for (const CellSourceForward<T>& source : sources) {
    ForwardUnit<T> u;
    u.x = CellView<T>(source.source.x, source.source.moments);
    for (const auto& f : source.convs) {
      u.taps = CellTaps<T>(f.conv);
      add(u, f.y, f.moments);
    }
    u.taps = CellTaps<T>();
    u.taps.out = static_cast<int>(s.C);
    for (const auto& f : source.pools) {
      u.pool = static_cast<int8_t>(f.pool);
      u.taps.stride = static_cast<short>(f.stride);
      add(u, f.y, f.moments);
    }
  }
  return units;
}

template <typename T>
bool whole_vectors(const CellShape& s, const ForwardUnit<T>& u) {
  constexpr int kWide = kWidth<T>;
  return s.C % kWide == 0 && u.taps.out % kWide == 0 && u.x.whole_vectors() &&
         (!u.y || aligned_pixels<T>(u.y, u.narrow, u.pitch)) &&
         aligned<kWide>(u.taps.depthwise, u.taps.pointwise);
}

// What the kernel for usual convolutions asks for, for a unit and those that follow it.
template <typename T>
size_t shared_bytes(const CellShape& s, const ForwardUnit<T>* u) {
  int low = u->taps.offset, high = low;
  for (int k = 0; k <= u->follow; ++k) {
    const CellTaps<T>& taps = u[k].taps;
    low = std::min<int>(low, taps.offset);
    high = std::max(high, taps.offset + (taps.kernel - 1) * taps.dilation + 1);
  }
  const int vectors = u->taps.vectors;
  const CellExtents e(s);
  const int rows = window_rows(tiles_of(s, *u), e.H, u->taps.stride, low, high);
  const CellProducts products = products_of<T>(s);
  const int weights = weights_rows<T>(products, vectors, e.C) * weights_pitch(products, vectors);
  return tile_bytes(vectors) +
         16 * static_cast<size_t>(weights + window_vectors(rows, e.W, e.C / kWidth<T>));
}
template <typename T>
bool fits(const CudaContext& ctx, const CellShape& s, const ForwardUnit<T>* u) {
  return shared_bytes(s, u) <= std::min(kMostShared, ctx.shared_bytes() / 2);
}
template <typename T>
bool usual(const CudaContext& ctx, const CellShape& s, const ForwardUnit<T>& u) {
  if (!whole_vectors(s, u)) return false;
  if (u.pool >= 0) return true;
  return usual_taps(u.taps) && usual_vectors<T>(s, u.taps.vectors) && tiles_of(s, u).tall > 0 &&
         s.C <= u.taps.vectors * kWidth<T> && fits(ctx, s, &u);
}

// Puts convolutions of the same source and the same tiles behind one another, in groups of up to
// `most`.
template <typename T>
std::vector<ForwardUnit<T>> grouped(const CudaContext& ctx,
                                    const CellShape& s,
                                    const std::vector<ForwardUnit<T>>& units) {
  int64_t blocks = 0;
  for (const auto& u : units) blocks += u.n;
  const int64_t spare = blocks / (kBlocksOfProcessor * ctx.multiprocessors());
  const int most = spare >= kMostGroup ? kMostGroup : spare >= 2 ? 2 : 1;
  std::vector<ForwardUnit<T>> result;
  std::vector<bool> taken(units.size());
  for (size_t i = 0; i < units.size(); ++i) {
    if (taken[i]) continue;
    const size_t lead = result.size();
    result.push_back(units[i]);
    for (size_t j = i + 1; j < units.size() && units[i].pool < 0; ++j) {
      const ForwardUnit<T>& u = units[j];
      const ForwardUnit<T>& first = units[i];
      if (result[lead].follow + 1 == most) break;
      if (taken[j] || u.pool >= 0 || u.x.data != first.x.data || u.x.mean != first.x.mean ||
          u.taps.stride != first.taps.stride || u.taps.vectors != first.taps.vectors ||
          u.n != first.n) {
        continue;
      }
      result.push_back(u);
      result.back().n = 0;
      ++result[lead].follow;
      if (fits(ctx, s, &result[lead])) {
        taken[j] = true;
      } else {
        --result[lead].follow;
        result.pop_back();
      }
    }
  }
  return result;
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
  auto* const sums = reinterpret_cast<double*>(memory);
  std::vector<ForwardUnit<T>> usual_units, others;
  for (const ForwardUnit<T>& u : forward_units(s, sources, workspace)) {
    (usual(ctx, s, u) ? usual_units : others).push_back(u);
  }
  for_cell_tables(grouped(ctx, s, usual_units), [&](const ForwardTable<T>& table) {
    size_t shared = 0;
    for (int i = 0; i < table.count; ++i) {
      if (table.entry[i].pool < 0) shared = std::max(shared, shared_bytes(s, table.entry + i));
    }
    launch_forward_usual<T>(ctx, s, table, static_cast<int>(shared), sums);
  });
  for_cell_tables(others, [&](const ForwardTable<T>& table) {
    bool vector = true;
    int shared = 0;
    for (int i = 0; i < table.count; ++i) {
      const ForwardUnit<T>& u = table.entry[i];
      vector = vector && whole_vectors(s, u);
      const int vectors = u.taps.vectors;
      shared = std::max(shared, tile_bytes(vectors) + vectors * vectors * kWidth<T> * 16);
    }
    with_bool(vector, [&](auto whole) {
      CU_LAUNCH((cell_source_forward_kernel<whole, T>),
                table.begin[table.count],
                kBlockSize,
                shared,
                ctx.stream(),
                table,
                CellExtents(s),
                sums,
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
