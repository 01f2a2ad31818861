// What the kernels of a fused cell share (kernels/mixed_cell.h). A block of kBlockSize threads has
// a tile of pixels and `vectors` vectors of channels, 1 to 16: a thread has one vector of four
// pixels, which lie as far apart as the block has threads for that vector.
#pragma once

#include <vector>

#include "kernels/cuda/cell_view.cuh"

namespace oche::kernels::cuda {

constexpr int kPixelsOfThread = 4;
constexpr int kMostVectors = 16;

// Vectors of a tile for so many channels; more of them take several tiles.
template <typename T>
int cell_vectors(int64_t channels) {
  int vectors = 1;
  while (vectors < kMostVectors && vectors * kWidth<T> < channels) vectors *= 2;
  return vectors;
}
inline int tile_pixels(int vectors) {
  return kPixelsOfThread * kBlockSize / vectors;
}
template <typename T>
int channel_chunks(int64_t channels, int vectors) {
  return static_cast<int>(ceil_div(channels, vectors * kWidth<T>));
}

// The tiles of N images: as many whole rows of one image as fit, or several small images, or, where
// not even a row fits, any pixels that follow one another. Pixels are counted through all images.
struct CellTiles {
  int64_t pixels;
  int count;
  int rows, columns;  // of an image
  int tall, most;     // rows of a tile in an image, 0: not whole ones; pixels of a tile
  int images;         // of a tile
  int of_image;       // tiles

  __host__ __device__ CellTiles(int64_t N, int H, int W, int stride, int vectors)
      : rows((H + stride - 1) / stride), columns((W + stride - 1) / stride) {
    pixels = N * rows * columns;
    most = kPixelsOfThread * kBlockSize / vectors;
    tall = most / columns < rows ? most / columns : rows;
    of_image = tall > 0 ? (rows + tall - 1) / tall : 0;
    images = of_image == 1 ? most / (rows * columns) : 1;
    if (images > 4) images = 4;  // there should be many tiles as well
    count = static_cast<int>(tall > 0 ? (N + images - 1) / images * of_image
                                      : (pixels + most - 1) / most);
  }
  __host__ __device__ int image(int tile) const { return tile / of_image * images; }  // the first
  __host__ __device__ int row(int tile) const { return tile % of_image * tall; }  // the first of it
  __host__ __device__ int64_t first(int tile) const {
    if (tall == 0) return static_cast<int64_t>(tile) * most;
    return (static_cast<int64_t>(image(tile)) * rows + row(tile)) * columns;
  }
  __host__ __device__ int size(int tile) const {
    const int64_t rest = pixels - first(tile);
    if (tall == 0 || images > 1) {
      const int full = tall == 0 ? most : images * rows * columns;
      return rest < full ? static_cast<int>(rest) : full;
    }
    const int below = rows - row(tile);
    return (below < tall ? below : tall) * columns;
  }
};

struct TileThread {
  int vectors, vector, group, groups;
  __device__ explicit TileThread(int vectors_of_tile)
      : vectors(vectors_of_tile),
        vector(static_cast<int>(threadIdx.x) % vectors),
        group(static_cast<int>(threadIdx.x) / vectors),
        groups(kBlockSize / vectors) {}
  __device__ int pixels() const { return kPixelsOfThread * groups; }
  __device__ int pixel(int i) const { return group + i * groups; }
};

// Of the sources of a call.
struct CellExtents {
  explicit CellExtents(const CellShape& s)
      : N(s.N),
        H(static_cast<int>(s.H)),
        W(static_cast<int>(s.W)),
        C(static_cast<int>(s.C)),
        products(s.products),
        eps(s.eps) {}
  int64_t N;
  int H, W, C;
  CellProducts products;
  double eps;
};
inline int64_t cell_pixels(const CellShape& s, int64_t stride = 1) {
  return s.N * ceil_div(s.H, stride) * ceil_div(s.W, stride);
}

// Pixel i of N images of `rows` x `columns`.
struct CellPixel {
  int64_t n;
  int row, column;
  __device__ CellPixel(int64_t i, int rows, int columns) {
    column = static_cast<int>(take(i, columns));
    row = static_cast<int>(take(i, rows));
    n = i;
  }
};

// A CellConv as kernels read it; of a pool, the stride and the channels.
template <typename T>
struct CellTaps {
  const T *depthwise = nullptr, *pointwise = nullptr;
  short kernel = 1, dilation = 1, stride = 1, offset = 0;
  int out = 0;
  int vectors = 0;  // of the tiles that it is computed in

