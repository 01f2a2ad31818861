// The backward pass over the sources of a fused cell on the CPU. A task is a block of images of a
// source, an image at a time: one convolution after the other, the gradient of its result is
// rebuilt some rows at a time, taken back through the pointwise part into planes, and from there
// through the depthwise part into the sum over all convolutions.
#include "kernels/cpu/mixed_cell_extras.h"
#include "kernels/cpu/mixed_cell_planes.h"
#include "kernels/cpu/mixed_cell_product.h"

namespace oche::kernels {
namespace {

// Images that share a partial weight gradient.
int64_t images_per_block(int64_t N) {
  return std::clamp<int64_t>(ceil_div(N, 16), 1, 8);
}

// A convolution of a cell on the way back.
template <typename T>
struct Unit {
  Unit(const CellShape& s, const CellConvBackward<T>& c)
      : backward(c), rows(cell_axis(c.conv, s.H)), columns(cell_axis(c.conv, s.W)) {}

  // body(row axis, column axis) for the residues of the source's pixels that the convolution reads.
  template <typename Body>
  void for_adjoints(const CellShape& s, const Body& body) const {
    const CellConv<T>& c = backward.conv;
    const Conv2dShape shape{.N = s.N,
                            .H = s.H,
                            .W = s.W,
                            .C = s.C,
                            .kernel_h = c.kernel,
                            .kernel_w = c.kernel,
                            .out_C = s.C,
                            .groups = s.C,
                            .stride = c.stride,
                            .padding = -c.offset,
                            .dilation = c.dilation};
    for (int64_t a = 0; a < std::min(c.stride, s.H); ++a) {
      const GatherAxis row = adjoint_axis(shape, s.H, rows.positions, c.kernel, a);
      for (int64_t b = 0; b < std::min(c.stride, s.W); ++b) {
        const GatherAxis column = adjoint_axis(shape, s.W, columns.positions, c.kernel, b);
        if (row.taps > 0 && column.taps > 0) body(row, column);
      }
    }
  }
  int64_t depthwise_size(int64_t C) const {
    return backward.conv.kernel * backward.conv.kernel * C;
  }
  int64_t pointwise_size(int64_t C) const { return C * backward.conv.out; }

  CellConvBackward<T> backward;
  GatherAxis rows, columns;
  GradientOfNormalised<T> gradient;
  T* transposed = nullptr;  // pointwise weights, (out, C)
  // Of all blocks, one after the other; nullptr: not wanted.
  T *depthwise_partials = nullptr, *pointwise_partials = nullptr;
};

template <typename T>
class BackwardPass {
 public:
  BackwardPass(const CellShape& shape,
               const std::vector<CellSourceBackward<T>>& sources,
               int threads,
               std::byte* workspace)
      : s_(shape),
        sources_(sources),
        carver_(workspace),
        per_block_(images_per_block(shape.N)),
        blocks_(ceil_div(shape.N, per_block_)),
        layout_(plain_layout(shape)) {
    int64_t band = 0, out = 0;
    for (const CellSourceBackward<T>& source : sources) {
      units_.emplace_back();
      for (const CellConvBackward<T>& c : source.convs) {
        Unit<T>& unit = units_.back().emplace_back(s_, c);
        layout_.reach(unit.rows, unit.columns);
        unit.for_adjoints(s_, [&](const GatherAxis& rows, const GatherAxis& columns) {
          result_layout_.reach(rows, columns);
        });
        result_layout_.reach(whole(unit.rows), whole(unit.columns));
        prepare(unit);
        band = std::max(band, band_rows(unit.columns.positions) * unit.columns.positions);
        out = std::max(out, c.conv.out);
      }
      extras_.emplace_back(s_, source, carver_);
    }
    for (int worker = 0; worker < threads; ++worker) {
      workers_.push_back({Planes<T>(layout_, s_.C, carver_),
                          Planes<T>(result_layout_, s_.C, carver_),
                          Planes<T>(plain_layout(s_), s_.C, carver_),
                          PoolPlanes<T>(s_, carver_),
                          carver_.template take<T>((band + kOutputs) * s_.C),
                          carver_.template take<T>((band + kOutputs) * out)});
    }
    ones_ = carver_.template take<T>(s_.C);
    sums_ = carver_.template take<double>(std::ssize(sources) * blocks_ * 2 * s_.C);
  }

