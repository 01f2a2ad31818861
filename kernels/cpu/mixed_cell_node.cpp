// The weighted sum of a node of a fused cell and its reductions on the CPU. A task is an image,
// some rows at a time, so that what a term is added to stays in the first-level cache; each term's
// rows come from memory once.
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/mixed_cell_planes.h"
#include "kernels/cpu/mixed_cell_pool.h"

namespace oche::kernels {
namespace {

constexpr int kAtOnce = 4;  // normalised terms that are read side by side

// The terms with a scale for each channel: term_k = (value - mean) * scale.
template <typename T>
class Terms {
 public:
  Terms(const CellShape& shape, const std::vector<CellTerm<T>>& terms)
      : s_(shape), terms_(terms), mean_(terms.size() * shape.C), scale_(mean_.size(), T(1)) {
    for (size_t k = 0; k < terms.size(); ++k) {
      if (terms[k].kind == CellTermKind::kIdentity) continue;
      std::copy_n(terms[k].moments.mean, s_.C, mean_.data() + k * s_.C);
      inverse_deviations(s_.C, s_.eps, terms[k].moments.var, scale_.data() + k * s_.C);
    }
  }

  size_t size() const { return terms_.size(); }
  const CellTerm<T>& operator[](size_t k) const { return terms_[k]; }
  template <typename V>
  V mean(size_t k, int64_t c) const {
    return V::load(mean_.data() + k * s_.C + c);
  }
  T* scale(size_t k) { return scale_.data() + k * s_.C; }
  const T* scale(size_t k) const { return scale_.data() + k * s_.C; }

  // How many of the terms from k on are read side by side: of one kind of numbers.
  size_t group(size_t k) const {
    const auto narrow = [&](size_t i) { return terms_[i].x.narrow != nullptr; };
    size_t n = 0;
    while (n < kAtOnce && k + n < terms_.size() && !pooled(k + n) && narrow(k + n) == narrow(k))
      ++n;
    return n;
  }
  bool pooled(size_t k) const {
    return terms_[k].kind == CellTermKind::kMaxPool || terms_[k].kind == CellTermKind::kAveragePool;
  }
  // target(q, v) receives pixel q of row h of image n of the pooled term k, from channel c on.
  template <typename V, typename Target>
  void pooled_row(size_t k, int64_t n, int64_t h, int64_t c, const Target& target) const {
    const Pixels<const T> x = terms_[k].x.whole();
    const CellPool pool =
        terms_[k].kind == CellTermKind::kMaxPool ? CellPool::kMax : CellPool::kAverage;
    pool_row<V>(pool, s_, 1, x.data + n * s_.H * s_.W * x.pitch + c, x.pitch, h, target);
  }

