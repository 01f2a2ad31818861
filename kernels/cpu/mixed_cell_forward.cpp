// The forward pass over the sources of a fused cell on the CPU. A task is an image of a source: it
// is laid out in planes once, and all convolutions read it there; a few rows at a time go through
// the depthwise and the pointwise part while they are in the first-level cache.
#include "kernels/cpu/mixed_cell_moments.h"
#include "kernels/cpu/mixed_cell_planes.h"
#include "kernels/cpu/mixed_cell_pool.h"
#include "kernels/cpu/mixed_cell_product.h"

namespace oche::kernels {
namespace {

// What belongs to one convolution or pool besides its results.
template <typename T>
struct Measured {
  double* sums;  // of each image; nullptr: not wanted
  int64_t pixels, C;
  Moments<T> moments;
  T* rounded = nullptr;  // pointwise weights, where factors are rounded
};

template <typename T>
class ForwardPass {
 public:
  ForwardPass(const CellShape& shape,
              const std::vector<CellSourceForward<T>>& sources,
              int threads,
              std::byte* workspace)
      : s_(shape), sources_(sources), carver_(workspace), layout_(plain_layout(shape)) {
    int64_t band = 0, out = s_.C, bytes = 0;
    for (const CellSourceForward<T>& source : sources) {
      for (const CellConvForward<T>& c : source.convs) {
        layout_.reach(cell_axis(c.conv, s_.H), cell_axis(c.conv, s_.W));
        const int64_t width = ceil_div(s_.W, c.conv.stride);
        measure(ceil_div(s_.H, c.conv.stride) * width, c.conv.out, c.moments);
        band = std::max(band, band_rows(width) * width);
        out = std::max(out, c.conv.out);
        bytes += s_.N * ceil_div(s_.H, c.conv.stride) * width * c.conv.out * int64_t{sizeof(T)};
        buffered_ = buffered_ || c.y.narrow;
        if (rounds_factors<T>(s_.products))
          measured_.back().rounded = carver_.template take<T>(s_.C * c.conv.out);
      }
      for (const CellPoolForward<T>& p : source.pools) {
        measure(ceil_div(s_.H, p.stride) * ceil_div(s_.W, p.stride), s_.C, p.moments);
        band = std::max(band, ceil_div(s_.W, p.stride));
      }
    }
    buffered_ = buffered_ || bytes >= kStreamedBytes;
    for (int worker = 0; worker < threads; ++worker) {
      workers_.push_back({Planes<T>(layout_, s_.C, carver_),
                          carver_.template take<T>(band * s_.C),
                          carver_.template take<T>(band * out)});
    }
    ones_ = carver_.template take<T>(s_.C);
  }

  int64_t bytes() const { return carver_.bytes(); }

  void run(CpuContext& ctx) {
    std::fill_n(ones_, s_.C, T(1));
    round_weights();
    const auto count = static_cast<int64_t>(sources_.size());
    ctx.parallel(count * s_.N, [&](int64_t task, int64_t worker) {
      image(task / s_.N, task % s_.N, workers_[worker]);
    });
    ctx.parallel(static_cast<int64_t>(measured_.size()), [&](int64_t i) {
      const Measured<T>& m = measured_[i];
      if (m.sums) merge_moments(s_.N, m.pixels, m.C, m.sums, m.moments);
    });
  }

 private:
  struct Worker {
    Planes<T> planes;
    T* depthwise;  // some results of the depthwise convolution, (pixels, C)
    T* result;     // and of the whole, (pixels, out), or of a pool, (pixels, C)
  };

  void measure(int64_t pixels, int64_t C, Moments<T> moments) {
    double* sums =
        moments.mean ? carver_.template take<double>(s_.N * ImageSums::size(C)) : nullptr;
    measured_.push_back({sums, pixels, C, moments});
  }

  void round_weights() const {
    size_t next = 0;
    for (const CellSourceForward<T>& source : sources_) {
      for (const CellConvForward<T>& c : source.convs) {
        T* const rounded = measured_[next++].rounded;
        if (!rounded) continue;
        std::copy_n(c.conv.pointwise, s_.C * c.conv.out, rounded);
        round_factors(s_.products, s_.C * c.conv.out, rounded);
      }
      next += source.pools.size();
    }
  }

  // The sums of image n of the results that `next` counts.
  ImageSums sums_of(size_t next, int64_t n) const {
    const Measured<T>& m = measured_[next];
    return {m.sums ? m.sums + n * ImageSums::size(m.C) : nullptr, m.C};
  }