  int64_t bytes() const { return carver_.bytes(); }

  void run(CpuContext& ctx) {
    std::fill_n(ones_, s_.C, T(1));
    std::vector<const Unit<T>*> all;
    for (auto& units : units_) {
      for (Unit<T>& unit : units) {
        unit.gradient.prepare(s_.eps, s_.N * unit.rows.positions * unit.columns.positions);
        all.push_back(&unit);
      }
    }
    for (SourceExtras<T>& extras : extras_) extras.prepare();
    const auto units = static_cast<int64_t>(all.size());
    ctx.parallel(units, [&](int64_t u) {
      const CellConv<T>& conv = all[u]->backward.conv;
      transpose_block(conv.out, s_.C, conv.pointwise, conv.out, all[u]->transposed, s_.C);
      round_factors(s_.products, all[u]->pointwise_size(s_.C), all[u]->transposed);
    });
    ctx.parallel(std::ssize(sources_) * blocks_, [&](int64_t task, int64_t worker) {
      block(task / blocks_, task % blocks_, workers_[worker]);
    });
    ctx.parallel(units, [&](int64_t u) { merge_weights(*all[u]); });
    ctx.parallel(std::ssize(sources_), [&](int64_t i) { merge_sums(i); });
  }

 private:
  struct Worker {
    Planes<T> source, result;  // the source; the gradient of a depthwise convolution's result
    Planes<T> sum;             // the gradient of the rectified source
    PoolPlanes<T> pools;
    T* depthwise;  // results of the depthwise convolution, (pixels, C)
    T* grad_y;     // (pixels, out)
  };

  // The axis of results as they lie in their planes, with zeros up to a multiple of kOutputs.
  static GatherAxis whole(const GatherAxis& axis) {
    return {.extent = axis.positions,
            .positions = axis.positions,
            .start = 0,
            .step = 1,
            .taps = 1,
            .tap = 0,
            .tap_step = 1,
            .scale = 1,
            .offset = 0,
            .offset_step = 1};
  }
  void prepare(Unit<T>& unit) {
    const CellConvBackward<T>& c = unit.backward;
    unit.gradient = GradientOfNormalised<T>(c.conv.out, c.moments, c.incoming, carver_);
    unit.transposed = carver_.template take<T>(unit.pointwise_size(s_.C));
    if (c.grad_depthwise)
      unit.depthwise_partials = carver_.template take<T>(blocks_ * unit.depthwise_size(s_.C));
    if (c.grad_pointwise)
      unit.pointwise_partials = carver_.template take<T>(blocks_ * unit.pointwise_size(s_.C));
  }

  void block(int64_t index, int64_t block, const Worker& worker) const {
    const CellSourceBackward<T>& source = sources_[index];
    double* sums = source.sum_g ? sums_ + (index * blocks_ + block) * 2 * s_.C : nullptr;
    if (sums) std::fill_n(sums, 2 * s_.C, 0.0);
    for (const Unit<T>& unit : units_[index]) {
      const auto clear = [&](T* partials, int64_t size) {
        if (partials) std::fill_n(partials + block * size, size, T(0));
      };
      clear(unit.depthwise_partials, unit.depthwise_size(s_.C));
      clear(unit.pointwise_partials, unit.pointwise_size(s_.C));
    }
    worker.source.clear();
    worker.result.clear();
    if (!source.pools.empty()) worker.pools.clear();
    const int64_t end = std::min(s_.N, (block + 1) * per_block_);
    for (int64_t n = block * per_block_; n < end; ++n) {
      load_source(s_, source.source, n, worker.source);
      worker.sum.clear();
      for (const Unit<T>& unit : units_[index]) convolution(unit, n, block, worker);
      extras_[index].finish(n, worker.source, worker.sum, worker.pools, sums);
    }
  }

