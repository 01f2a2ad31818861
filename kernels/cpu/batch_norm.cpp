// Batch normalisation over the rows of a (rows, C) matrix on the CPU.
//
// Sums over rows are kept in double, a block of rows each, and merged in the order of the blocks.
// Within a block they take kGroup rows at a time in the element type: few enough that rounding
// stays at a few epsilon, enough that conversions and the traffic of the double sums vanish.
#include "kernels/batch_norm.h"

#include <cmath>

#include "kernels/cpu/blocks.h"

namespace oche::kernels {
namespace {

constexpr int64_t kGroup = 8;

int64_t rows_per_block(int64_t C) {
  return std::clamp<int64_t>(kTask / std::max<int64_t>(1, C), 64, 4096) / kGroup * kGroup;
}

template <typename T>
struct Pair {
  T u, v;
};

// first[c] += sum_r u, second[c] += sum_r v over the rows [row, row + R); term(i, c) is the pair
// (u, v) of element i.
template <int R, typename T, typename Term>
void add_rows(
    int64_t row, int64_t C, const Term& term, double* __restrict first, double* __restrict second) {
  for (int64_t c = 0; c < C; ++c) {
    Pair<T> sum{};
    for (int r = 0; r < R; ++r) {
      const Pair<T> pair = term((row + r) * C + c, c);
      sum.u += pair.u;
      sum.v += pair.v;
    }
    first[c] += sum.u;
    second[c] += sum.v;
  }
}

// The sums of u, then of v (C doubles each), for every block of rows; make_term(first row) gives
// the block's term.
template <typename T, typename MakeTerm>
void block_sums(CpuContext& ctx, int64_t rows, int64_t C, double* sums, const MakeTerm& make_term) {
  for_blocks(ctx, rows, rows_per_block(C), [&](int64_t begin, int64_t end) {
    double* first = sums + begin / rows_per_block(C) * 2 * C;
    std::fill(first, first + 2 * C, 0.0);
    const auto term = make_term(begin);
    int64_t row = begin;
    for (; row + kGroup <= end; row += kGroup) add_rows<kGroup, T>(row, C, term, first, first + C);
    for (; row < end; ++row) add_rows<1, T>(row, C, term, first, first + C);
  });
}

// body(begin, end, c, width) for the tiles of at most kColumns channels of each block of rows.
template <typename Body>
void for_tiles(CpuContext& ctx, int64_t rows, int64_t C, const Body& body) {
  for_blocks(ctx, rows, rows_per_block(C), [&](int64_t begin, int64_t end) {
    for (int64_t c = 0; c < C; c += kColumns) body(begin, end, c, std::min(kColumns, C - c));
  });
}

// One row; free functions, because compilers honour __restrict on parameters only.

template <typename T>
void normalise_row(int64_t n,
                   const T* __restrict x,
                   const T* __restrict mean,
                   const T* __restrict scale,
                   const T* __restrict shift,
                   T* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] = (x[j] - mean[j]) * scale[j] + shift[j];
}

// grad_x = scale * (g - constant - (x - mean) * slope)
template <typename T>
void backward_row(int64_t n,
                  const T* __restrict g,
                  const T* __restrict x,
                  const T* __restrict mean,
                  const T* __restrict scale,
                  const T* __restrict constant,
                  const T* __restrict slope,
                  T* __restrict grad_x) {
  for (int64_t j = 0; j < n; ++j) {
    grad_x[j] = scale[j] * (g[j] - constant[j] - (x[j] - mean[j]) * slope[j]);
  }
}

template <typename T>
T inverse_deviation(T var, double eps) {
  return 1 / std::sqrt(var + static_cast<T>(eps));
}

}  // namespace

int64_t batch_norm_workspace(const CpuContext&, int64_t rows, int64_t C) {
  return std::max<int64_t>(1, ceil_div(rows, rows_per_block(C))) * 2 * C;
}

