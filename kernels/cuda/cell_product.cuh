// The matrix products of a fused cell: tiles in shared memory, sums in registers.
//   add_product, add_outer_product       each thread for itself, of any factors
//   multiply, multiply_outer             of kProducts: these two where they are exact; of rounded
//                                        factors on tensor cores, a warp at a time
// Factors are rounded when they are written to shared memory.
#pragma once

#include "kernels/cuda/mixed_cell.cuh"
#include "kernels/cuda/tensor_cores.cuh"

namespace oche::kernels::cuda {

// Rows of a tile of pixels in shared memory: a vector longer than the channels, so that
// neighbouring pixels lie in different banks.
__device__ inline int tile_pitch(int vectors) {
  return vectors + 1;
}
inline int tile_bytes(int vectors) {
  return tile_pixels(vectors) * (vectors + 1) * 16;
}

// What a factor of a product is rounded to.
template <typename T>
__device__ Vec<T> rounded(CellProducts products, Vec<T> v) {
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int j = 0; j < Vec<T>::kWidth; ++j) {
      if (products == CellProducts::kTensorFloat32) v[j] = round_to_tf32(v[j]);
      if (products == CellProducts::kBFloat16) v[j] = round_to_bfloat16(v[j]);
    }
  }
  return v;
}

// sum[i] += row pixel(i) of a (pixels, depth) times the thread's columns of b (depth, vectors).
// `depth` is a multiple of the width of a vector.
template <typename T>
__device__ void add_product(const TileThread& thread,
                            const Vec<T>* a,
                            const Vec<T>* b,
                            int depth,
                            Vec<T> (&sum)[kPixelsOfThread]) {
  constexpr int kWide = Vec<T>::kWidth;
  const int pitch = tile_pitch(thread.vectors);
  const Vec<T>* row = a + thread.group * pitch;
  const Vec<T>* column = b + thread.vector;
  for (int k = 0; k < depth; k += kWide) {
    Vec<T> weight[kWide];
#pragma unroll
    for (int d = 0; d < kWide; ++d) weight[d] = column[(k + d) * thread.vectors];
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      const Vec<T> value = row[i * thread.groups * pitch + k / kWide];
#pragma unroll
      for (int d = 0; d < kWide; ++d) {
#pragma unroll
        for (int j = 0; j < kWide; ++j) sum[i][j] = ::fma(value[d], weight[d][j], sum[i][j]);
      }
    }
  }
}

// The product of two tiles along their pixels: a square of kWidth x kWidth for each pair of their
// vectors. Where there are fewer pairs than threads, several of them share out the pixels.
struct OuterThread {
  int row, column, slice, slices;  // vectors of a and of b
  __device__ explicit OuterThread(int vectors) {
    const int pairs = vectors * vectors, t = static_cast<int>(threadIdx.x);
    row = t % pairs / vectors;
    column = t % vectors;
    slice = t / pairs;
    slices = kBlockSize / pairs;
  }
};
// sum[d] += element d of the thread's vector of a times its vector of b, over its share of
// `pixels`.
template <typename T>
__device__ void add_outer_product(const TileThread& thread,
                                  const OuterThread& outer,
                                  const Vec<T>* a,
                                  const Vec<T>* b,
                                  int pixels,
                                  Vec<T> (&sum)[Vec<T>::kWidth]) {
  constexpr int kWide = Vec<T>::kWidth;
  const int pitch = tile_pitch(thread.vectors);
#pragma unroll 4
  for (int p = outer.slice; p < pixels; p += outer.slices) {
    const Vec<T> left = a[p * pitch + outer.row], right = b[p * pitch + outer.column];
#pragma unroll
    for (int d = 0; d < kWide; ++d) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) sum[d][j] = ::fma(left[d], right[j], sum[d][j]);
    }
  }
}

