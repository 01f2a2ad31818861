// Convolution as a matrix product: a row is the patch that an output pixel reads, a column an
// output channel of a group.
#include <algorithm>

#include "kernels/cpu/blocks.h"
#include "kernels/cpu/conv2d_patch_matrix.h"
#include "kernels/cpu/conv2d_way.h"
#include "kernels/cpu/gemm_tile.h"

namespace oche::kernels {

namespace {

constexpr int64_t kDepth = 256;           // columns of the patch matrix worked on at a time
constexpr int64_t kPanelElements = 8192;  // of transposed weights
constexpr int64_t kMaxRows = 96;          // whose part of the target stays in the first-level cache
constexpr int64_t kTaskPixels = 480;

// The block of weights (patch columns [k, k + depth), target channels [channel, channel +
// columns)); rows of b are ldb apart.
template <typename T>
struct Panel {
  int64_t k, depth, channel, columns;
  const T* b;
  int64_t ldb;
};

// target = gated(patches of gated source * weights), a range of target positions at a time. The
// adjoint reads the weights transposed.
template <typename T>
struct PatchProduct {
  const Conv2dShape& shape;
  const Gather& gather;
  const T *source, *source_gate, *weights;
  T* target;
  const T* target_gate;
  bool adjoint;

  void run(int64_t begin, int64_t end) const {
    const int64_t in = gather.source_C / shape.groups, out = gather.target_C / shape.groups;
    for (int64_t group = 0; group < shape.groups; ++group) {
      const Patches<T> patches(gather, source, source_gate, group * in, in);
      int64_t k = 0;
      do {  // once for a depth of 0 too: a strided adjoint has positions that no tap reaches
        const int64_t depth = std::min(kDepth, patches.depth() - k);
        const int64_t columns =
            adjoint ? kPanelElements / std::max<int64_t>(1, depth) / 16 * 16 : out;
        for (int64_t j = 0; j < out; j += columns) {
          Panel<T> panel{k,
                         depth,
                         group * out + j,
                         std::min(columns, out - j),
                         weights + k * shape.out_C + group * out,
                         shape.out_C};
          if (adjoint) {
            multiply_transposed(patches, begin, end, panel);
          } else {
            multiply(patches, begin, end, panel);
          }
        }
        k += kDepth;
      } while (k < patches.depth());
    }
  }

  // Fills in b and ldb.
  void multiply_transposed(const Patches<T>& patches,
                           int64_t begin,
                           int64_t end,
                           Panel<T> panel) const {
    const int64_t in = shape.C / shape.groups, out = shape.out_C / shape.groups;
    const int64_t group = panel.channel / in, c = panel.channel % in;
    alignas(64) T b[kPanelElements];
    patches.for_runs(
        panel.k, panel.depth, [&](int64_t r, int64_t s, int64_t o, int64_t k, int64_t n) {
          const int64_t tap = (gather.rows.tap + r * gather.rows.tap_step) * shape.kernel_w +
                              gather.columns.tap + s * gather.columns.tap_step;
          const T* w = weights + (tap * in + c) * shape.out_C + group * out + o;
          transpose_block(n, panel.columns, w, shape.out_C, b + k * panel.columns, panel.columns);
        });
    panel.b = b;
    panel.ldb = panel.columns;
    multiply(patches, begin, end, panel);
  }