  void convolution(const Unit<T>& unit, int64_t n, int64_t block, const Worker& worker) const {
    const ColumnTaps taps = layout_.taps(unit.columns);
    with_taps(taps, [&](auto type) {
      using Taps = decltype(type);
      through_pointwise<Taps>(unit, taps, n, block, worker);
      if (unit.depthwise_partials) depthwise_weights<Taps>(unit, taps, block, worker);
    });
    through_depthwise(unit, worker);
  }

  // The gradient of the depthwise convolution's result, into planes; and that of the pointwise
  // weights.
  template <typename Taps>
  void through_pointwise(const Unit<T>& unit,
                         const ColumnTaps& taps,
                         int64_t n,
                         int64_t block,
                         const Worker& worker) const {
    const CellConv<T>& conv = unit.backward.conv;
    const int64_t width = unit.columns.positions, step = band_rows(width);
    const int64_t plane = result_layout_.size();
    for (int64_t first = 0; first < unit.rows.positions; first += step) {
      const int64_t last = std::min(unit.rows.positions, first + step);
      const int64_t pixels = (last - first) * width;
      unit.gradient.rebuild(
          (n * unit.rows.positions + first) * width, pixels, unit.backward.y, worker.grad_y);
      round_factors(s_.products, pixels * conv.out, worker.grad_y);
      if (unit.pointwise_partials) {
        depthwise_band<Taps>(worker.source,
                             conv,
                             unit.rows,
                             unit.columns,
                             taps,
                             first,
                             last,
                             s_.C,
                             ones_,
                             worker.depthwise);
        round_factors(s_.products, pixels * s_.C, worker.depthwise);
        T* to = unit.pointwise_partials + block * unit.pointwise_size(s_.C);
        cell_product<T>(s_.C,
                        conv.out,
                        pixels,
                        {worker.depthwise, 1, s_.C},
                        worker.grad_y,
                        conv.out,
                        StoreRows<T>{to, conv.out, true});
      }
      for (int64_t p = first; p < last; ++p) {
        T* const to = worker.result.template plane<T>(0);
        const int64_t at = result_layout_.row(p) + result_layout_.column(0);
        cell_product<T>(width,
                        s_.C,
                        conv.out,
                        {worker.grad_y + (p - first) * width * conv.out, conv.out, 1},
                        unit.transposed,
                        s_.C,
                        [to, at, plane](int64_t i, int64_t c, auto v) {
                          v.store(to + c * plane + (at + i) * decltype(v)::kLanes);
                        });
      }
    }
  }

  template <typename Taps>
  void depthwise_weights(const Unit<T>& unit,
                         const ColumnTaps& taps,
                         int64_t block,
                         const Worker& worker) const {
    const int64_t kernel = unit.backward.conv.kernel;
    T* partials = unit.depthwise_partials + block * unit.depthwise_size(s_.C);
    for_channels<T>(0, s_.C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      const V *x = worker.source.template plane<V>(c), *g = worker.result.template plane<V>(c);
      V sums[ColumnTaps::kMax * ColumnTaps::kMax];
      std::fill_n(sums, kernel * kernel, V{});
      for (int64_t p = 0; p < unit.rows.positions; ++p) {
        const V* from = g + result_layout_.row(p) + result_layout_.column(0);
        for (int64_t j = 0; j < unit.columns.positions; j += kOutputs, from += kOutputs) {
          V grad[kOutputs];
#pragma GCC unroll 16
          for (int k = 0; k < kOutputs; ++k) grad[k] = from[k];
          for (int64_t r = 0; r < kernel; ++r) {
            const int64_t h = unit.rows.at(p, r);
            if (!unit.rows.inside(h)) continue;
            const V* row = x + layout_.row(h) + layout_.column(unit.columns.offset);
            Taps::weight_grad(taps, row + j, grad, sums + r * kernel);
          }
        }
      }
      for (int64_t t = 0; t < kernel * kernel; ++t) {
        T* to = partials + t * s_.C + c;
        (V::load(to) + sums[t]).store(to);
      }
    });
  }

