// Unary and binary maps, fill, cast and strided copies on a CUDA device.
#include <cmath>
#include <limits>

#include "kernels/cuda/groups.cuh"
#include "kernels/elementwise.h"
#include "kernels/strided.h"

namespace oche::kernels {
namespace {

using namespace cuda;

// The scalar functions, as in kernels/cpu/elementwise.cpp.
template <Unary F>
struct UnaryMap {
  template <typename T>
  __device__ T operator()(T x) const {
    if constexpr (F == Unary::kNegate) return -x;
    if constexpr (F == Unary::kExp) return std::exp(x);
    if constexpr (F == Unary::kLog) return std::log(x);
    if constexpr (F == Unary::kSqrt) return std::sqrt(x);
    if constexpr (F == Unary::kSigmoid) {
      const T e = std::exp(-std::abs(x));  // never overflows
      return (x >= 0 ? T(1) : e) / (1 + e);
    }
    if constexpr (F == Unary::kTanh) return std::tanh(x);
    if constexpr (F == Unary::kReciprocal) return 1 / x;
    if constexpr (F == Unary::kAbs) return std::abs(x);
    if constexpr (F == Unary::kSign) return x > 0 ? T(1) : x < 0 ? T(-1) : x;
  }
};

template <Binary F>
struct BinaryMap {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    if constexpr (F == Binary::kAdd) return a + b;
    if constexpr (F == Binary::kSubtract) return a - b;
    if constexpr (F == Binary::kMultiply) return a * b;
    if constexpr (F == Binary::kDivide) return a / b;
    if constexpr (F == Binary::kGate) return b <= 0 ? T(0) : a;
  }
};

template <typename T>
struct AffineMap {
  T scale, shift;
  __device__ T operator()(T x) const { return scale * x + shift; }
};
template <typename T>
struct FillMap {
  T value;
  __device__ T operator()() const { return value; }
};
template <typename To>
struct CastMap {
  template <typename From>
  __device__ To operator()(From x) const {
    return static_cast<To>(x);
  }
};

// visit(map) with the functor that `f` names.
template <typename Visit>
void with_map(Unary f, const Visit& visit) {
  switch (f) {
    case Unary::kNegate:
      return visit(UnaryMap<Unary::kNegate>{});
    case Unary::kExp:
      return visit(UnaryMap<Unary::kExp>{});
    case Unary::kLog:
      return visit(UnaryMap<Unary::kLog>{});
    case Unary::kSqrt:
      return visit(UnaryMap<Unary::kSqrt>{});
    case Unary::kSigmoid:
      return visit(UnaryMap<Unary::kSigmoid>{});
    case Unary::kTanh:
      return visit(UnaryMap<Unary::kTanh>{});
    case Unary::kReciprocal:
      return visit(UnaryMap<Unary::kReciprocal>{});
    case Unary::kAbs:
      return visit(UnaryMap<Unary::kAbs>{});
    case Unary::kSign:
      return visit(UnaryMap<Unary::kSign>{});
  }
}

template <typename Visit>
void with_map(Binary f, const Visit& visit) {
  switch (f) {
    case Binary::kAdd:
      return visit(BinaryMap<Binary::kAdd>{});
    case Binary::kSubtract:
      return visit(BinaryMap<Binary::kSubtract>{});
    case Binary::kMultiply:
      return visit(BinaryMap<Binary::kMultiply>{});
    case Binary::kDivide:
      return visit(BinaryMap<Binary::kDivide>{});
    case Binary::kGate:
      return visit(BinaryMap<Binary::kGate>{});
  }
}

template <typename T, int W, typename F, typename... X>
__device__ Vec<T, W> map_vector(const F& f, const Vec<X, W>&... x) {
  Vec<T, W> y;
#pragma unroll
  for (int j = 0; j < W; ++j) y[j] = f(x[j]...);
  return y;
}

// y[i] = f(x[i]...), i < n: W elements at a time up to the tail. y may be one of x.
template <int W, typename F, typename T, typename... X>
__global__ void map_kernel(int64_t n, F f, T* y, const X*... x) {
  const int64_t vectors = aligned<W>(y) && aligned<W>(x...) ? n / W : 0;
  for (int64_t v = grid_index(); v < vectors; v += grid_threads()) {
    map_vector<T, W>(f, Vec<X, W>::load(x + v * W)...).store(y + v * W);
  }
  for (int64_t i = vectors * W + grid_index(); i < n; i += grid_threads()) y[i] = f(x[i]...);
}

template <typename F, typename T, typename... X>
void map(CudaContext& ctx, int64_t n, const F& f, T* y, const X*... x) {
  constexpr int kWidth = 16 / std::max({sizeof(T), sizeof(X)...});
  const unsigned grid = grid_size(ctx, (n + kWidth - 1) / kWidth);
  CU_LAUNCH((map_kernel<kWidth, F, T, X...>), grid, kBlockSize, 0, ctx.stream(), n, f, y, x...);
}

// The offsets of element i of `walk`, row-major; returns its place in its row. Index: wide enough
// for walk.size.
template <typename Index>
__device__ int64_t locate(const Strided& walk, Index i, int64_t offset[2]) {
  int64_t column = i;
  offset[0] = offset[1] = 0;
  for (int d = walk.rank - 1; d > 0; --d) {
    const Index extent = static_cast<Index>(walk.dims[d].extent), rest = i / extent;
    const int64_t at = i - rest * extent;
    if (d == walk.rank - 1) column = at;
    for (int s = 0; s < 2; ++s) offset[s] += at * walk.dims[d].step[s];
    i = rest;
  }
  for (int s = 0; s < 2; ++s) offset[s] += static_cast<int64_t>(i) * walk.dims[0].step[s];
  return column;
}

// One of the two readings of a walk whose rows are neighbours or one number. flat: in the order of
// the walk itself, from one row to the next.
template <typename T>
struct Operand {
  const T* data;
  int which;
  bool flat;
};

// W elements of an operand from element i on, `left` of which exist. `at` is where the first lies,
// and `whole`: all are in its row.
template <int W, typename T>
__device__ Vec<T, W> load_operand(
    const Strided& walk, const Operand<T>& x, int64_t i, int64_t left, int64_t at, bool whole) {
  if (x.flat) return load_group<W>(x.data + i, left);
  const int64_t step = walk.row().step[x.which];
  if (whole && step == 1) return load_group<W>(x.data + at, W);
  Vec<T, W> v{};
  if (whole) {
    const T value = x.data[at];
#pragma unroll
    for (int j = 0; j < W; ++j) v[j] = value;
    return v;
  }
#pragma unroll 1
  for (int j = 0; j < W && j < left; ++j) {
    int64_t offset[2];
    locate(walk, static_cast<uint32_t>(i + j), offset);
    const T value = x.data[x.which == 0 ? offset[0] : offset[1]];
#pragma unroll
    for (int k = 0; k < W; ++k) v[k] = k == j ? value : v[k];
  }
  return v;
}

template <int W, typename F, typename T>
__global__ void __launch_bounds__(kBlockSize)
    binary_rows_kernel(Strided walk, F f, Operand<T> a, Operand<T> b, T* y) {
  const int64_t vectors = (walk.size + W - 1) / W, columns = walk.row().extent;
  for (int64_t v = grid_index(); v < vectors; v += grid_threads()) {
    const int64_t i = v * W, left = walk.size - i;
    int64_t at[2];
    const bool whole = locate(walk, static_cast<uint32_t>(i), at) + W <= columns;
    store_group(map_vector<T, W>(f,
                                 load_operand<W>(walk, a, i, left, at[0], whole),
                                 load_operand<W>(walk, b, i, left, at[1], whole)),
                y + i,
                left);
  }
}

// How binary_rows_kernel reads operand `which`.
template <typename T>
Operand<T> operand(const Strided& walk, int which, const T* data) {
  bool flat = true;
  int64_t step = 1;
  for (int d = walk.rank - 1; d >= 0; step *= walk.dims[d--].extent) {
    flat = flat && walk.dims[d].step[which] == step;
  }
  return {data, which, flat};
}

// True iff its rows are long enough to hold vectors, and read as they are or as one number.
bool has_vector_rows(const Strided& walk, int width) {
  const Strided::Dim& row = walk.row();
  const auto plain = [](int64_t step) { return step == 0 || step == 1; };
  return row.extent >= width && plain(row.step[0]) && plain(row.step[1]) &&
         walk.size <= std::numeric_limits<uint32_t>::max();
}

template <typename Index, typename F, typename T>
__global__ void binary_kernel(Strided walk, F f, const T* a, const T* b, T* y) {
  for (int64_t i = grid_index(); i < walk.size; i += grid_threads()) {
    int64_t at[2];
    locate(walk, static_cast<Index>(i), at);
    y[i] = f(a[at[0]], b[at[1]]);
  }
}

template <typename Index, typename T>
__global__ void copy_strided_kernel(Strided walk, const T* x, T* y) {
  for (int64_t i = grid_index(); i < walk.size; i += grid_threads()) {
    int64_t at[2];
    locate(walk, static_cast<Index>(i), at);
    y[at[1]] = x[at[0]];
  }
}

// visit(index): 32 bits where they suffice, since a division of 64 costs four times as much.
template <typename Visit>
void with_index(const Strided& walk, const Visit& visit) {
  if (walk.size <= std::numeric_limits<uint32_t>::max()) return visit(uint32_t{});
  visit(uint64_t{});
}

template <typename T>
__global__ void find_non_finite_kernel(int64_t n, const T* x, int* found) {
  bool bad = false;
  for (int64_t i = grid_index(); i < n; i += grid_threads()) {
    bad |= !(std::abs(x[i]) <= std::numeric_limits<T>::max());
  }
  if (bad) atomicExch(found, 1);
}

}  // namespace

