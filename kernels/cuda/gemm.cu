// Matrix products on a CUDA device. A block computes a tile of the product; it brings slabs of both
// operands into shared memory, depth by depth, while the next slab is on its way in registers, and
// a thread holds a small tile of sums. Where a tile is small, several slices of threads share out
// the depth of a slab, and their sums are merged in order at the end.
#include "kernels/cuda/channels.cuh"
#include "kernels/cuda/gemm_gated.h"
#include "kernels/cuda/libraries.h"

namespace oche::kernels {

using namespace cuda;

namespace {

constexpr int kBlock = 256;  // threads

// A tile of kM x kN, by slabs of kDepth; a thread has kRows x 4 sums, rows in groups of four. There
// are kSlices groups of threads, of which each takes an equal range of a slab's depth.
template <int kTileM, int kTileN, int kSlabDepth, int kRowsOfThread, int kSlicesOfDepth>
struct Tile {
  static constexpr int kM = kTileM, kN = kTileN, kDepth = kSlabDepth, kRows = kRowsOfThread;
  static constexpr int kSlices = kSlicesOfDepth, kThreadsM = kM / kRows, kThreadsN = kN / 4;
  static_assert(kThreadsM * kThreadsN * kSlices == kBlock && kDepth % kSlices == 0);
};
// A row of 64 bytes along the depth.
template <typename T>
constexpr int kDepthOf = 64 / sizeof(T);
template <typename T>
using Tile128x64 = Tile<128, 64, kDepthOf<T>, 8, 1>;
template <typename T>
using Tile128x32 = Tile<128, 32, kDepthOf<T>, 4, 1>;
template <typename T>
using Tile256x16 = Tile<256, 16, kDepthOf<T>, 4, 1>;
using Tile32x32 = Tile<32, 32, 32, 4, 4>;
using Tile16x16 = Tile<16, 16, 64, 4, 16>;

template <typename Shape>
int64_t tiles_of(const Shape&, int64_t M, int64_t N) {
  return ((M + Shape::kM - 1) / Shape::kM) * ((N + Shape::kN - 1) / Shape::kN);
}

// visit(Tile) with the largest that gives the device enough to do and is not mostly empty.
template <typename T, typename Visit>
void with_tile(int64_t M, int64_t N, int64_t splits, const Visit& visit) {
  const auto many = [&](auto tile) {
    return tiles_of(tile, M, N) * splits >= 128 && M > tile.kM / 2;
  };
  if (N > 32 && many(Tile128x64<T>{})) return visit(Tile128x64<T>{});
  if (N > 16 && N <= 32 && many(Tile128x32<T>{})) return visit(Tile128x32<T>{});
  if (N <= 16 && many(Tile256x16<T>{})) return visit(Tile256x16<T>{});
  if (M <= 16 || N <= 16) return visit(Tile16x16{});
  visit(Tile32x32{});
}

// An operand as a block sees it: `side` counts its rows (of a) or columns (of b), `depth` the axis
// that is summed over. kAlongDepth: neighbours in depth are neighbours in memory, otherwise
// neighbours in side are. `step`: between neighbours of the other axis. vector: rows are aligned.
template <typename T>
struct Operand {
  const T *data, *gate;
  int64_t sides, step;
  bool vector;
};

// A slab of kDepth x kSide elements on its way from memory through registers to shared memory.
template <bool kAlongDepth, int kSide, int kDepth, typename T>
class Slab {
 public:
  // A row of the slab, for one depth; padded, so that rows start in different banks.
  static constexpr int kPitch = kSide + 4;
  using Row = T[kPitch];

  // Starts to load what the slab holds of the depths from `depth` on, up to depth_end. What lies
  // outside the operand is 0.
  __device__ void fetch(const Operand<T>& o, int64_t side, int64_t depth, int64_t depth_end) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int item = static_cast<int>(threadIdx.x) + i * kBlock;
      if (kPartial && item >= kItems) break;
      const int64_t s = side + side_of(item), d = depth + depth_of(item);
      const int64_t along = kAlongDepth ? d : s, extent = kAlongDepth ? depth_end : o.sides;
      const bool inside = kAlongDepth ? s < o.sides : d < depth_end;
      const int64_t at = kAlongDepth ? s * o.step + d : d * o.step + s;
      v_[i] = V{};
      if (!inside) continue;
      v_[i] = load(o.data + at, o.vector, extent - along);
      if (o.gate == nullptr) continue;
      v_[i] = gated(v_[i], o.gate == o.data ? v_[i] : load(o.gate + at, o.vector, extent - along));
    }
  }

