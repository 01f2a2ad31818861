// Parameter updates in place, and the norm that clipping needs, on a CUDA device. Lists of tensors
// travel with the launches, a table of some dozens at a time; a tensor is cut into the elements
// that one block of threads works on.
#include <cmath>

#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/tables.cuh"
#include "kernels/cuda/teams.cuh"
#include "kernels/optimizer.h"

namespace oche::kernels {
namespace {

using namespace cuda;

template <typename T>
struct SgdUpdate {
  SgdStep step;
  T decay, momentum;

  __device__ void operator()(const SgdTensor<T>& t, int64_t i, int64_t left) const {
    if (step.gate && *step.gate != 0) return;
    const T scale = static_cast<T>(step.grad_scale_at ? *step.grad_scale_at : step.grad_scale);
    const T lr = static_cast<T>(step.lr_at ? *step.lr_at : step.lr);
    Vec<T> g{};
    if (t.g) g = load_group<kWidth<T>>(t.g + i, left);
    Vec<T> w = load_group<kWidth<T>>(t.w + i, left), buf = load_group<kWidth<T>>(t.buf + i, left);
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) {
      const T slope = t.g ? scale * g[j] : T(0);
      const T d = slope + decay * w[j];
      buf[j] = momentum * buf[j] + d;
      w[j] -= lr * (step.nesterov ? d + momentum * buf[j] : buf[j]);
    }
    store_group(buf, t.buf + i, left);
    store_group(w, t.w + i, left);
  }
};

template <typename T>
struct AdamUpdate {
  T beta1, rest1, beta2, rest2, eps, decay;
  double lr;
  AdamCorrections corrections;
  const AdamCorrections* corrections_at;
  const int64_t* gate;

  __device__ void operator()(const AdamTensor<T>& t, int64_t i, int64_t left) const {
    if (gate && *gate != 0) return;
    const AdamCorrections c = corrections_at ? *corrections_at : corrections;
    // lr * mhat = rate * m, sqrt(vhat) = root * sqrt(v)
    const T rate = static_cast<T>(lr / c.first), root = static_cast<T>(1 / std::sqrt(c.second));
    Vec<T> g{};
    if (t.g) g = load_group<kWidth<T>>(t.g + i, left);
    Vec<T> w = load_group<kWidth<T>>(t.w + i, left);
    Vec<T> m = load_group<kWidth<T>>(t.m + i, left), v = load_group<kWidth<T>>(t.v + i, left);
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) {
      const T d = g[j] + decay * w[j];
      m[j] = beta1 * m[j] + rest1 * d;
      v[j] = beta2 * v[j] + rest2 * d * d;
      w[j] -= rate * m[j] / (root * std::sqrt(v[j]) + eps);
    }
    store_group(m, t.m + i, left);
    store_group(v, t.v + i, left);
    store_group(w, t.w + i, left);
  }
};

// A NormTensor, with what finds the element of an index in the order of the transpose.
template <typename T>
struct NormEntry {
  int64_t n;
  const T* x;
  Divider slab, column;  // by a * b and by a
  int64_t c;

  NormEntry() : NormEntry(NormTensor<T>{}) {}
  explicit NormEntry(const NormTensor<T>& t)
      : n(t.n()), x(t.x), slab(t.a * t.b), column(t.a), c(t.c) {}

  __device__ double at(int64_t index) const {
    const int64_t o = slab.quotient(index), within = slab.rest(index, o);
    const int64_t i = column.quotient(within), k = column.rest(within, i);
    const int64_t b = column.quotient(slab.divisor());
    return x[(k * b + i) * c + o];
  }
};