  void multiply(const Patches<T>& patches,
                int64_t begin,
                int64_t end,
                const Panel<T>& panel) const {
    alignas(64) T buffer[Patches<T>::kElements];
    const bool dense = gather.rows.step == 1 && gather.columns.step == 1;
    for (int64_t m = begin, count; m < end; m += count) {
      const auto [n, i, j] = gather.position(m);
      count = std::min({kMaxRows, Patches<T>::capacity(panel.depth), end - m});
      if (!dense) count = std::min(count, gather.columns.positions - j);  // evenly spaced pixels
      const int64_t at = gather.target_pixel(n, i, j) * gather.target_C + panel.channel;
      const StoreRows<T> store{target + at,
                               gather.columns.step * gather.target_C,
                               panel.k > 0,
                               target_gate ? target_gate + at : nullptr};
      gemm_block(count,
                 panel.columns,
                 panel.depth,
                 patches.slab(m, count, panel.k, panel.depth, buffer),
                 panel.b,
                 panel.ldb,
                 store);
    }
  }
};

template <typename T>
void run_product(CpuContext& ctx, const PatchProduct<T>& product) {
  const Gather& g = product.gather;
  for_blocks(ctx,
             g.N * g.rows.positions * g.columns.positions,
             kTaskPixels,
             [&](int64_t begin, int64_t end) { product.run(begin, end); });
}

template <typename T>
void forward(CpuContext& ctx, const Conv2dShape& s, const T* x, const T* gate, const T* w, T* y) {
  const Gather gather = forward_gather(s);
  run_product(ctx, PatchProduct<T>{s, gather, x, gate, w, y, nullptr, false});
}

template <typename T>
void input_grad(
    CpuContext& ctx, const Conv2dShape& s, const T* grad_y, const T* gate, const T* w, T* grad_x) {
  for_adjoint_gathers(s, [&](const Gather& gather) {
    run_product(ctx, PatchProduct<T>{s, gather, grad_y, nullptr, w, grad_x, gate, true});
  });
}

// partial = (patches of x)^T * grad_y, over the output pixels [begin, end).
template <typename T>
void weight_grad_pixels(const Conv2dShape& s,
                        const Gather& gather,
                        int64_t begin,
                        int64_t end,
                        const T* x,
                        const T* gate,
                        const T* grad_y,
                        T* partial) {
  const int64_t in = s.C / s.groups, out = s.out_C / s.groups;
  alignas(64) T buffer[Patches<T>::kElements];
  for (int64_t group = 0; group < s.groups; ++group) {
    const Patches<T> patches(gather, x, gate, group * in, in);
    for (int64_t k = 0; k < patches.depth(); k += kDepth) {
      // Half of what the buffer holds, so that it stays in the first-level cache beside grad_y.
      const int64_t depth = std::min(kDepth, patches.depth() - k),
                    step = Patches<T>::capacity(depth) / 2;
      for (int64_t m = begin; m < end; m += step) {
        const int64_t count = std::min(step, end - m);
        const StridedMatrix<T> a = patches.slab(m, count, k, depth, buffer);
        gemm_block(depth,
                   out,
                   count,
                   StridedMatrix<T>{a.data, a.column, a.row},
                   grad_y + m * s.out_C + group * out,
                   s.out_C,
                   StoreRows<T>{partial + k * s.out_C + group * out, s.out_C, m > begin});
      }
    }
  }
}

// body(begin, end, block) for the ranges of output pixels whose partial gradients are kept apart.
template <typename Body>
void for_pixel_blocks(CpuContext& ctx, const Conv2dShape& s, const Body& body) {
  const int64_t pixels = s.N * s.out_h() * s.out_w(), blocks = weight_grad_blocks(s);
  ctx.parallel(blocks, [&](int64_t block) {
    body(block * pixels / blocks, (block + 1) * pixels / blocks, block);
  });
}

template <typename T>
void weight_grad(CpuContext& ctx,
                 const Conv2dShape& s,
                 const T* x,
                 const T* gate,
                 const T* grad_y,
                 T* partials) {
  const Gather gather = forward_gather(s);
  for_pixel_blocks(ctx, s, [&](int64_t begin, int64_t end, int64_t block) {
    weight_grad_pixels(s, gather, begin, end, x, gate, grad_y, partials + block * weight_size(s));
  });
}

template <typename T>
void backward(CpuContext& ctx,
              const Conv2dShape& s,
              const T* x,
              const T* gate,
              const T* grad_y,
              const T* w,
              T* grad_x,
              T* partials) {
  const Gather gather = forward_gather(s);
  if (!gather.rows.is_identity() || !gather.columns.is_identity()) {
    input_grad(ctx, s, grad_y, gate, w, grad_x);
    weight_grad(ctx, s, x, gate, grad_y, partials);
    return;
  }
  // A pixel of the output is a pixel of the input, and the only adjoint gather says so too.
  for_adjoint_gathers(s, [&](const Gather& adjoint) {
    const PatchProduct<T> product{s, adjoint, grad_y, nullptr, w, grad_x, gate, true};
    for_pixel_blocks(ctx, s, [&](int64_t begin, int64_t end, int64_t block) {
      product.run(begin, end);
      weight_grad_pixels(s, gather, begin, end, x, gate, grad_y, partials + block * weight_size(s));
    });
  });
}

}  // namespace

template <typename T>
Conv2dWay<T> patches_way() {
  return {[](const Conv2dShape&) { return true; },
          forward<T>,
          input_grad<T>,
          weight_grad<T>,
          backward<T>};
}
template Conv2dWay<float> patches_way();
template Conv2dWay<double> patches_way();

}  // namespace oche::kernels
