// Convolution as a matrix product: a row is the patch that an output pixel reads, a column an output channel of a group.
// Patches are gathered onto the stack, a few at a time; that takes care of gate, padding, stride, dilation and groups.
#include <algorithm>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_gather.h"
#include "kernels/cpu/conv2d_way.h"
#include "kernels/cpu/gemm_tile.h"

namespace oche::kernels {

namespace {

constexpr int64_t kDepth = 256;           // columns of the patch matrix worked on at a time
constexpr int64_t kPatchElements = 6144;  // 24 rows of that depth
constexpr int64_t kPanelColumns = 32;     // of transposed weights
constexpr int64_t kTaskPixels = 480;

template <typename T>
void copy_gated(int64_t n, const T* x, const T* gate, T* y) {
  for_channels<T>(n, [=](auto tag, int64_t c) {
    using V = typename decltype(tag)::type;
    V v = V::load(x + c);
    if (gate) v = gated(v, V::load(gate + c));
    v.store(y + c);
  });
}

// The patch matrix of one group: row m is the m-th target position in scan order, a column one of (row tap, column tap,
// channel).
template <typename T>
class Patches {
 public:
  Patches(const Gather& gather, const T* source, const T* gate, int64_t first, int64_t channels)
      : g_(gather), source_(source + first), gate_(gate ? gate + first : nullptr), channels_(channels) {}

  int64_t depth() const { return g_.rows.taps * g_.columns.taps * channels_; }

  // How many rows of `depth` columns a buffer of kPatchElements holds; a multiple of the heights of a tile.
  static int64_t capacity(int64_t depth) {
    return kPatchElements / std::max<int64_t>(1, depth) / 24 * 24;
  }

  // Rows [m, m + count) and columns [k, k + depth): in place where they are source elements as they stand, else in `buffer`.
  StridedMatrix<T> slab(int64_t m, int64_t count, int64_t k, int64_t depth, T* buffer) const {
    if (pointwise() && !gate_) return {source_ + m * g_.source_C + k, g_.source_C, 1};
    if (pointwise() && depth == g_.source_C) {
      const int64_t at = m * depth;
      copy_gated(count * depth, source_ + at, gate_ ? gate_ + at : nullptr, buffer);
    } else {
      gather(m, count, k, depth, buffer);
    }
    return {buffer, depth, 1};
  }

  // body(row tap, column tap, first channel, first column, columns) for the runs of channels under one tap that make up
  // the columns [k, k + depth), numbered from k.
  template <typename Body>
  void for_runs(int64_t k, int64_t depth, const Body& body) const {
    if (depth == 0) return;
    int64_t c = k % channels_, s = k / channels_ % g_.columns.taps, r = k / channels_ / g_.columns.taps;
    for (int64_t column = 0; column < depth;) {
      const int64_t n = std::min(channels_ - c, depth - column);
      body(r, s, c, column, n);
      column += n;
      c = 0;
      if (++s == g_.columns.taps) s = 0, ++r;
    }
  }

 private:
  bool pointwise() const { return g_.rows.is_identity() && g_.columns.is_identity(); }

  void gather(int64_t m, int64_t count, int64_t k, int64_t depth, T* buffer) const {
    int64_t j = m % g_.columns.positions, i = m / g_.columns.positions % g_.rows.positions,
            n = m / g_.columns.positions / g_.rows.positions;
    for (T* row = buffer; row < buffer + count * depth; row += depth) {
      for_runs(k, depth, [&](int64_t r, int64_t s, int64_t c, int64_t column, int64_t size) {
        const int64_t h = g_.rows.at(i, r), w = g_.columns.at(j, s);
        if (h < 0 || h >= g_.rows.extent || w < 0 || w >= g_.columns.extent) {
          std::fill_n(row + column, size, T(0));
          return;
        }
        const int64_t at = ((n * g_.rows.extent + h) * g_.columns.extent + w) * g_.source_C + c;
        copy_gated(size, source_ + at, gate_ ? gate_ + at : nullptr, row + column);
      });
      if (++j == g_.columns.positions) {
        j = 0;
        if (++i == g_.rows.positions) i = 0, ++n;
      }
    }
  }

  const Gather& g_;
  const T *source_, *gate_;
  int64_t channels_;
};

// target = patches of source * weights, for the target positions [begin, end). The adjoint reads the weights transposed.
template <typename T>
struct PatchProduct {
  const Conv2dShape& shape;
  const Gather& gather;
  const T *source, *source_gate, *weights;
  T* target;
  const T* target_gate;
  bool adjoint;

  void run(int64_t begin, int64_t end) const {
    for (int64_t group = 0; group < shape.groups; ++group) run_group(group, begin, end);
  }

