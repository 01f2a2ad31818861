// Rows of the views, copies and reductions.
#include "tests/support/op_cases.h"
#include "tests/support/reference_ops.h"

namespace oche {
namespace {

using ref::Array;
using ref::Arrays;
using ref::Index;

const std::vector<Shapes> kCubes = {{{2, 3, 5}}, {{1, 4, 1}}, {{2, 0, 3}}};
const std::vector<Shapes> kFull = {{{2, 3, 5}}, {{1, 4, 1}}};  // no empty dimension
const Shapes kLarge = {{11, 67, 101}};

Array reshaped(Array x, const Shape& shape) {
  x.shape = shape;
  return x;
}

Array total(const Array& x) {
  double sum = 0;
  for (double v : x.values) sum += v;
  return {{}, {sum}};
}

Array maximum(const Array& x, int dim) {
  return ref::generate(ref::with(x.shape, dim, 1), [&](const Index& i) {
    double best = x(i);
    for (int64_t k = 1; k < x.shape[dim]; ++k) best = std::max(best, x(ref::with(i, dim, k)));
    return best;
  });
}

// A row for each dimension of a (2, 3, 5).
template <typename Make>
void each_dim(std::vector<OpCase>& rows, Make make) {
  for (int dim = 0; dim < 3; ++dim) {
    rows.push_back(make(dim));
    rows.back().variant += "dim " + std::to_string(dim);
  }
}

void add_views(std::vector<OpCase>& rows) {
  rows.push_back({.op = "contiguous",
                  .shapes = kCubes,
                  .fn =
                      [](Args a) {
                        return contiguous(permute(a[0], {2, 0, 1}));
                      },
                  .reference =
                      [](Arrays a) {
                        return ref::permute(a[0], {2, 0, 1});
                      },
                  .large = kLarge});
  rows.push_back({.op = "reshape",
                  .shapes = kCubes,
                  .fn =
                      [](Args a) {
                        return reshape(a[0], {a[0].size(2), a[0].size(0) * a[0].size(1)});
                      },
                  .reference =
                      [](Arrays a) {
                        return reshaped(a[0], {a[0].shape[2], a[0].shape[0] * a[0].shape[1]});
                      }});
  rows.push_back({.op = "permute",
                  .shapes = kCubes,
                  .fn =
                      [](Args a) {
                        return permute(a[0], {1, 2, 0});
                      },
                  .reference =
                      [](Arrays a) {
                        return ref::permute(a[0], {1, 2, 0});
                      }});
  rows.push_back({.op = "permute",
                  .variant = "transpose",
                  .shapes = {{{3, 5}}, {{1, 4}}},
                  .fn = [](Args a) { return transpose(a[0]); },
                  .reference =
                      [](Arrays a) {
                        return ref::permute(a[0], {1, 0});
                      }});
  rows.push_back({.op = "broadcast_to",
                  .shapes = {{{3, 1}}, {{1}}, {{}}, {{1, 5}}, {{3, 5}}},
                  .fn =
                      [](Args a) {
                        return broadcast_to(a[0], {2, 3, 5});
                      },
                  .reference =
                      [](Arrays a) {
                        return ref::broadcast_to(a[0], {2, 3, 5});
                      }});
  rows.push_back({.op = "sum",
                  .variant = "sum_to (4, 1)",
                  .shapes = {{{2, 4, 5}}, {{4, 3}}, {{2, 3, 4, 1}}, {{4, 1}}, {{0, 4, 1}}},
                  .fn =
                      [](Args a) {
                        return sum_to(a[0], {4, 1});
                      },
                  .reference =
                      [](Arrays a) {
                        Array y = a[0];
                        for (size_t d = 0; d < y.shape.size(); ++d) {
                          if (d + 2 != y.shape.size()) y = ref::sum(y, static_cast<int>(d));
                        }
                        return reshaped(y, {4, 1});
                      },
                  .large = {{67, 4, 101}}});
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "slice",
            .shapes = kFull,
            .fn = [dim](Args a) { return slice(a[0], dim, a[0].size(dim) / 2, a[0].size(dim)); },
            .reference =
                [dim](Arrays a) {
                  return ref::slice(a[0], dim, a[0].shape[dim] / 2, a[0].shape[dim], 1);
                }};
  });
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "slice",
            .variant = "step 2, ",
            .shapes = kCubes,
            .fn = [dim](Args a) { return slice(a[0], dim, 0, a[0].size(dim), 2); },
            .reference = [dim](Arrays a) { return ref::slice(a[0], dim, 0, a[0].shape[dim], 2); }};
  });
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "embed",
            .variant = "step 3, ",
            .shapes = kCubes,
            .fn = [dim](Args a) { return embed(a[0], dim, 3 * a[0].size(dim) + 2, 1, 3); },
            .reference =
                [dim](Arrays a) { return ref::embed(a[0], dim, 3 * a[0].shape[dim] + 2, 1, 3); }};
  });
  each_dim(rows, [](int dim) -> OpCase {
    return {
        .op = "embed",
        .variant = "pad, ",
        .shapes = kCubes,
        .fn = [dim](Args a) { return pad(a[0], dim, 1, 2); },
        .reference = [dim](Arrays a) { return ref::embed(a[0], dim, a[0].shape[dim] + 3, 1, 1); }};
  });
  for (const int64_t offset : {-9, -2, 0, 1, 9}) {
    rows.push_back({.op = "embed",
                    .variant = "shift by " + std::to_string(offset),
                    .shapes = kCubes,
                    .fn = [offset](Args a) { return shift(a[0], 2, offset); },
                    .reference =
                        [offset](Arrays a) {
                          return ref::generate(a[0].shape, [&](const Index& i) {
                            const int64_t from = i[2] + offset;
                            return from >= 0 && from < a[0].shape[2] ? a[0](ref::with(i, 2, from))
                                                                     : 0;
                          });
                        }});
  }
  each_dim(rows, [](int dim) -> OpCase {
    const Shape longer = ref::with({2, 3, 5}, dim, 4), empty = ref::with({2, 3, 5}, dim, 0);
    return {.op = "concat",
            .shapes = {{{2, 3, 5}, longer, {2, 3, 5}},
                       {{2, 3, 5}, empty, longer},
                       {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
            .fn =
                [dim](Args a) {
                  return concat({a[0], a[1], a[2]}, dim);
                },
            .reference = [dim](Arrays a) { return ref::concat(a, dim); }};
  });
}

void add_reductions(std::vector<OpCase>& rows) {
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "sum",
            .shapes = kCubes,
            .fn = [dim](Args a) { return sum(a[0], dim, /*keepdim=*/true); },
            .reference = [dim](Arrays a) { return ref::sum(a[0], dim); },
            .large = kLarge};
  });
  rows.push_back({.op = "sum",
                  .variant = "drops the dimension",
                  .shapes = kCubes,
                  .fn = [](Args a) { return sum(a[0], -2); },
                  .reference =
                      [](Arrays a) {
                        return reshaped(ref::sum(a[0], 1), {a[0].shape[0], a[0].shape[2]});
                      }});
  rows.push_back({.op = "sum",
                  .variant = "all",
                  .shapes = {{{2, 3, 5}}, {{}}, {{0}}},
                  .fn = [](Args a) { return sum(a[0]); },
                  .reference = [](Arrays a) { return total(a[0]); },
                  .large = kLarge});
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "sum",
            .variant = "mean, ",
            .shapes = kFull,
            .fn = [dim](Args a) { return mean(a[0], dim, /*keepdim=*/true); },
            .reference =
                [dim](Arrays a) {
                  const auto n = static_cast<double>(a[0].shape[dim]);
                  return ref::map(ref::sum(a[0], dim), [n](double v) { return v / n; });
                }};
  });
  rows.push_back({.op = "sum",
                  .variant = "mean of all",
                  .shapes = {{{2, 3, 5}}, {{}}},
                  .fn = [](Args a) { return mean(a[0]); },
                  .reference =
                      [](Arrays a) {
                        const auto n = static_cast<double>(a[0].values.size());
                        return ref::map(total(a[0]), [n](double v) { return v / n; });
                      }});
  rows.push_back({.op = "sum",
                  .variant = "global_avg_pool",
                  .shapes = {{{2, 3, 5, 4}}, {{1, 1, 1, 3}}},
                  .fn = [](Args a) { return global_avg_pool(a[0]); },
                  .reference =
                      [](Arrays a) {
                        const Shape& s = a[0].shape;
                        const double n = static_cast<double>(s[1] * s[2]);
                        const Array y = ref::map(ref::sum(ref::sum(a[0], 1), 2),
                                                 [n](double v) { return v / n; });
                        return reshaped(y, {s[0], s[3]});
                      }});
  rows.push_back({.op = "dot",
                  .shapes = {{{2, 3, 5}, {2, 3, 5}}, {{1}, {1}}, {{}, {}}, {{0, 2}, {0, 2}}},
                  .fn = [](Args a) { return dot(a[0], a[1]); },
                  .reference =
                      [](Arrays a) {
                        return total(
                            ref::binary(a[0], a[1], [](double x, double y) { return x * y; }));
                      },
                  .large = {{67, 1001}, {67, 1001}}});
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "max",
            .shapes = kFull,
            .fn = [dim](Args a) { return max(a[0], dim, /*keepdim=*/true).values; },
            .reference = [dim](Arrays a) { return maximum(a[0], dim); },
            .large = kLarge};
  });
  each_dim(rows, [](int dim) -> OpCase {
    return {.op = "gather",
            .shapes = kFull,
            .fn =
                [dim](Args a) {
                  return gather(
                      a[0], dim, sample_index(ref::with(a[0].shape(), dim, 4), a[0].size(dim)));
                },
            .reference =
                [dim](Arrays a) {
                  const Array index =
                      sample_index_array(ref::with(a[0].shape, dim, 4), a[0].shape[dim]);
                  return ref::generate(index.shape, [&](const Index& i) {
                    return a[0](ref::with(i, dim, static_cast<int64_t>(index(i))));
                  });
                }};
  });
  each_dim(rows, [](int dim) -> OpCase {
    return {
        .op = "scatter_add",
        .shapes = kCubes,
        .fn = [dim](Args a) { return scatter_add(a[0], dim, sample_index(a[0].shape(), 4), 4); },
        .reference =
            [dim](Arrays a) {
              const Array index = sample_index_array(a[0].shape, 4);
              return ref::generate(ref::with(a[0].shape, dim, 4), [&](const Index& i) {
                return ref::sum_over(a[0].shape[dim], [&](int64_t k) {
                  const Index from = ref::with(i, dim, k);
                  return index(from) == static_cast<double>(i[dim]) ? a[0](from) : 0;
                });
              });
            }};
  });
}

}  // namespace

std::vector<OpCase> shape_cases() {
  std::vector<OpCase> rows;
  add_views(rows);
  add_reductions(rows);
  return rows;
}

}  // namespace oche