  // Adds the gradient of the rectified source.
  void through_depthwise(const Unit<T>& unit, const Worker& worker) const {
    const CellConv<T>& conv = unit.backward.conv;
    const T* weights = conv.depthwise ? conv.depthwise : ones_;
    unit.for_adjoints(s_, [&](const GatherAxis& rows, const GatherAxis& columns) {
      const ColumnTaps taps = result_layout_.taps(columns);
      with_taps(taps, [&](auto type) {
        for_channels<T>(0, s_.C, [&](auto tag, int64_t c) {
          using V = typename decltype(tag)::type;
          const V* plane = worker.result.template plane<V>(c);
          const PlaneLayout& to = worker.sum.layout();
          for (int64_t i = 0; i < rows.positions; ++i) {
            V* sum = worker.sum.template plane<V>(c) + to.row(rows.start + i * rows.step) +
                     to.column(columns.start);
            correlate_row<decltype(type)>(result_layout_,
                                          rows,
                                          columns,
                                          taps,
                                          i,
                                          plane,
                                          weights + c,
                                          s_.C,
                                          conv.kernel,
                                          [&](int64_t j, V v) {
                                            V* at = sum + j * columns.step;
                                            *at = *at + v;
                                          });
          }
        });
      });
    });
  }

  void merge_weights(const Unit<T>& unit) const {
    const auto merge = [&](const T* partials, int64_t size, T* to) {
      if (!partials) return;
      for (int64_t i = 0; i < size; ++i) {
        double sum = 0;
        for (int64_t b = 0; b < blocks_; ++b) sum += static_cast<double>(partials[b * size + i]);
        to[i] = static_cast<T>(sum);
      }
    };
    merge(unit.depthwise_partials, unit.depthwise_size(s_.C), unit.backward.grad_depthwise);
    merge(unit.pointwise_partials, unit.pointwise_size(s_.C), unit.backward.grad_pointwise);
  }

  void merge_sums(int64_t index) const {
    const CellSourceBackward<T>& source = sources_[index];
    if (!source.sum_g) return;
    for (int64_t c = 0; c < s_.C; ++c) {
      double total[2] = {};
      for (int64_t b = 0; b < blocks_; ++b) {
        const double* sums = sums_ + (index * blocks_ + b) * 2 * s_.C;
        for (int64_t k = 0; k < 2; ++k) total[k] += sums[k * s_.C + c];
      }
      source.sum_g[c] = static_cast<T>(total[0]);
      source.sum_gx[c] = static_cast<T>(total[1]);
    }
  }

  const CellShape s_;
  const std::vector<CellSourceBackward<T>>& sources_;
  Carver carver_;
  const int64_t per_block_, blocks_;
  PlaneLayout layout_, result_layout_;
  std::vector<std::vector<Unit<T>>> units_;  // of each source
  std::vector<SourceExtras<T>> extras_;
  std::vector<Worker> workers_;
  T* ones_;       // the weights of a convolution that has none
  double* sums_;  // of each source and block: of the gradient, and of it times the source
};

}  // namespace

template <typename T>
void cell_source_backward(CpuContext& ctx,
                          const CellShape& shape,
                          const std::vector<CellSourceBackward<T>>& sources,
                          std::byte* workspace) {
  BackwardPass<T>(shape, sources, ctx.threads(), workspace).run(ctx);
}

template <typename T>
int64_t cell_source_backward_workspace(const CpuContext& ctx,
                                       const CellShape& shape,
                                       const std::vector<CellSourceBackward<T>>& sources) {
  return BackwardPass<T>(shape, sources, ctx.threads(), nullptr).bytes();
}

#define OCHE_INSTANTIATE(T)                                                                  \
  template void cell_source_backward(                                                        \
      CpuContext&, const CellShape&, const std::vector<CellSourceBackward<T>>&, std::byte*); \
  template int64_t cell_source_backward_workspace(                                           \
      const CpuContext&, const CellShape&, const std::vector<CellSourceBackward<T>>&);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