template <typename T>
void unary(CudaContext& ctx, Unary f, int64_t n, const T* x, T* y) {
  with_map(f, [&](auto map_of) { map(ctx, n, map_of, y, x); });
}

template <typename T>
void binary(CudaContext& ctx,
            Binary f,
            Extents shape,
            const T* a,
            Extents a_strides,
            const T* b,
            Extents b_strides,
            T* y) {
  const Strided walk(shape, a_strides, b_strides);
  const Strided::Dim& row = walk.row();
  const bool contiguous = walk.rank == 1 && row.step[0] == 1 && row.step[1] == 1;
  with_map(f, [&](auto map_of) {
    if (contiguous) return map(ctx, walk.size, map_of, y, a, b);
    constexpr int kWidth = 16 / sizeof(T);
    if (has_vector_rows(walk, kWidth)) {
      CU_LAUNCH((binary_rows_kernel<kWidth, decltype(map_of), T>),
                grid_size(ctx, (walk.size + kWidth - 1) / kWidth),
                kBlockSize,
                0,
                ctx.stream(),
                walk,
                map_of,
                operand(walk, 0, a),
                operand(walk, 1, b),
                y);
      return;
    }
    with_index(walk, [&](auto index) {
      CU_LAUNCH((binary_kernel<decltype(index), decltype(map_of), T>),
                grid_size(ctx, walk.size),
                kBlockSize,
                0,
                ctx.stream(),
                walk,
                map_of,
                a,
                b,
                y);
    });
  });
}