// On tensor cores a tile has at least 16 channels. A warp has kFragments fragments of 16 x 8 of a
// product, those that follow one another in its rows; where a product has fewer than the block
// holds, several warps share out the index of its sums.
constexpr int kLeastVectors = 4, kFragments = 4;
constexpr int kFragmentsOfBlock = kBlockSize / kWarpSize * kFragments;
struct Fragment {
  int row, column, slice;
  // Number i of the thread's, of a product of `count` fragments, `columns` side by side: both are
  // powers of two.
  __device__ Fragment(int i, int columns, int count) {
    const int number = static_cast<int>(threadIdx.x) / kWarpSize * kFragments + i;
    const int within = number & (count - 1);
    slice = number >> (__ffs(count) - 1);
    row = within >> (__ffs(columns) - 1);
    column = within & (columns - 1);
  }
  __device__ bool first_of_row() const { return column == 0; }
};
__device__ inline int fragment_slices(int count) {
  return kFragmentsOfBlock >> (__ffs(count) - 1);
}

// True iff such tiles can be multiplied as `s` asks.
template <typename T>
bool usual_vectors(const CellShape& s, int vectors) {
  return products_of<T>(s) == CellProducts::kExact || vectors >= kLeastVectors;
}

// Vectors between rows of weights in shared memory, as many as let the lanes of a fragment read
// from different banks; and how many rows there are for `channels`.
__host__ __device__ constexpr int weights_pitch(CellProducts products, int vectors) {
  return products == CellProducts::kExact ? vectors : vectors + 2;
}
template <typename T>
__host__ __device__ constexpr int weights_rows(CellProducts products, int vectors, int channels) {
  return products == CellProducts::kExact ? channels : vectors * (16 / static_cast<int>(sizeof(T)));
}

// Which k a lane takes for number k of its fragment, of a tile whose rows are summed along, or
// columns: again for the banks. As both factors do so, it is the order of a sum.
template <CellProducts kProducts>
__device__ constexpr int along_rows(int k) {
  return kProducts == CellProducts::kTensorFloat32 ? k : k / 8 * 8 + k % 2 * 4 + k / 2 % 4;
}
template <CellProducts kProducts>
__device__ constexpr int along_columns(int k) {
  return kProducts == CellProducts::kTensorFloat32 ? k % 4 * 2 + k / 4 : k;
}

// sum = a (pixels, depth) times b (depth, vectors), laid out as add_product's. Products of rounded
// factors pass through a tile, which may be a, and stay there; b has all rows up to the next
// multiple of 16. Every thread takes part.
template <CellProducts kProducts, typename T>
__device__ void multiply(const TileThread& thread,
                         const Vec<T>* a,
                         const Vec<T>* b,
                         int depth,
                         Vec<T>* through,
                         Vec<T> (&sum)[kPixelsOfThread]) {
  if constexpr (kProducts == CellProducts::kExact) {
    add_product<T>(thread, a, b, depth, sum);
  } else {
    using Cores = TensorCores<kProducts>;
    const int vectors = fresh(thread.vectors);  // nothing of the below is kept from tile to tile
    const int pitch = Vec<T>::kWidth * tile_pitch(vectors);
    const int pitch_of_b = Vec<T>::kWidth * weights_pitch(kProducts, vectors);
    const int columns = vectors / 2;
    const T *const left = &a[0][0], *const right = &b[0][0];
    Vec<T> product[kFragments] = {};
    for (int first = 0; first < depth; first += Cores::kDepth) {
      typename Cores::A of_a;
#pragma unroll
      for (int i = 0; i < kFragments; ++i) {
        const Fragment at(i, columns, kFragmentsOfBlock);
        if (i == 0 || at.first_of_row()) {
          of_a = Cores::load_a([&](int row, int k) {
            const int pixel = at.row * Cores::kRows + row;
            return left[pixel * pitch + first + along_rows<kProducts>(k)];
          });
        }
        const auto of_b = Cores::load_b([&](int k, int column) {
          const int from = (first + along_rows<kProducts>(k)) * pitch_of_b;
          return right[from + at.column * Cores::kColumns + column];
        });
        Cores::multiply_add(product[i], of_a, of_b);
      }
    }
    __syncthreads();  // the tile has been read
    T* const to = &through[0][0];
#pragma unroll
    for (int i = 0; i < kFragments; ++i) {
      const Fragment at(i, columns, kFragmentsOfBlock);
      Cores::visit_sum(product[i], [&](int row, int column, T value) {
        const int pixel = at.row * Cores::kRows + row;
        to[pixel * pitch + at.column * Cores::kColumns + column] = value;
      });
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i) {
      sum[i] = through[thread.pixel(i) * tile_pitch(vectors) + thread.vector];
    }
  }
}

