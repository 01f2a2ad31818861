// Rows of matrix products, softmax and cross entropy, and the mixed sum.
#include <cmath>

#include "tests/support/op_cases.h"
#include "tests/support/reference_ops.h"

namespace oche {
namespace {

using ref::Array;
using ref::Arrays;
using ref::Index;

OpCase product(bool transpose_a, bool transpose_b) {
  const MatmulOptions o{transpose_a, transpose_b};
  const auto shapes = [&](int64_t m, int64_t k, int64_t n) {
    return Shapes{transpose_a ? Shape{k, m} : Shape{m, k}, transpose_b ? Shape{n, k} : Shape{k, n}};
  };
  return {.op = "matmul",
          .variant = std::string(transpose_a ? "A^T" : "A") + (transpose_b ? " B^T" : " B"),
          .shapes =
              {shapes(3, 5, 2), shapes(1, 1, 1), shapes(1, 7, 4), shapes(0, 3, 2), shapes(2, 0, 3)},
          .fn = [o](Args a) { return matmul(a[0], a[1], o); },
          .reference = [o](Arrays a) { return ref::matmul(a[0], a[1], o); },
          .large = shapes(70, 131, 45)};
}

Array logarithm(const Array& x) {
  return ref::map(x, [](double v) { return std::log(v); });
}

// Weights of any shape, one of them used twice and one not at all.
const std::vector<int64_t> kTerms = {3, 0, 3};

Array mixed_sum(Arrays a, const std::vector<int64_t>& index) {
  return ref::generate(a[1].shape, [&](const Index& i) {
    return ref::sum_over(static_cast<int64_t>(index.size()),
                         [&](int64_t k) { return a[0].values[index[k]] * a[1 + k](i); });
  });
}

}  // namespace

std::vector<OpCase> matrix_cases() {
  std::vector<OpCase> rows = {
      product(false, false), product(false, true), product(true, false), product(true, true)};
  for (int dim = 0; dim < 3; ++dim) {
    const std::vector<Shapes> shapes = {{{2, 5, 3}}, {{3, 1, 7}}, {{1, 1, 1}}, {{2, 0, 3}}};
    rows.push_back({.op = "softmax",
                    .variant = "dim " + std::to_string(dim),
                    .shapes = shapes,
                    .fn = [dim](Args a) { return softmax(a[0], dim - 3); },
                    .reference = [dim](Arrays a) { return ref::softmax(a[0], dim); },
                    .large = {{23, 41, 59}}});
    rows.push_back({.op = "log_softmax",
                    .variant = "dim " + std::to_string(dim),
                    .shapes = shapes,
                    .fn = [dim](Args a) { return log_softmax(a[0], dim - 3); },
                    .reference = [dim](Arrays a) { return logarithm(ref::softmax(a[0], dim)); },
                    .large = {{23, 41, 59}}});
  }
  rows.push_back(
      {.op = "log_softmax",
       .variant = "cross_entropy",
       .shapes = {{{4, 3}}, {{1, 2}}, {{5, 1}}},
       .fn = [](Args a) { return cross_entropy(a[0], sample_index({a[0].size(0)}, a[0].size(1))); },
       .reference =
           [](Arrays a) {
             const Array p = logarithm(ref::softmax(a[0], 1));
             const int64_t n = p.shape[0];
             const Array labels = sample_index_array({n}, p.shape[1]);
             return Array{
                 {}, {-ref::sum_over(n, [&](int64_t i) {
                   return p({i, static_cast<int64_t>(labels({i}))}) / static_cast<double>(n);
                 })}};
           }});

  const std::vector<Shapes> terms = {
      {{2, 2}, {2, 3}, {2, 3}, {2, 3}}, {{4}, {1}, {1}, {1}}, {{4}, {0, 2}, {0, 2}, {0, 2}}};
  const Shapes large = {{2, 2}, {67, 1001}, {67, 1001}, {67, 1001}};
  rows.push_back({.op = "mixed_sum",
                  .shapes = terms,
                  .fn =
                      [](Args a) {
                        return mixed_sum(a[0], kTerms, {a[1], a[2], a[3]});
                      },
                  .reference = [](Arrays a) { return mixed_sum(a, kTerms); },
                  .large = large});
  rows.push_back(
      {.op = "mixed_sum",
       .variant = "single term",
       .shapes = {{{5}, {2, 3}}, {{1}, {}}},
       .fn = [](Args a) { return mixed_sum(a[0], {a[0].numel() - 1}, {a[1]}); },
       .reference =
           [](Arrays a) { return mixed_sum(a, {static_cast<int64_t>(a[0].values.size()) - 1}); }});
  rows.push_back({.op = "mixed_sum",
                  .variant = "constant weights",
                  .shapes = terms,
                  .fn =
                      [](Args a) {
                        return mixed_sum(a[0], kTerms, {a[1], a[2], a[3]});
                      },
                  .reference = [](Arrays a) { return mixed_sum(a, kTerms); },
                  .constants = {0}});
  rows.push_back({.op = "mixed_sum",
                  .variant = "constant terms",
                  .shapes = terms,
                  .fn =
                      [](Args a) {
                        return mixed_sum(a[0], kTerms, {a[1], a[2], a[3]});
                      },
                  .reference = [](Arrays a) { return mixed_sum(a, kTerms); },
                  .constants = {1, 2, 3}});
  rows.push_back({.op = "mixed_sum_backward",
                  .shapes = {{{2, 3}, {2, 2}, {2, 3}, {2, 3}, {2, 3}}},
                  .fn =
                      [](Args a) {  // g, weights, x_1, x_2, x_3
                        const Tensor y = mixed_sum(a[1], kTerms, {a[2], a[3], a[4]});
                        return flat(recorded_gradient(y, a[0], {a[1], a[2], a[3], a[4]}));
                      },
                  .reference =
                      [](Arrays a) {
                        std::vector<Array> parts{{a[1].shape, std::vector<double>(4)}};
                        for (size_t k = 0; k < kTerms.size(); ++k) {
                          const double w = a[1].values[kTerms[k]];
                          for (size_t i = 0; i < a[0].values.size(); ++i) {
                            parts[0].values[kTerms[k]] += a[0].values[i] * a[2 + k].values[i];
                          }
                          parts.push_back(ref::map(a[0], [w](double g) { return w * g; }));
                        }
                        return ref::flat(parts);
                      }});
  return rows;
}

}  // namespace oche