  __device__ void store(Row* rows) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int item = static_cast<int>(threadIdx.x) + i * kBlock;
      if (kPartial && item >= kItems) break;
      const int s = side_of(item), d = depth_of(item);
      if constexpr (kAlongDepth) {
#pragma unroll
        for (int j = 0; j < V::kWidth; ++j) rows[d + j][s] = v_[i][j];
      } else {
        v_[i].store(&rows[d][s]);
      }
    }
  }

 private:
  using V = Vec<T>;
  static constexpr int kItems = kSide * kDepth / V::kWidth;
  static constexpr int kLoads = (kItems + kBlock - 1) / kBlock;
  static constexpr bool kPartial = kItems % kBlock != 0;
  static constexpr int kLine = (kAlongDepth ? kDepth : kSide) / V::kWidth;  // vectors

  __device__ static int side_of(int item) {
    return kAlongDepth ? item / kLine : item % kLine * V::kWidth;
  }
  __device__ static int depth_of(int item) {
    return kAlongDepth ? item % kLine * V::kWidth : item / kLine;
  }
  // Up to `count` elements, which may be more than a vector or none.
  __device__ static V load(const T* p, bool vector, int64_t count) {
    if (vector && count >= V::kWidth) return V::load(p);
    return load_channels<false, V::kWidth>(p, count);
  }

  V v_[kLoads];
};

// Four neighbours of a row in shared memory, aligned to 16 bytes.
template <typename T>
__device__ void read_four(const T* p, T (&v)[4]) {
#pragma unroll
  for (int j = 0; j < 4; j += Vec<T>::kWidth) {
    const Vec<T> part = Vec<T>::load(p + j);
#pragma unroll
    for (int k = 0; k < Vec<T>::kWidth; ++k) v[j + k] = part[k];
  }
}

// grid: (tiles, those along N innermost; splits). The range of a split is depth_of_split long.
template <typename Shape, bool kTransposeA, bool kTransposeB, typename T>
__global__ void __launch_bounds__(kBlock, sizeof(T) == 4 ? 2 : 1)
    gemm_kernel(Operand<T> a,
                Operand<T> b,
                int64_t K,
                int64_t depth_of_split,
                T* c,
                const T* gate_c,
                bool vector_c) {
  using SlabA = Slab<!kTransposeA, Shape::kM, Shape::kDepth, T>;
  using SlabB = Slab<kTransposeB, Shape::kN, Shape::kDepth, T>;
  constexpr int kGroups = Shape::kRows / 4;
  constexpr int kSlabElements = Shape::kDepth * (SlabA::kPitch + SlabB::kPitch);
  constexpr int kSums = Shape::kSlices > 1 ? Shape::kSlices * Shape::kM * Shape::kN : 0;
  constexpr int kVectors = (kSlabElements > kSums ? kSlabElements : kSums) / Vec<T>::kWidth;
  CU_SHARED(Vec<T>, shared, kVectors);
  T* const elements = &shared[0][0];
  const auto slab_a = reinterpret_cast<typename SlabA::Row*>(elements);
  const auto slab_b =
      reinterpret_cast<typename SlabB::Row*>(elements + Shape::kDepth * SlabA::kPitch);

  const int64_t M = a.sides, N = b.sides;
  const auto tiles_n = static_cast<unsigned>((N + Shape::kN - 1) / Shape::kN);
  const int64_t m0 = static_cast<int64_t>(blockIdx.x / tiles_n) * Shape::kM;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x % tiles_n) * Shape::kN;
  const int64_t begin = blockIdx.y * depth_of_split;
  const int64_t end = begin + depth_of_split < K ? begin + depth_of_split : K;
  constexpr int kPerSlice = Shape::kThreadsM * Shape::kThreadsN;
  const int t = static_cast<int>(threadIdx.x), slice = t / kPerSlice;
  const int column = t % Shape::kThreadsN * 4, row = t % kPerSlice / Shape::kThreadsN * 4;
  constexpr int kGroupStep = Shape::kM / kGroups;  // between the groups of four rows of a thread

  T sums[kGroups][4][4] = {};
  SlabA next_a;
  SlabB next_b;
  next_a.fetch(a, m0, begin, end);
  next_b.fetch(b, n0, begin, end);
  for (int64_t depth = begin; depth < end; depth += Shape::kDepth) {
    __syncthreads();  // the slabs before have been read
    next_a.store(slab_a);
    next_b.store(slab_b);
    __syncthreads();
    if (depth + Shape::kDepth < end) {
      next_a.fetch(a, m0, depth + Shape::kDepth, end);
      next_b.fetch(b, n0, depth + Shape::kDepth, end);
    }
    constexpr int kRange = Shape::kDepth / Shape::kSlices;
#pragma unroll 4
    for (int i = 0; i < kRange; ++i) {
      const int d = slice * kRange + i;
      T right[4];
      read_four(&slab_b[d][column], right);
#pragma unroll
      for (int g = 0; g < kGroups; ++g) {
        T left[4];
        read_four(&slab_a[d][row + g * kGroupStep], left);
#pragma unroll
        for (int m = 0; m < 4; ++m) {
#pragma unroll
          for (int n = 0; n < 4; ++n) sums[g][m][n] = ::fma(left[m], right[n], sums[g][m][n]);
        }
      }
    }
  }

  c += static_cast<int64_t>(blockIdx.y) * M * N;
  if constexpr (Shape::kSlices == 1) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        const int64_t at_m = m0 + row + g * kGroupStep + m;
        if (at_m >= M) continue;