// Adds the product of two tiles along their pixels to the block's sums, from which
// merge_outer_product() gets the total. Beyond `pixels` b is 0.
template <CellProducts kProducts, typename T>
__device__ void multiply_outer(const TileThread& thread,
                               const Vec<T>* a,
                               const Vec<T>* b,
                               int pixels,
                               Vec<T> (&sum)[Vec<T>::kWidth]) {
  if constexpr (kProducts == CellProducts::kExact) {
    add_outer_product<T>(thread, OuterThread(thread.vectors), a, b, pixels, sum);
  } else {
    using Cores = TensorCores<kProducts>;
    const int vectors = fresh(thread.vectors);
    const int pitch = Vec<T>::kWidth * tile_pitch(vectors);
    const int columns = vectors / 2, count = columns * vectors / 4;
    const T *const left = &a[0][0], *const right = &b[0][0];
    for (int first = 0; first < pixels; first += fragment_slices(count) * Cores::kDepth) {
      typename Cores::A of_a;
#pragma unroll
      for (int i = 0; i < kFragments; ++i) {
        const Fragment at(i, columns, count);
        const auto pixel = [&](int k) {
          return first + at.slice * Cores::kDepth + along_columns<kProducts>(k);
        };
        if (i == 0 || at.first_of_row()) {
          of_a = Cores::load_a([&](int row, int k) {
            const int from = pixel(k) * pitch + at.row * Cores::kRows + row;
            return pixel(k) < pixels ? left[from] : T(0);
          });
        }
        const auto of_b = Cores::load_b([&](int k, int column) {
          return right[pixel(k) * pitch + at.column * Cores::kColumns + column];
        });
        Cores::multiply_add(sum[i], of_a, of_b);
      }
    }
  }
}

// visit(row, column vector, total) for each element of a row and vector of columns: the slices'
// sums in order, through `shared` of kBlockSize * kWidth vectors. Every thread takes part.
template <CellProducts kProducts, typename T, typename Visit>
__device__ void merge_outer_product(const TileThread& thread,
                                    const Vec<T> (&sum)[Vec<T>::kWidth],
                                    Vec<T>* shared,
                                    const Visit& visit) {
  constexpr int kWide = Vec<T>::kWidth;
  const int pairs = thread.vectors * thread.vectors, slices = kBlockSize / pairs;
  __syncthreads();
  if constexpr (kProducts == CellProducts::kExact) {
#pragma unroll
    for (int d = 0; d < kWide; ++d) shared[threadIdx.x * kWide + d] = sum[d];
  } else {
    using Cores = TensorCores<kProducts>;
#pragma unroll
    for (int i = 0; i < kFragments; ++i) {
      const Fragment at(i, thread.vectors / 2, pairs / 8);
      Cores::visit_sum(sum[i], [&](int row, int column, T value) {
        const int r = at.row * Cores::kRows + row, c = at.column * Cores::kColumns + column;
        const int pair = at.slice * pairs + r / kWide * thread.vectors + c / kWide;
        shared[pair * kWide + r % kWide][c % kWide] = value;
      });
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < pairs * kWide; i += kBlockSize) {
    Vec<T> total = shared[i];
    for (int slice = 1; slice < slices; ++slice) {
      const Vec<T> other = shared[slice * pairs * kWide + i];
#pragma unroll
      for (int j = 0; j < kWide; ++j) total[j] += other[j];
    }
    const int pair = i / kWide;
    visit(pair / thread.vectors * kWide + i % kWide, pair % thread.vectors, total);
  }
}

}  // namespace oche::kernels::cuda
