// Convolution of any shape on a CUDA device, straight from its equation.
#include "kernels/cuda/channels.cuh"
#include "kernels/cuda/conv2d_way.h"

namespace oche::kernels::cuda {
namespace {

constexpr int kBlock = 256;  // threads

// kStrip neighbouring pixels of a few output channels of a group. kVector: those of w and y.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlock, 1)
    direct_forward_kernel(ConvExtents e, const T* x, const T* gate, const T* w, T* y) {
  using V = Vec<T>;
  constexpr int kWidth = V::kWidth;
  const int64_t vectors = (e.group_out + kWidth - 1) / kWidth;
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.out_h * strips * e.groups * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    int64_t n = i;
    const int64_t in_group = take(n, vectors) * kWidth, count = e.group_out - in_group;
    const int64_t group = take(n, e.groups), o = group * e.group_out + in_group;
    const int q = static_cast<int>(take(n, strips)) * kStrip;
    const int p = static_cast<int>(take(n, e.out_h));
    V sums[kStrip] = {};
    for (int r = 0; r < e.kernel_h; ++r) {
      const int h = p * e.stride - e.padding + r * e.dilation;
      if (h < 0 || h >= e.H) continue;
      for (int s = 0; s < e.kernel_w; ++s) {
        const int column = q * e.stride - e.padding + s * e.dilation;
        const int64_t source = ((n * e.H + h) * e.W + column) * e.C + group * e.group_in;
        const T* tap = w + (static_cast<int64_t>(r) * e.kernel_w + s) * e.group_in * e.out_C + o;
        bool inside[kStrip];
#pragma unroll
        for (int k = 0; k < kStrip; ++k) {
          inside[k] = column + k * e.stride >= 0 && column + k * e.stride < e.W;
        }
#pragma unroll 4
        for (int64_t c = 0; c < e.group_in; ++c) {
          const V weight = load_channels<kVector, kWidth>(tap + c * e.out_C, count);
#pragma unroll
          for (int k = 0; k < kStrip; ++k) {
            const int64_t at = source + k * e.stride * e.C + c;
            if (!inside[k]) continue;  // no term, whatever the weight
            const T value = gate && gate[at] <= 0 ? T(0) : x[at];
#pragma unroll
            for (int j = 0; j < kWidth; ++j) sums[k][j] = ::fma(value, weight[j], sums[k][j]);
          }
        }
      }
    }
    T* to = y + ((n * e.out_h + p) * e.out_w + q) * e.out_C + o;
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      if (q + k < e.out_w) store_channels<kVector>(sums[k], to + k * e.out_C, count);
    }
  }
}

// One input channel of a pixel: the sum over the windows that cover it. kVector: the output
// channels of w and grad_y, over which it runs in a fixed number of partial sums.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlock, 1)
    direct_input_grad_kernel(ConvExtents e, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  using V = Vec<T>;
  constexpr int kWidth = V::kWidth;
  const int64_t items = e.N * e.H * e.W * e.C;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    int64_t n = i;
    const int64_t channel = take(n, e.C), group = divide(channel, e.group_in);
    const int column = static_cast<int>(take(n, e.W)), row = static_cast<int>(take(n, e.H));
    V sums{};
    for (int r = 0; r < e.kernel_h; ++r) {
      const int down = row + e.padding - r * e.dilation, p = down / e.stride;
      if (down < 0 || down % e.stride != 0 || p >= e.out_h) continue;
      for (int s = 0; s < e.kernel_w; ++s) {
        const int right = column + e.padding - s * e.dilation, q = right / e.stride;
        if (right < 0 || right % e.stride != 0 || q >= e.out_w) continue;
        const int64_t tap = static_cast<int64_t>(r) * e.kernel_w + s;
        const int64_t in_group = channel - group * e.group_in, first = group * e.group_out;
        const T* weights = w + (tap * e.group_in + in_group) * e.out_C + first;
        const T* source = grad_y + ((n * e.out_h + p) * e.out_w + q) * e.out_C + first;
#pragma unroll 4
        for (int64_t o = 0; o < e.group_out; o += kWidth) {
          sums = fma(load_channels<kVector, kWidth>(source + o, e.group_out - o),
                     load_channels<kVector, kWidth>(weights + o, e.group_out - o),
                     sums);
        }
      }
    }
    T sum = sums[0];
#pragma unroll
    for (int j = 1; j < kWidth; ++j) sum += sums[j];
    grad_x[i] = gate && gate[i] <= 0 ? T(0) : sum;
  }
}

// The vectors of a weight: (kernel_h, kernel_w, C / groups, groups, vectors of a group's outputs).
int64_t weight_vectors(const Conv2dShape& s, int width) {
  return weight_size(s) / std::max<int64_t>(1, s.out_C) * s.groups *
         ceil_div(s.out_C / s.groups, width);
}

// Into how many blocks the output pixels are cut, in the weight gradient: of at least 16 pixels to
// a thread, and no more than occupy a device.
int64_t grad_blocks(const Conv2dShape& s) {
  const int64_t vectors = weight_vectors(s, 4);
  const Lanes lanes = lanes_for(vectors, kBlock);
  const int64_t enough = ceil_div(1024, ceil_div(std::max<int64_t>(1, vectors), lanes.channels));
  return std::clamp<int64_t>(std::min(output_pixels(s) / (lanes.pixels * 16), enough), 1, 256);
}