  CellTaps() = default;
  explicit CellTaps(const CellConv<T>& c)
      : depthwise(c.depthwise),
        pointwise(c.pointwise),
        kernel(static_cast<short>(c.kernel)),
        dilation(static_cast<short>(c.dilation)),
        stride(static_cast<short>(c.stride)),
        offset(static_cast<short>(c.offset)),
        out(static_cast<int>(c.out)) {}
};

// The depthwise convolution of relu(normalised(x)) at a pixel of its output.
template <bool kVector, typename T>
__device__ Vec<T> depthwise_at(const CellExtents& e,
                               const CellView<T>& x,
                               const CellTaps<T>& taps,
                               const Normalisation<T>& normalised,
                               const CellPixel& at,
                               int channel,
                               int count) {
  constexpr int kWide = Vec<T>::kWidth;
  Vec<T> sum{};
#pragma unroll 1
  for (int r = 0; r < taps.kernel; ++r) {
    const int h = at.row * taps.stride + taps.offset + r * taps.dilation;
    if (h < 0 || h >= e.H) continue;
#pragma unroll 1
    for (int s = 0; s < taps.kernel; ++s) {
      const int w = at.column * taps.stride + taps.offset + s * taps.dilation;
      if (w < 0 || w >= e.W) continue;
      const int64_t from = ((at.n * e.H + h) * e.W + w) * x.pitch + channel;
      Vec<T> v = normalised(x.template load<kVector>(from, count));
      v = gated(v, v);
      if (!taps.depthwise) return v;
      const int64_t tap = static_cast<int64_t>(r * taps.kernel + s) * e.C + channel;
      sum = fma(v, load_channels<kVector, kWide>(taps.depthwise + tap, count), sum);
    }
  }
  return sum;
}

// The part of a 3x3 window around `centre` that lies in the image along one axis.
struct PoolReach {
  int begin, end;
  __device__ PoolReach(int centre, int extent)
      : begin(centre > 0 ? centre - 1 : 0), end(centre + 2 < extent ? centre + 2 : extent) {}
  __device__ int size() const { return end - begin; }
};

// The value of a pool at a pixel of its output; of a maximum, also which of the nine taps it is.
template <bool kVector, typename T>
__device__ Vec<T> pooled_at(const CellExtents& e,
                            const CellView<T>& x,
                            CellPool pool,
                            int stride,
                            const CellPixel& at,
                            int channel,
                            int count,
                            Vec<uint8_t, Vec<T>::kWidth>* winner = nullptr) {
  constexpr int kWide = Vec<T>::kWidth;
  const PoolReach rows(at.row * stride, e.H), columns(at.column * stride, e.W);
  Vec<T> value{};
  bool first = true;
  for (int h = rows.begin; h < rows.end; ++h) {
    for (int w = columns.begin; w < columns.end; ++w) {
      const int64_t from = ((at.n * e.H + h) * e.W + w) * x.pitch + channel;
      const Vec<T> v = x.template load<kVector>(from, count);
      const int tap = (h - at.row * stride + 1) * 3 + w - at.column * stride + 1;
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        if (pool == CellPool::kAverage) {
          value[j] += v[j];
        } else if (first || !(v[j] <= value[j] || value[j] != value[j])) {  // as a NaN wins
          value[j] = v[j];
          if (winner) (*winner)[j] = static_cast<uint8_t>(tap);
        }
      }
      first = false;
    }
  }
  if (pool == CellPool::kAverage) {
    const T size = static_cast<T>(rows.size() * columns.size());
#pragma unroll
    for (int j = 0; j < kWide; ++j) value[j] /= size;
  }
  return value;
}

// The products of a kernel of T: those of double are exact.
template <typename T>
CellProducts products_of(const CellShape& s) {
  return std::is_same_v<T, float> ? s.products : CellProducts::kExact;
}
// visit(products_of() as a type).
template <typename T, typename Visit>
void with_products(const CellShape& s, const Visit& visit) {
  using enum CellProducts;
  if constexpr (std::is_same_v<T, float>) {
    if (s.products == kTensorFloat32) {
      return visit(std::integral_constant<CellProducts, kTensorFloat32>{});
    }
    if (s.products == kBFloat16) return visit(std::integral_constant<CellProducts, kBFloat16>{});
  }
  visit(std::integral_constant<CellProducts, kExact>{});
}

// What a launch works on, up to a limit that keeps its parameters within 4 KiB.
template <typename Unit>
using CellTable = Table<Unit, 3944>;
static_assert(3944 + 3 * sizeof(int) + sizeof(CellExtents) + 2 * sizeof(void*) <= 4096);

// body(table) for the tables that hold all `units`, of which each takes `unit.n` blocks; the
// `unit.follow` after a unit belong to it and share its table.
template <typename Unit, typename Body>
void for_cell_tables(const std::vector<Unit>& units, const Body& body) {
  CellTable<Unit> table{};
  const auto flush = [&] {
    if (table.count > 0) body(table);
    table.count = 0;
  };
  for (size_t i = 0; i < units.size(); ++i) {
    if (table.count + 1 + units[i].follow > CellTable<Unit>::kEntries) flush();
    table.entry[table.count] = units[i];
    table.begin[table.count + 1] = table.begin[table.count] + static_cast<unsigned>(units[i].n);
    ++table.count;
  }
  flush();
}

// Parts of a workspace one after another, each aligned to 64 bytes; without memory it only adds up.
class CellWorkspace {
 public:
  explicit CellWorkspace(std::byte* memory) : memory_(memory) {}
  template <typename T>
  T* take(int64_t n) {
    T* const at = memory_ ? reinterpret_cast<T*>(memory_ + bytes_) : nullptr;
    bytes_ += ceil_div(n * static_cast<int64_t>(sizeof(T)), 64) * 64;
    return at;
  }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  int64_t bytes_ = 0;
};

}  // namespace oche::kernels::cuda