 private:
  const CellShape s_;
  const std::vector<CellTerm<T>>& terms_;
  std::vector<T> mean_, scale_;
};

// body(n, first, last) for some rows of an image at a time, in order.
template <typename Body>
void for_bands(const CellShape& s, int64_t n, const Body& body) {
  const int64_t step = band_rows(s.W);
  for (int64_t first = 0; first < s.H; first += step) body(n, first, std::min(s.H, first + step));
}

// body(integral constant n) for n in [1, kAtOnce].
template <int kN = kAtOnce, typename Body>
void with_count(size_t n, const Body& body) {
  if constexpr (kN > 1) {
    if (n < kN) return with_count<kN - 1>(n, body);
  }
  body(std::integral_constant<int, kN>{});
}

// body(k, count) for the terms in order: `count` from k on that are read side by side, or one that
// is pooled, with count 0.
template <typename T, typename Body>
void for_groups(const Terms<T>& terms, const Body& body) {
  for (size_t k = 0; k < terms.size();) {
    const size_t count = terms.group(k);
    body(k, count);
    k += std::max<size_t>(1, count);
  }
}

// y = (add ? y : 0) + the terms [k, k + kCount) over some pixels.
template <int kCount, typename V, typename Kept, typename T>
void add_terms(
    const Terms<T>& terms, size_t k, bool add, int64_t begin, int64_t end, int64_t c, Pixels<T> y) {
  V mean[kCount], scale[kCount];
  const Kept* x[kCount];
  int64_t pitch[kCount];
  for (int t = 0; t < kCount; ++t) {
    mean[t] = terms.template mean<V>(k + t, c);
    scale[t] = V::load(terms.scale(k + t) + c);
    pitch[t] = terms[k + t].x.pitch;
    x[t] = kept_as<Kept>(terms[k + t].x) + begin * pitch[t] + c;
  }
  T* to = y.data + begin * y.pitch + c;
  for (int64_t i = begin; i < end; ++i, to += y.pitch) {
    V sum = add ? V::load(to) : V{};
#pragma GCC unroll 4
    for (int t = 0; t < kCount; ++t) {
      sum = fma(V{load_kept<V>(x[t]).v - mean[t].v}, scale[t], sum);
      x[t] += pitch[t];
    }
    sum.store(to);
  }
}

// sums[t] += sum g * (x_t - mean_t) over some pixels.
template <int kCount, typename V, typename Kept, typename T>
void reduce_terms(const Terms<T>& terms,
                  size_t k,
                  int64_t begin,
                  int64_t end,
                  int64_t c,
                  Pixels<const T> g,
                  V* sums) {
  V mean[kCount], sum[kCount] = {};
  const Kept* x[kCount];
  int64_t pitch[kCount];
  for (int t = 0; t < kCount; ++t) {
    mean[t] = terms.template mean<V>(k + t, c);
    pitch[t] = terms[k + t].x.pitch;
    x[t] = kept_as<Kept>(terms[k + t].x) + begin * pitch[t] + c;
  }
  const T* from = g.data + begin * g.pitch + c;
  for (int64_t i = begin; i < end; ++i, from += g.pitch) {
    const V gv = V::load(from);
#pragma GCC unroll 4
    for (int t = 0; t < kCount; ++t) {
      sum[t] = fma(V{load_kept<V>(x[t]).v - mean[t].v}, gv, sum[t]);
      x[t] += pitch[t];
    }
  }
  for (int t = 0; t < kCount; ++t) sums[t] = sum[t];
}

// The sums of an image: of g, then of g * (term_k - mean) for each term.
template <typename T>
void reduce_image(
    const CellShape& s, const Terms<T>& terms, Pixels<const T> g, int64_t image, double* sums) {
  std::fill_n(sums, static_cast<int64_t>(1 + terms.size()) * s.C, 0.0);
  for_bands(s, image, [&](int64_t n, int64_t first, int64_t last) {
    const int64_t begin = (n * s.H + first) * s.W, end = (n * s.H + last) * s.W;
    for_channels<T>(0, s.C, [&](auto tag, int64_t c) {
      using V = typename decltype(tag)::type;
      V total{};
      for (int64_t i = begin; i < end; ++i) total = total + V::load(g.data + i * g.pitch + c);
      add_lanes(total, sums + c);
    });
    for_groups(terms, [&](size_t k, size_t count) {
      double* sum_of = sums + static_cast<int64_t>(1 + k) * s.C;
      for_channels<T>(0, s.C, [&](auto tag, int64_t c) {
        using V = typename decltype(tag)::type;
        if (count > 0) {
          V part[kAtOnce];
          with_kept(terms[k].x, [&]<typename Kept>(const Kept*) {
            with_count(count, [&](auto n_terms) {
              reduce_terms<n_terms, V, Kept>(terms, k, begin, end, c, g, part);
            });
          });
          for (size_t t = 0; t < count; ++t)
            add_lanes(part[t], sum_of + static_cast<int64_t>(t) * s.C + c);
          return;
        }
        const V mean = terms.template mean<V>(k, c);
        V sum{};
        for (int64_t h = first; h < last; ++h) {
          const T* row = g.data + (n * s.H + h) * s.W * g.pitch + c;
          terms.template pooled_row<V>(k, n, h, c, [&](int64_t q, V v) {
            sum = fma(V{v.v - mean.v}, V::load(row + q * g.pitch), sum);
          });
        }
        add_lanes(sum, sum_of + c);
      });
    });
  });
}

}  // namespace

template <typename T>
void cell_node_forward(CpuContext& ctx,
                       const CellShape& s,
                       const std::vector<CellTerm<T>>& list,
                       const T* weights,
                       Pixels<T> y) {
  Terms<T> terms(s, list);
  for (size_t k = 0; k < terms.size(); ++k) {
    for (int64_t c = 0; c < s.C; ++c) terms.scale(k)[c] *= weights[list[k].place];
  }
  ctx.parallel(s.N, [&](int64_t image) {
    for_bands(s, image, [&](int64_t n, int64_t first, int64_t last) {
      const int64_t begin = (n * s.H + first) * s.W, end = (n * s.H + last) * s.W;
      for_groups(terms, [&](size_t k, size_t count) {
        const bool add = k > 0;
        for_channels<T>(0, s.C, [&](auto tag, int64_t c) {
          using V = typename decltype(tag)::type;
          if (count > 0) {
            with_kept(terms[k].x, [&]<typename Kept>(const Kept*) {
              with_count(count, [&](auto n_terms) {
                add_terms<n_terms, V, Kept>(terms, k, add, begin, end, c, y);
              });
            });
            return;
          }
          const V mean = terms.template mean<V>(k, c), scale = V::load(terms.scale(k) + c);
          for (int64_t h = first; h < last; ++h) {
            T* row = y.data + (n * s.H + h) * s.W * y.pitch + c;
            terms.template pooled_row<V>(k, n, h, c, [&](int64_t q, V v) {
              T* to = row + q * y.pitch;
              const V before = add ? V::load(to) : V{};
              fma(V{v.v - mean.v}, scale, before).store(to);
            });
          }
        });
      });
    });
  });
}

int64_t cell_node_reduce_workspace(const CpuContext&, const CellShape& s, int64_t terms) {
  return std::max<int64_t>(1, s.N) * (1 + terms) * s.C;
}

template <typename T>
void cell_node_reduce(CpuContext& ctx,
                      const CellShape& s,
                      const std::vector<CellTerm<T>>& list,
                      Pixels<const T> g,
                      T* sums,
                      T* grad_weights,
                      double* workspace) {
  const Terms<T> terms(s, list);
  const auto rows = static_cast<int64_t>(1 + terms.size());
  ctx.parallel(s.N, [&](int64_t n) { reduce_image(s, terms, g, n, workspace + n * rows * s.C); });
  ctx.parallel(rows, [&](int64_t row) {
    double total = 0;
    for (int64_t c = 0; c < s.C; ++c) {
      double sum = 0;
      for (int64_t n = 0; n < s.N; ++n) sum += workspace[(n * rows + row) * s.C + c];
      if (row > 0) sum *= static_cast<double>(terms.scale(row - 1)[c]);
      sums[row * s.C + c] = static_cast<T>(sum);
      total += sum;
    }
    if (row > 0 && grad_weights) grad_weights[list[row - 1].place] = static_cast<T>(total);
  });
}

#define OCHE_INSTANTIATE(T)                                                                 \
  template void cell_node_forward(                                                          \
      CpuContext&, const CellShape&, const std::vector<CellTerm<T>>&, const T*, Pixels<T>); \
  template void cell_node_reduce(CpuContext&,                                               \
                                 const CellShape&,                                          \
                                 const std::vector<CellTerm<T>>&,                           \
                                 Pixels<const T>,                                           \
                                 T*,                                                        \
                                 T*,                                                        \
                                 double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