// grid: (grad_blocks, tiles of vectors of the weight). Block b of the output pixels goes to
// partials + b * (weight size). kVector: the output channels.
template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlock, 1) direct_weight_grad_kernel(ConvExtents e,
                                                                       Lanes lanes,
                                                                       int64_t weight_vectors,
                                                                       const T* x,
                                                                       const T* gate,
                                                                       const T* grad_y,
                                                                       T* partials) {
  using V = Vec<T>;
  using Row = V[kBlock];
  CU_SHARED(Row, shared, 1);
  constexpr int kWidth = V::kWidth;
  const int t = static_cast<int>(threadIdx.x);
  const int64_t item = static_cast<int64_t>(blockIdx.y) * lanes.channels + t % lanes.channels;
  int64_t tap = item;
  const int64_t in_group = take(tap, (e.group_out + kWidth - 1) / kWidth) * kWidth;
  const int64_t group = take(tap, e.groups), c = take(tap, e.group_in);
  const int s = static_cast<int>(take(tap, e.kernel_w)), r = static_cast<int>(tap);
  const int64_t o = group * e.group_out + in_group, count = e.group_out - in_group;

  V sums[1] = {};
  const int64_t pixels = e.N * e.out_h * e.out_w, size = (pixels + gridDim.x - 1) / gridDim.x;
  const int64_t begin = blockIdx.x * size, end = begin + size < pixels ? begin + size : pixels;
  if (item < weight_vectors) {
    const int64_t first = begin + t / lanes.channels;
    Walk at(first, lanes.pixels, e.out_h, e.out_w);
#pragma unroll 2
    for (int64_t i = first; i < end; i += lanes.pixels, at.advance()) {
      const int h = at.row * e.stride - e.padding + r * e.dilation;
      const int column = at.column * e.stride - e.padding + s * e.dilation;
      if (h < 0 || h >= e.H || column < 0 || column >= e.W) continue;
      const int64_t source = ((at.n * e.H + h) * e.W + column) * e.C + group * e.group_in + c;
      const T value = gate && gate[source] <= 0 ? T(0) : x[source];
      const V g = load_channels<kVector, kWidth>(grad_y + i * e.out_C + o, count);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sums[0][j] = ::fma(value, g[j], sums[0][j]);
    }
  }
  merge_pixel_lanes(lanes, sums, shared);
  if (t >= lanes.channels || item >= weight_vectors) return;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * e.kernel_h + r) * e.kernel_w + s;
  store_channels<kVector>(sums[0], partials + (row * e.group_in + c) * e.out_C + o, count);
}

bool supports(const Conv2dShape&) {
  return true;
}

// True iff the output channels of every group are whole vectors, aligned in all of p.
template <typename T, typename... Pointers>
bool whole_vectors(const Conv2dShape& s, const Pointers*... p) {
  constexpr int kWidth = Vec<T>::kWidth;
  return s.out_C / s.groups % kWidth == 0 && aligned<kWidth>(p...);
}

template <typename T>
void forward(CudaContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  const int64_t items = s.N * s.out_h() * ceil_div(s.out_w(), kStrip) * s.groups *
                        ceil_div(s.out_C / s.groups, Vec<T>::kWidth);
  with_bool(whole_vectors<T>(s, w, y), [&](auto whole) {
    CU_LAUNCH((direct_forward_kernel<whole, T>),
              grid_size(ctx, items, kBlock),
              kBlock,
              0,
              ctx.stream(),
              ConvExtents(s),
              x,
              gate,
              w,
              y);
  });
}

template <typename T>
void input_grad(
    CudaContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  with_bool(whole_vectors<T>(s, grad_y, w), [&](auto whole) {
    CU_LAUNCH((direct_input_grad_kernel<whole, T>),
              grid_size(ctx, s.N * s.H * s.W * s.C, kBlock),
              kBlock,
              0,
              ctx.stream(),
              ConvExtents(s),
              grad_y,
              gate,
              w,
              grad_x);
  });
}

template <typename T>
void weight_grad(CudaContext& ctx,
                 const Conv2dShape& s,
                 const T* x,
                 const T* gate,
                 const T* grad_y,
                 T* partials) {
  const int64_t vectors = weight_vectors(s, Vec<T>::kWidth);
  const Lanes lanes = lanes_for(vectors, kBlock);
  const dim3 grid(static_cast<unsigned>(grad_blocks(s)),
                  static_cast<unsigned>(ceil_div(vectors, lanes.channels)));
  with_bool(whole_vectors<T>(s, grad_y, partials), [&](auto whole) {
    CU_LAUNCH((direct_weight_grad_kernel<whole, T>),
              grid,
              kBlock,
              0,
              ctx.stream(),
              ConvExtents(s),
              lanes,
              vectors,
              x,
              gate,
              grad_y,
              partials);
  });
}

}  // namespace

template <typename T>
ConvWay<T> direct_way() {
  return {supports, grad_blocks, forward<T>, input_grad<T>, weight_grad<T>};
}

template ConvWay<float> direct_way();
template ConvWay<double> direct_way();

}  // namespace oche::kernels::cuda