  void image(int64_t index, int64_t n, const Worker& worker) const {
    const CellSourceForward<T>& source = sources_[index];
    size_t next = 0;
    for (int64_t i = 0; i < index; ++i) next += sources_[i].convs.size() + sources_[i].pools.size();
    if (!source.convs.empty()) {
      worker.planes.clear();
      load_source(s_, source.source, n, worker.planes);
    }
    for (const CellConvForward<T>& c : source.convs) {
      const GatherAxis columns = cell_axis(c.conv, s_.W);
      const ColumnTaps taps = layout_.taps(columns);
      with_taps(taps, [&](auto type) {
        const T* rounded = measured_[next].rounded;
        const T* pointwise = rounded ? rounded : c.conv.pointwise;
        convolve<decltype(type)>(c, pointwise, columns, taps, n, worker, sums_of(next, n));
      });
      ++next;
    }
    for (const CellPoolForward<T>& p : source.pools)
      pool(source.source, p, n, worker, sums_of(next++, n));
    stream_fence();
  }

  template <typename Taps>
  void convolve(const CellConvForward<T>& c,
                const T* pointwise,
                const GatherAxis& columns,
                const ColumnTaps& taps,
                int64_t n,
                const Worker& worker,
                const ImageSums& sums) const {
    const GatherAxis rows = cell_axis(c.conv, s_.H);
    const int64_t width = columns.positions, step = band_rows(width);
    StoredPixels<T> y = c.y.from(n * rows.positions * width * c.y.pitch);
    for (int64_t first = 0; first < rows.positions; first += step) {
      const int64_t last = std::min(rows.positions, first + step);
      depthwise_band<Taps>(
          worker.planes, c.conv, rows, columns, taps, first, last, s_.C, ones_, worker.depthwise);
      const int64_t pixels = (last - first) * width;
      round_factors(s_.products, pixels * s_.C, worker.depthwise);
      const Pixels<T> near = buffered_ ? Pixels<T>{worker.result, c.conv.out} : y.whole();
      cell_product<T>(pixels,
                      c.conv.out,
                      s_.C,
                      {worker.depthwise, s_.C, 1},
                      pointwise,
                      c.conv.out,
                      StoreRows<T>{near.data, near.pitch});
      if (sums.data) sums.add(first == 0, pixels, Pixels<const T>{near.data, near.pitch});
      if (buffered_) stream_pixels(pixels, c.conv.out, near.data, y);
      y = y.from(pixels * y.pitch);
    }
  }

  void pool(const CellSource<T>& source,
            const CellPoolForward<T>& p,
            int64_t n,
            const Worker& worker,
            const ImageSums& sums) const {
    const int64_t height = ceil_div(s_.H, p.stride), width = ceil_div(s_.W, p.stride);
    const T* x = source.x.data + n * s_.H * s_.W * source.x.pitch;
    for (int64_t row = 0; row < height; ++row) {
      for_channels<T>(0, s_.C, [&](auto tag, int64_t c) {
        using V = typename decltype(tag)::type;
        pool_row<V>(p.pool, s_, p.stride, x + c, source.x.pitch, row, [&](int64_t q, V v) {
          v.store(worker.result + q * s_.C + c);
        });
      });
      if (sums.data) sums.add(row == 0, width, Pixels<const T>{worker.result, s_.C});
      if (p.y.stored()) {
        const StoredPixels<T> y = p.y.from((n * height + row) * width * p.y.pitch);
        stream_pixels(width, s_.C, worker.result, y);
      }
    }
  }

  const CellShape s_;
  const std::vector<CellSourceForward<T>>& sources_;
  Carver carver_;
  PlaneLayout layout_;
  bool buffered_ = false;              // a band of results is written to its place in one go
  std::vector<Measured<T>> measured_;  // convolutions, then pools, source by source
  std::vector<Worker> workers_;
  T* ones_;  // the weights of a convolution that has none
};

}  // namespace

template <typename T>
void cell_source_forward(CpuContext& ctx,
                         const CellShape& shape,
                         const std::vector<CellSourceForward<T>>& sources,
                         std::byte* workspace) {
  ForwardPass<T>(shape, sources, ctx.threads(), workspace).run(ctx);
}

template <typename T>
int64_t cell_source_forward_workspace(const CpuContext& ctx,
                                      const CellShape& shape,
                                      const std::vector<CellSourceForward<T>>& sources) {
  return ForwardPass<T>(shape, sources, ctx.threads(), nullptr).bytes();
}

#define OCHE_INSTANTIATE(T)                                                                 \
  template void cell_source_forward(                                                        \
      CpuContext&, const CellShape&, const std::vector<CellSourceForward<T>>&, std::byte*); \
  template int64_t cell_source_forward_workspace(                                           \
      const CpuContext&, const CellShape&, const std::vector<CellSourceForward<T>>&);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
