// Depthwise convolution on a CUDA device: the kernels for taps of any number and spacing and for
// channels without alignment, and which kernel takes what.
#include "kernels/cuda/conv2d_depthwise.cuh"

namespace oche::kernels::cuda {
namespace {

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlock, 1)
    depthwise_forward_any_kernel(ConvExtents e, const T* x, const T* gate, const T* w, T* y) {
  using V = Vec<T>;
  constexpr int kWidth = V::kWidth;
  const int64_t C = e.C, vectors = (C + kWidth - 1) / kWidth;
  const int strips = (e.out_w + kStrip - 1) / kStrip;
  const int64_t items = e.N * e.out_h * strips * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    const Strip at = strip_at(i, vectors, kWidth, strips, e.out_h);
    const int64_t count = C - at.channel;
    V sums[kStrip] = {};
    for (int r = 0; r < e.kernel_h; ++r) {
      const int h = at.row * e.stride - e.padding + r * e.dilation;
      if (h < 0 || h >= e.H) continue;
      for (int s = 0; s < e.kernel_w; ++s) {
        const int column = at.column * e.stride - e.padding + s * e.dilation;
        const int64_t source = ((at.n * e.H + h) * e.W + column) * C + at.channel;
        V v[kStrip];
        const auto inside = [&](int k) {
          return column + k * e.stride >= 0 && column + k * e.stride < e.W;
        };
        load_columns<kVector>(
            v, x + source, gate ? gate + source : nullptr, e.stride * C, count, inside);
        const T* to_tap = w + (static_cast<int64_t>(r) * e.kernel_w + s) * C + at.channel;
        const V tap = load_channels<kVector, kWidth>(to_tap, count);
#pragma unroll
        for (int k = 0; k < kStrip; ++k) {
          if (inside(k)) sums[k] = fma(v[k], tap, sums[k]);
        }
      }
    }
    T* to = y + ((at.n * e.out_h + at.row) * e.out_w + at.column) * C + at.channel;
#pragma unroll
    for (int k = 0; k < kStrip; ++k) {
      if (at.column + k < e.out_w) store_channels<kVector>(sums[k], to + k * C, count);
    }
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kBlock, 1) depthwise_input_grad_any_kernel(
    ConvExtents e, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  using V = Vec<T>;
  constexpr int kWidth = V::kWidth;
  const int64_t C = e.C, vectors = (C + kWidth - 1) / kWidth;
  const int64_t items = e.N * e.H * e.W * vectors;
  for (int64_t i = grid_index(); i < items; i += grid_threads()) {
    int64_t n = i;
    const int64_t channel = take(n, vectors) * kWidth, count = C - channel;
    const int column = static_cast<int>(take(n, e.W)), row = static_cast<int>(take(n, e.H));
    V sum{};
    for (int r = 0; r < e.kernel_h; ++r) {
      const int down = row + e.padding - r * e.dilation, p = down / e.stride;
      if (down < 0 || down % e.stride != 0 || p >= e.out_h) continue;
      for (int s = 0; s < e.kernel_w; ++s) {
        const int right = column + e.padding - s * e.dilation, q = right / e.stride;
        if (right < 0 || right % e.stride != 0 || q >= e.out_w) continue;
        const int64_t source = ((n * e.out_h + p) * e.out_w + q) * C + channel;
        const T* to_tap = w + (static_cast<int64_t>(r) * e.kernel_w + s) * C + channel;
        sum = fma(load_channels<kVector, kWidth>(grad_y + source, count),
                  load_channels<kVector, kWidth>(to_tap, count),
                  sum);
      }
    }
    const int64_t to = ((n * e.H + row) * e.W + column) * C + channel;
    if (gate) sum = gated(sum, load_channels<kVector, kWidth>(gate + to, count));
    store_channels<kVector>(sum, grad_x + to, count);
  }
}

template <bool kVector, typename T>
__global__ void __launch_bounds__(kGradBlock, 1) depthwise_weight_grad_any_kernel(
    ConvExtents e, Lanes lanes, const T* x, const T* gate, const T* grad_y, T* partials) {
  using V = Vec<T>;
  using Row = V[kGradBlock];
  CU_SHARED(Row, shared, 1);
  const int64_t C = e.C, channel = channel_of_thread<T>(lanes), count = C - channel;
  const int r = static_cast<int>(blockIdx.y);
  for (int s = 0; s < e.kernel_w; ++s) {
    V sums[1] = {};
    if (channel < C) {
      for_strips(e, lanes.pixels, threadIdx.x / lanes.channels, [&](int64_t n, int p, int q) {
        const int h = p * e.stride - e.padding + r * e.dilation;
        if (h < 0 || h >= e.H) return;
        const int column = q * e.stride - e.padding + s * e.dilation;
        const int64_t source = ((n * e.H + h) * e.W + column) * C + channel;
        V g[kStrip], v[kStrip];
        const auto inside = [&](int k) {
          const int at = column + k * e.stride;
          return q + k < e.out_w && at >= 0 && at < e.W;
        };
        load_columns<kVector>(g,
                              grad_y + ((n * e.out_h + p) * e.out_w + q) * C + channel,
                              static_cast<const T*>(nullptr),
                              C,
                              count,
                              inside);
        load_columns<kVector>(
            v, x + source, gate ? gate + source : nullptr, e.stride * C, count, inside);
#pragma unroll
        for (int k = 0; k < kStrip; ++k) {
          if (inside(k)) sums[0] = fma(v[k], g[k], sums[0]);
        }
      });
    }
    merge_pixel_lanes(lanes, sums, shared);
    if (static_cast<int>(threadIdx.x) < lanes.channels && channel < C) {
      const int64_t tap = (static_cast<int64_t>(blockIdx.x) * e.kernel_h + r) * e.kernel_w + s;
      store_channels<kVector>(sums[0], partials + tap * C + channel, count);
    }
  }
}

// Into how many blocks the strips of all images are cut, in the weight gradient: of at least four
// strips to a thread where 16-byte vectors are of four channels.
int64_t grad_blocks(const Conv2dShape& s) {
  const int64_t strips = s.N * s.out_h() * ceil_div(s.out_w(), kStrip);
  const Lanes lanes = lanes_for(ceil_div(s.C, 4), kGradBlock);
  return std::clamp<int64_t>(strips / (lanes.pixels * 4), 1, 256);
}

// True iff one of the kernels with Taps takes the shape; then it has called visit(Taps).
template <typename Visit>
bool with_taps(const Conv2dShape& s, const Visit& visit) {
  if (s.kernel_h != s.kernel_w) return false;
  const auto is = [&](int64_t taps, int64_t stride, int64_t dilation) {
    return s.kernel_h == taps && s.stride == stride && s.dilation == dilation;
  };
  if (is(3, 1, 1)) return visit(Taps<3, 1, 1>{}), true;
  if (is(3, 1, 2)) return visit(Taps<3, 1, 2>{}), true;
  if (is(3, 2, 1)) return visit(Taps<3, 2, 1>{}), true;
  if (is(3, 2, 2)) return visit(Taps<3, 2, 2>{}), true;
  if (is(5, 1, 1)) return visit(Taps<5, 1, 1>{}), true;
  if (is(5, 1, 2)) return visit(Taps<5, 1, 2>{}), true;
  if (is(5, 2, 1)) return visit(Taps<5, 2, 1>{}), true;
  if (is(5, 2, 2)) return visit(Taps<5, 2, 2>{}), true;
  return false;
}

template <typename T, typename... Pointers>
bool whole_vectors(const Conv2dShape& s, const Pointers*... p) {
  constexpr int kWidth = Vec<T>::kWidth;
  return s.C % kWidth == 0 && aligned<kWidth>(p...);
}

bool supports(const Conv2dShape& s) {
  return s.groups == s.C && s.out_C == s.C;
}

template <typename T>
void forward(CudaContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  const int64_t items =
      s.N * s.out_h() * ceil_div(s.out_w(), kStrip) * ceil_div(s.C, Vec<T>::kWidth);
  const unsigned grid = grid_size(ctx, items, kBlock);
  const auto run = [&](auto kernel) {
    CU_LAUNCH(kernel, grid, kBlock, 0, ctx.stream(), ConvExtents(s), x, gate, w, y);
  };
  const bool vector = whole_vectors<T>(s, x, gate, w, y);
  if (vector &&
      with_taps(s, [&](auto taps) { run(depthwise_forward_kernel<decltype(taps), T>); })) {
    return;
  }
  with_bool(vector, [&](auto whole) { run(depthwise_forward_any_kernel<whole, T>); });
}

template <typename T>
void input_grad(
    CudaContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  const int64_t rows = s.N * s.H, vectors = ceil_div(s.C, Vec<T>::kWidth);
  const auto run = [&](auto kernel, int64_t items) {
    CU_LAUNCH(kernel,
              grid_size(ctx, items, kBlock),
              kBlock,
              0,
              ctx.stream(),
              ConvExtents(s),
              grad_y,
              gate,
              w,
              grad_x);
  };
  const bool vector = whole_vectors<T>(s, grad_y, gate, w, grad_x);
  if (vector && with_taps(s, [&](auto taps) {
        const int64_t strips = ceil_div(s.W + s.padding % s.stride, kStrip);
        run(depthwise_input_grad_kernel<decltype(taps), T>, rows * strips * vectors);
      })) {
    return;
  }
  with_bool(vector, [&](auto whole) {
    run(depthwise_input_grad_any_kernel<whole, T>, rows * s.W * vectors);
  });
}

template <typename T>
void weight_grad(CudaContext& ctx,
                 const Conv2dShape& s,
                 const T* x,
                 const T* gate,
                 const T* grad_y,
                 T* partials) {
  const int64_t vectors = ceil_div(s.C, Vec<T>::kWidth);
  const Lanes lanes = lanes_for(vectors, kGradBlock);
  const dim3 grid(static_cast<unsigned>(grad_blocks(s)),
                  static_cast<unsigned>(s.kernel_h),
                  static_cast<unsigned>(ceil_div(vectors, lanes.channels)));
  const auto run = [&](auto kernel) {
    CU_LAUNCH(kernel,
              grid,
              kGradBlock,
              0,
              ctx.stream(),
              ConvExtents(s),
              lanes,
              x,
              gate,
              grad_y,
              partials);
  };
  const bool vector = whole_vectors<T>(s, x, gate, grad_y, partials);
  if (vector &&
      with_taps(s, [&](auto taps) { run(depthwise_weight_grad_kernel<decltype(taps), T>); })) {
    return;
  }
  with_bool(vector, [&](auto whole) { run(depthwise_weight_grad_any_kernel<whole, T>); });
}

}  // namespace

template <typename T>
ConvWay<T> depthwise_way() {
  return {supports, grad_blocks, forward<T>, input_grad<T>, weight_grad<T>};
}

template ConvWay<float> depthwise_way();
template ConvWay<double> depthwise_way();

}  // namespace oche::kernels::cuda