// partial[block] = the squares of kSumBlock elements of a tensor.
template <typename T>
__global__ void __launch_bounds__(kBlockSize)
    squares_kernel(const __grid_constant__ Table<NormEntry<T>> table, double* partial) {
  const int at = table.find(blockIdx.x);
  const NormEntry<T> t = table.entry[at];
  const int64_t first = (blockIdx.x - table.begin[at]) * kSumBlock;
  const int64_t rest = t.n - first, count = rest < kSumBlock ? rest : kSumBlock;
  double total = 0;
#pragma unroll 4
  for (int64_t j = threadIdx.x; j < count; j += kBlockSize) {
    const double v = t.at(first + j);
    total = fma(v, v, total);
  }
  total = block_sum(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// Block b adds up kMerged of the `count` numbers that lie `stride` apart from `partial` on, into
// sum[b * sum_stride]. That may be the first of them: no other block reads it.
constexpr int64_t kMerged = 1024;

__global__ void __launch_bounds__(kBlockSize) merge_squares_kernel(
    int64_t count, int64_t stride, const double* partial, int64_t sum_stride, double* sum) {
  const int64_t first = blockIdx.x * kMerged;
  const int64_t end = first + kMerged < count ? first + kMerged : count;
  double total = 0;
#pragma unroll 4
  for (int64_t j = first + threadIdx.x; j < end; j += kBlockSize) total += partial[j * stride];
  total = block_sum(total);
  if (threadIdx.x == 0) sum[blockIdx.x * sum_stride] = total;
}

// sum[0] = the `count` numbers of `partial`, which change: by blocks of them, then the blocks.
void merge_squares(CudaContext& ctx, int64_t count, double* partial, double* sum) {
  const auto run = [&](int64_t stride, int64_t blocks, int64_t sum_stride, double* to) {
    CU_LAUNCH(merge_squares_kernel,
              static_cast<unsigned>(blocks),
              kBlockSize,
              0,
              ctx.stream(),
              count,
              stride,
              partial,
              sum_stride,
              to);
  };
  int64_t stride = 1;
  for (; count > kMerged; stride *= kMerged) {
    const int64_t blocks = ceil_div(count, kMerged);
    run(stride, blocks, stride * kMerged, partial);
    count = blocks;
  }
  run(stride, 1, 1, sum);
}

}  // namespace

template <typename T>
void sgd(CudaContext& ctx, const SgdStep& step, std::span<const SgdTensor<T>> tensors) {
  launch_updates<T>(ctx,
                    tensors,
                    SgdUpdate<T>{.step = step,
                                 .decay = static_cast<T>(step.weight_decay),
                                 .momentum = static_cast<T>(step.momentum)});
}

template <typename T>
void adam(CudaContext& ctx, const AdamStep& step, std::span<const AdamTensor<T>> tensors) {
  launch_updates<T>(ctx,
                    tensors,
                    AdamUpdate<T>{.beta1 = static_cast<T>(step.beta1),
                                  .rest1 = static_cast<T>(1 - step.beta1),
                                  .beta2 = static_cast<T>(step.beta2),
                                  .rest2 = static_cast<T>(1 - step.beta2),
                                  .eps = static_cast<T>(step.eps),
                                  .decay = static_cast<T>(step.weight_decay),
                                  .lr = step.lr,
                                  .corrections = corrections_of(step),
                                  .corrections_at = step.corrections_at,
                                  .gate = step.gate});
}

template <typename T>
void sum_squares(CudaContext& ctx,
                 std::span<const NormTensor<T>> tensors,
                 double* sum,
                 double* workspace) {
  int64_t done = 0;
  for_tables<NormEntry<T>>(tensors, kSumBlock, [&](const Table<NormEntry<T>>& table) {
    const unsigned blocks = table.begin[table.count];
    CU_LAUNCH(squares_kernel<T>, blocks, kBlockSize, 0, ctx.stream(), table, workspace + done);
    done += blocks;
  });
  merge_squares(ctx, done, workspace, sum);
}

#define OCHE_INSTANTIATE(T)                                                          \
  template void sgd(CudaContext&, const SgdStep&, std::span<const SgdTensor<T>>);    \
  template void adam(CudaContext&, const AdamStep&, std::span<const AdamTensor<T>>); \
  template void sum_squares(CudaContext&, std::span<const NormTensor<T>>, double*, double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