template <typename T>
void affine(CudaContext& ctx, int64_t n, double scale, double shift, const T* x, T* y) {
  map(ctx, n, AffineMap<T>{static_cast<T>(scale), static_cast<T>(shift)}, y, x);
}

template <typename T>
void accumulate(CudaContext& ctx, int64_t n, const T* x, T* y) {
  map(ctx, n, BinaryMap<Binary::kAdd>{}, y, y, x);
}

template <typename T>
void fill(CudaContext& ctx, int64_t n, T value, T* y) {
  map(ctx, n, FillMap<T>{value}, y);
}

template <typename From, typename To>
void cast(CudaContext& ctx, int64_t n, const From* x, To* y) {
  map(ctx, n, CastMap<To>{}, y, x);
}

template <typename T>
void copy_strided(
    CudaContext& ctx, Extents shape, const T* x, Extents x_strides, T* y, Extents y_strides) {
  const Strided walk(shape, x_strides, y_strides);
  const Strided::Dim& row = walk.row();
  if (walk.rank == 1 && row.step[0] == 1 && row.step[1] == 1) {
    return copy_on_device(ctx, y, x, walk.size * sizeof(T));
  }
  with_index(walk, [&](auto index) {
    CU_LAUNCH((copy_strided_kernel<decltype(index), T>),
              grid_size(ctx, walk.size),
              kBlockSize,
              0,
              ctx.stream(),
              walk,
              x,
              y);
  });
}

template <typename T>
bool all_finite(CudaContext& ctx, int64_t n, const T* x) {
  fill_bytes(ctx, ctx.answer(), 0, sizeof(int));
  CU_LAUNCH(find_non_finite_kernel<T>,
            grid_size(ctx, n),
            kBlockSize,
            0,
            ctx.stream(),
            n,
            x,
            ctx.answer());
  int found = 0;
  copy_to_host(ctx, &found, ctx.answer(), sizeof found);
  return found == 0;
}

#define OCHE_INSTANTIATE_COPIES(T)                               \
  template void fill(CudaContext&, int64_t, T, T*);              \
  template void cast(CudaContext&, int64_t, const T*, float*);   \
  template void cast(CudaContext&, int64_t, const T*, double*);  \
  template void cast(CudaContext&, int64_t, const T*, int64_t*); \
  template void cast(CudaContext&, int64_t, const T*, uint8_t*); \
  template void copy_strided(CudaContext&, Extents, const T*, Extents, T*, Extents);
OCHE_INSTANTIATE_COPIES(float)
OCHE_INSTANTIATE_COPIES(double)
OCHE_INSTANTIATE_COPIES(int64_t)
OCHE_INSTANTIATE_COPIES(uint8_t)
#undef OCHE_INSTANTIATE_COPIES

#define OCHE_INSTANTIATE_MAPS(T)                                                                 \
  template void unary(CudaContext&, Unary, int64_t, const T*, T*);                               \
  template void binary(CudaContext&, Binary, Extents, const T*, Extents, const T*, Extents, T*); \
  template void affine(CudaContext&, int64_t, double, double, const T*, T*);                     \
  template void accumulate(CudaContext&, int64_t, const T*, T*);                                 \
  template bool all_finite(CudaContext&, int64_t, const T*);
OCHE_INSTANTIATE_MAPS(float)
OCHE_INSTANTIATE_MAPS(double)
#undef OCHE_INSTANTIATE_MAPS

}  // namespace oche::kernels