#pragma unroll
        for (int j = 0; j < 4; j += Vec<T>::kWidth) {
          const int64_t at_n = n0 + column + j, at = at_m * N + at_n, count = N - at_n;
          Vec<T> v;
#pragma unroll
          for (int k = 0; k < Vec<T>::kWidth; ++k) v[k] = sums[g][m][j + k];
          if (vector_c && count >= Vec<T>::kWidth) {
            (gate_c ? gated(v, Vec<T>::load(gate_c + at)) : v).store(c + at);
          } else {
            if (gate_c) v = gated(v, load_channels<false, Vec<T>::kWidth>(gate_c + at, count));
            store_channels<false>(v, c + at, count);
          }
        }
      }
    }
  } else {
    __syncthreads();  // the last slabs have been read
    T* const mine = elements + slice * Shape::kM * Shape::kN;
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int n = 0; n < 4; ++n) mine[(row + m) * Shape::kN + column + n] = sums[0][m][n];
    }
    __syncthreads();
    for (int i = t; i < Shape::kM * Shape::kN; i += kBlock) {
      const int64_t at_m = m0 + i / Shape::kN, at_n = n0 + i % Shape::kN;
      if (at_m >= M || at_n >= N) continue;
      T sum = elements[i];
#pragma unroll
      for (int s = 1; s < Shape::kSlices; ++s) sum += elements[s * Shape::kM * Shape::kN + i];
      const int64_t at = at_m * N + at_n;
      if (gate_c && gate_c[at] <= 0) sum = 0;
      c[at] = sum;
    }
  }
}

template <typename T>
Operand<T> operand(const T* data, const T* gate, int64_t sides, int64_t K, bool along_depth) {
  const int64_t step = along_depth ? K : sides;
  const bool vector = step % Vec<T>::kWidth == 0 && aligned<Vec<T>::kWidth>(data, gate);
  return {data, gate, sides, step, vector};
}

}  // namespace

namespace cuda {

template <typename T>
void gemm_gated(CudaContext& ctx, const GatedGemm<T>& p) {
  const int64_t M = p.shape.M, N = p.shape.N, K = p.shape.K;
  const bool left = p.shape.transpose_a, right = p.shape.transpose_b;
  if (M * N == 0) return;
  const auto a = operand(p.a, p.gate_a, M, K, !left);
  const auto b = operand<T>(p.b, nullptr, N, K, right);
  const bool vector_c = N % Vec<T>::kWidth == 0 && aligned<Vec<T>::kWidth>(p.c, p.gate_c);
  constexpr int64_t kUnit = 64;  // ranges begin where slabs and vectors do
  const int64_t depth = (K + p.splits * kUnit - 1) / (p.splits * kUnit) * kUnit;
  with_tile<T>(M, N, p.splits, [&](auto tile) {
    const dim3 grid(static_cast<unsigned>(tiles_of(tile, p.shape.M, p.shape.N)),
                    static_cast<unsigned>(p.splits));
    with_bool(left, [&](auto ta) {
      with_bool(right, [&](auto tb) {
        CU_LAUNCH((gemm_kernel<decltype(tile), ta, tb, T>),
                  grid,
                  kBlock,
                  0,
                  ctx.stream(),
                  a,
                  b,
                  p.shape.K,
                  depth,
                  p.c,
                  p.gate_c,
                  vector_c);
      });
    });
  });
}

template void gemm_gated(CudaContext&, const GatedGemm<float>&);
template void gemm_gated(CudaContext&, const GatedGemm<double>&);

}  // namespace cuda

template <typename T>
void gemm(CudaContext& ctx, const GemmShape& s, const T* a, const T* b, T* c) {
  if (GemmLibrary* const cublas = ctx.libraries().for_gemm(s)) return cublas->gemm(s, a, b, c);
  gemm_gated<T>(ctx, {.shape = s, .a = a, .gate_a = nullptr, .b = b, .c = c});
}

template void gemm(CudaContext&, const GemmShape&, const float*, const float*, float*);
template void gemm(CudaContext&, const GemmShape&, const double*, const double*, double*);

}  // namespace oche::kernels