  void run_group(int64_t group, int64_t begin, int64_t end) const {
    const int64_t in = gather.source_C / shape.groups, out = gather.target_C / shape.groups;
    const Patches<T> patches(gather, source, source_gate, group * in, in);
    const int64_t panel_columns = adjoint ? kPanelColumns : out;
    alignas(64) T panel[kDepth * kPanelColumns];
    int64_t k = 0;
    do {  // once for a depth of 0 too: a strided adjoint has positions that no tap reaches
      const int64_t depth = std::min(kDepth, patches.depth() - k);
      for (int64_t j = 0; j < out; j += panel_columns) {
        const int64_t columns = std::min(panel_columns, out - j);
        if (adjoint) {
          transpose_weights(patches, group, k, depth, j, columns, panel);
          multiply(patches, begin, end, k, depth, panel, columns, group * out + j, columns);
        } else {
          multiply(patches, begin, end, k, depth, weights + k * shape.out_C + group * out, shape.out_C, group * out, columns);
        }
      }
      k += kDepth;
    } while (k < patches.depth());
  }

  void transpose_weights(const Patches<T>& patches, int64_t group, int64_t k, int64_t depth, int64_t first, int64_t columns, T* panel) const {
    const int64_t in = shape.C / shape.groups, out = shape.out_C / shape.groups;
    patches.for_runs(k, depth, [&](int64_t r, int64_t s, int64_t o, int64_t row, int64_t n) {
      const int64_t tap = (gather.rows.tap + r * gather.rows.tap_step) * shape.kernel_w + gather.columns.tap + s * gather.columns.tap_step;
      transpose_block(n, columns, weights + (tap * in + first) * shape.out_C + group * out + o, shape.out_C, panel + row * columns, columns);
    });
  }

  void multiply(const Patches<T>& patches, int64_t begin, int64_t end, int64_t k, int64_t depth, const T* b, int64_t ldb, int64_t channel, int64_t columns) const {
    alignas(64) T buffer[kPatchElements];
    const int64_t row = gather.columns.positions;
    const bool dense = gather.rows.step == 1 && gather.columns.step == 1;
    for (int64_t m = begin, count; m < end; m += count) {
      count = std::min(Patches<T>::capacity(depth), end - m);
      if (!dense) count = std::min(count, row - m % row);  // one target row: evenly spaced pixels
      const StridedMatrix<T> a = patches.slab(m, count, k, depth, buffer);
      const int64_t at = gather.target_pixel(m / row / gather.rows.positions, m / row % gather.rows.positions, m % row) * gather.target_C + channel;
      gemm_block(count, columns, depth, a, b, ldb, StoreRows<T>{target + at, gather.columns.step * gather.target_C, k > 0, target_gate ? target_gate + at : nullptr});
    }
  }
};

template <typename T>
void run_product(CpuContext& ctx, const PatchProduct<T>& product) {
  const Gather& g = product.gather;
  for_blocks(ctx, g.N * g.rows.positions * g.columns.positions, kTaskPixels, [&](int64_t begin, int64_t end) { product.run(begin, end); });
}

template <typename T>
void forward(CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  const Gather gather = forward_gather(s);
  run_product(ctx, PatchProduct<T>{s, gather, x, gate, w, y, nullptr, false});
}

template <typename T>
void input_grad(CpuContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  for_adjoint_gathers(s, [&](const Gather& gather) {
    run_product(ctx, PatchProduct<T>{s, gather, grad_y, nullptr, w, grad_x, gate, true});
  });
}

// partial = (patches of x)^T * grad_y, over the output pixels of a block.
template <typename T>
void weight_grad(CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* grad_y, T* partials) {
  const Gather gather = forward_gather(s);
  const int64_t pixels = s.N * s.out_h() * s.out_w(), blocks = weight_grad_blocks(s);
  const int64_t in = s.C / s.groups, out = s.out_C / s.groups;
  ctx.parallel(blocks, [&](int64_t block) {
    alignas(64) T buffer[kPatchElements];
    const int64_t begin = block * pixels / blocks, end = (block + 1) * pixels / blocks;
    for (int64_t group = 0; group < s.groups; ++group) {
      const Patches<T> patches(gather, x, gate, group * in, in);
      for (int64_t k = 0; k < patches.depth(); k += kDepth) {
        const int64_t depth = std::min(kDepth, patches.depth() - k), step = Patches<T>::capacity(depth);
        T* partial = partials + block * weight_size(s) + k * s.out_C + group * out;
        int64_t m = begin;
        do {  // once for an empty block too
          const int64_t count = std::min(step, end - m);
          const StridedMatrix<T> a = patches.slab(m, count, k, depth, buffer);
          gemm_block(depth, out, count, StridedMatrix<T>{a.data, a.column, a.row}, grad_y + m * s.out_C + group * out, s.out_C,
                     StoreRows<T>{partial, s.out_C, m > begin});
          m += step;
        } while (m < end);
      }
    }
  });
}

}  // namespace

template <typename T>
Conv2dWay<T> patches_way() {
  return {[](const Conv2dShape&) { return true; }, forward<T>, input_grad<T>, weight_grad<T>};
}
template Conv2dWay<float> patches_way();
template Conv2dWay<double> patches_way();

}  // namespace oche::kernels