template <typename T>
void batch_norm_statistics(
    CpuContext& ctx, int64_t rows, int64_t C, const T* x, T* mean, T* var, double* workspace) {
  block_sums<T>(ctx, rows, C, workspace, [=](int64_t begin) {
    return [=, shift = x + begin * C](int64_t i, int64_t c) {
      const T d = x[i] - shift[c];
      return Pair<T>{d, d * d};
    };
  });
  const int64_t block = rows_per_block(C);
  for (int64_t c = 0; c < C; ++c) {
    double centre = 0, spread = 0;  // of the rows so far: mean and sum of squared deviations
    for (int64_t begin = 0; begin < rows; begin += block) {
      const double count = static_cast<double>(std::min(block, rows - begin));
      const double* sums = workspace + begin / block * 2 * C;
      const double offset = sums[c] / count;
      const double delta = static_cast<double>(x[begin * C + c]) + offset - centre;
      const double share = count / (static_cast<double>(begin) + count);
      spread += sums[C + c] - offset * sums[c] + delta * delta * static_cast<double>(begin) * share;
      centre += delta * share;
    }
    mean[c] = static_cast<T>(centre);
    var[c] = static_cast<T>(std::max(spread, 0.0) / std::max(1.0, static_cast<double>(rows)));
  }
}

template <typename T>
void batch_norm_forward(CpuContext& ctx,
                        int64_t rows,
                        int64_t C,
                        double eps,
                        const T* x,
                        const T* mean,
                        const T* var,
                        const T* weight,
                        const T* bias,
                        T* y) {
  for_tiles(ctx, rows, C, [=](int64_t begin, int64_t end, int64_t c, int64_t width) {
    T scale[kColumns], shift[kColumns];
    for (int64_t j = 0; j < width; ++j) {
      scale[j] = inverse_deviation(var[c + j], eps) * (weight ? weight[c + j] : 1);
      shift[j] = bias ? bias[c + j] : 0;
    }
    for (int64_t r = begin; r < end; ++r) {
      normalise_row(width, x + r * C + c, mean + c, scale, shift, y + r * C + c);
    }
  });
}

template <typename T>
void batch_norm_backward(CpuContext& ctx,
                         int64_t rows,
                         int64_t C,
                         double eps,
                         const T* g,
                         const T* x,
                         const T* mean,
                         const T* var,
                         const T* weight,
                         T* grad_x,
                         T* grad_weight,
                         T* grad_bias,
                         double* workspace) {
  block_sums<T>(ctx, rows, C, workspace, [=](int64_t) {
    return [=](int64_t i, int64_t c) { return Pair<T>{g[i], g[i] * (x[i] - mean[c])}; };
  });
  double* sum = workspace;  // the first block's sums become those of all rows
  for (int64_t b = 1; b < ceil_div(rows, rows_per_block(C)); ++b) {
    for (int64_t c = 0; c < 2 * C; ++c) sum[c] += workspace[b * 2 * C + c];
  }
  for (int64_t c = 0; c < C; ++c) {
    grad_bias[c] = rows > 0 ? static_cast<T>(sum[c]) : 0;
    grad_weight[c] = rows > 0 ? static_cast<T>(sum[C + c] * inverse_deviation(var[c], eps)) : 0;
  }
  if (!grad_x) return;
  for_tiles(ctx, rows, C, [=](int64_t begin, int64_t end, int64_t c, int64_t width) {
    const double share = 1 / static_cast<double>(rows);
    T scale[kColumns], constant[kColumns], slope[kColumns];
    for (int64_t j = 0; j < width; ++j) {
      const T rstd = inverse_deviation(var[c + j], eps);
      scale[j] = rstd * (weight ? weight[c + j] : 1);
      constant[j] = static_cast<T>(sum[c + j] * share);
      slope[j] = static_cast<T>(sum[C + c + j] * share) * rstd * rstd;
    }
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * C + c;
      backward_row(width, g + at, x + at, mean + c, scale, constant, slope, grad_x + at);
    }
  });
}

#define OCHE_INSTANTIATE(T)                                                                      \
  template void batch_norm_statistics(CpuContext&, int64_t, int64_t, const T*, T*, T*, double*); \
  template void batch_norm_forward(CpuContext&,                                                  \
                                   int64_t,                                                      \
                                   int64_t,                                                      \
                                   double,                                                       \
                                   const T*,                                                     \
                                   const T*,                                                     \
                                   const T*,                                                     \
                                   const T*,                                                     \
                                   const T*,                                                     \
                                   T*);                                                          \
  template void batch_norm_backward(CpuContext&,                                                 \
                                    int64_t,                                                     \
                                    int64_t,                                                     \
                                    double,                                                      \
                                    const T*,                                                    \
                                    const T*,                                                    \
                                    const T*,                                                    \
                                    const T*,                                                    \
                                    const T*,                                                    \
                                    T*,                                                          \
                                    T*,                                                          \
                                    T*,                                                          \
                                    double*);
OCHE_INSTANTIATE(float)
OCHE_INSTANTIATE(double)
#undef OCHE_INSTANTIATE

}  // namespace oche::kernels
