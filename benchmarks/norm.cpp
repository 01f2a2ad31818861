// Rows of batch normalisation and of the weighted sum of a mixed op.
#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"
#include "kernels/batch_norm.h"
#include "kernels/mixed_sum.h"

namespace oche::bench {
namespace {

using ref::Values;

constexpr double kEps = 1e-5;

struct Matrix {
  explicit Matrix(const Arguments& a) : rows(image_size(a) / a["c"]), C(a["c"]) {}
  int64_t size() const { return rows * C; }
  int64_t rows, C;
};

int64_t workspace_size(const Matrix& m) {
  return with_context(default_device(), [&](const auto& ctx) {
    return kernels::batch_norm_workspace(ctx, m.rows, m.C);
  });
}

// Subtraction, sum, and a multiply-add: four operations an element.
template <typename T>
Case statistics_case(const Arguments& a) {
  const Matrix m(a);
  const auto x = input<T>(m.size(), -2, 3), mean = output<T>(m.C), var = output<T>(m.C);
  const auto workspace = output<double>(workspace_size(m));
  return {.run = launch([=](auto& ctx) {
            kernels::batch_norm_statistics<T>(
                ctx, m.rows, m.C, x.data(), mean.data(), var.data(), workspace.data());
          }),
          .check =
              [=] {
                const ref::Moments want = ref::batch_norm_statistics(m.rows, m.C, x.reference());
                // Merged in double; the reference's own rounding grows with the rows.
                const double allowed = tolerance<T>(1) + tolerance<double>(m.rows);
                return worst({compare(mean, want.mean, allowed), compare(var, want.var, allowed)});
              },
          .bytes = x.bytes() + mean.bytes() + var.bytes(),
          .flops = 4.0 * static_cast<double>(m.size())};
}

// The statistics that a backward or forward pass is given.
template <typename T>
struct Normed {
  explicit Normed(const Matrix& m)
      : moments(ref::batch_norm_statistics(m.rows, m.C, random_values(m.size(), -2, 3))),
        x(input<T>(m.size(), -2, 3)),
        mean(as<T>(moments.mean)),
        var(as<T>(moments.var)),
        weight(input<T>(m.C, 0.5, 2)),
        bias(input<T>(m.C, -1, 1, 2)) {}
  ref::Moments moments;
  Buffer<T> x, mean, var, weight, bias;
};

template <typename T>
Case forward_case(const Arguments& a) {
  const Matrix m(a);
  const Normed<T> in(m);
  const auto y = output<T>(m.size());
  return {.run = launch([=](auto& ctx) {
            kernels::batch_norm_forward<T>(ctx,
                                           m.rows,
                                           m.C,
                                           kEps,
                                           in.x.data(),
                                           in.mean.data(),
                                           in.var.data(),
                                           in.weight.data(),
                                           in.bias.data(),
                                           y.data());
          }),
          .check =
              [=] {
                return compare(y,
                               ref::batch_norm(m.rows,
                                               m.C,
                                               kEps,
                                               in.x.reference(),
                                               in.moments,
                                               in.weight.reference(),
                                               in.bias.reference()),
                               tolerance<T>(1));
              },
          .bytes = in.x.bytes() + 4 * in.mean.bytes() + y.bytes(),
          .flops = 2.0 * static_cast<double>(m.size())};
}

// Two multiply-adds an element for the sums, two to put the gradient together.
template <typename T>
Case backward_case(const Arguments& a) {
  const Matrix m(a);
  const Normed<T> in(m);
  const auto g = input<T>(m.size(), -1, 2, 2), grad_x = output<T>(m.size());
  const auto grad_weight = output<T>(m.C), grad_bias = output<T>(m.C);
  const auto workspace = output<double>(workspace_size(m));
  return {.run = launch([=](auto& ctx) {
            kernels::batch_norm_backward<T>(ctx,
                                            m.rows,
                                            m.C,
                                            kEps,
                                            g.data(),
                                            in.x.data(),
                                            in.mean.data(),
                                            in.var.data(),
                                            in.weight.data(),
                                            grad_x.data(),
                                            grad_weight.data(),
                                            grad_bias.data(),
                                            workspace.data());
          }),
          .check =
              [=] {
                const auto want = ref::batch_norm_backward(m.rows,
                                                           m.C,
                                                           kEps,
                                                           g.reference(),
                                                           in.x.reference(),
                                                           in.moments,
                                                           in.weight.reference());
                return worst({compare(grad_x, want.x, 2 * tolerance<T>(1)),
                              compare(grad_weight, want.weight, tolerance<T>(m.rows)),
                              compare(grad_bias, want.bias, tolerance<T>(m.rows))});
              },
          .bytes = in.x.bytes() + g.bytes() + grad_x.bytes() + 5 * in.mean.bytes(),
          .flops = 8.0 * static_cast<double>(m.size())};
}

// The terms of a node, and the pointers that the kernels take.
template <typename T>
struct Terms {
  Terms(int64_t K, int64_t n) : weights(input<T>(K, 0.05, 0.2)) {
    volume({K, n});
    for (int64_t k = 0; k < K; ++k) {
      x.push_back(input<T>(n, -1, 1, static_cast<uint32_t>(k) + 1));
      pointers.push_back(x.back().data());
      places.push_back(k);
    }
  }
  double bytes() const { return static_cast<double>(x.size()) * x.front().bytes(); }

  std::vector<Buffer<T>> x;
  std::vector<const T*> pointers;
  std::vector<int64_t> places;
  Buffer<T> weights;
};

template <typename T>
Case mixed_forward_case(const Arguments& a) {
  const int64_t K = a["terms"], n = image_size(a);
  const Terms<T> terms(K, n);
  const auto y = output<T>(n);
  return {
      .run = launch([=](auto& ctx) {
        kernels::mixed_sum_forward<T>(
            ctx, K, n, terms.pointers.data(), terms.weights.data(), terms.places.data(), y.data());
      }),
      .check =
          [=] {
            std::vector<Values> x;
            for (const Buffer<T>& b : terms.x) x.push_back(b.reference());
            return compare(y, ref::mixed_sum(x, terms.weights.reference()), tolerance<T>(K));
          },
      .bytes = terms.bytes() + terms.weights.bytes() + y.bytes(),
      .flops = 2.0 * static_cast<double>(K * n)};
}

template <typename T>
Case mixed_backward_case(const Arguments& a) {
  const int64_t K = a["terms"], n = image_size(a);
  const Terms<T> terms(K, n);
  const auto g = input<T>(n, -1, 1, 1000), grad_w = output<T>(K);
  std::vector<Buffer<T>> grad_x;
  std::vector<T*> pointers;
  for (int64_t k = 0; k < K; ++k) {
    grad_x.push_back(output<T>(n));
    pointers.push_back(grad_x.back().data());
  }
  const auto workspace = output<double>(kernels::mixed_sum_workspace(K, n));
  return {
      .run = launch([=](auto& ctx) {
        kernels::mixed_sum_backward<T>(ctx,
                                       K,
                                       n,
                                       g.data(),
                                       terms.pointers.data(),
                                       terms.weights.data(),
                                       terms.places.data(),
                                       pointers.data(),
                                       K,
                                       grad_w.data(),
                                       workspace.data());
      }),
      .check =
          [=] {
            Values sums;
            const Values weights = terms.weights.reference();
            Check c{0, tolerance<T>(1), ""};
            for (int64_t k = 0; k < K; ++k) {
              const ref::Values grad = g.reference();
              sums.push_back(ref::dot(grad, terms.x[k].reference()));
              c = worst(
                  {c, compare(grad_x[k], ref::mixed_sum({grad}, {weights[k]}), tolerance<T>(1))});
            }
            return worst({compare(grad_w, sums, tolerance<T>(n)), c});
          },
      .bytes = g.bytes() + 2 * terms.bytes() + 2 * grad_w.bytes(),
      .flops = 3.0 * static_cast<double>(K * n)};
}

template <typename Make>
Family norm_family(std::string name, std::string summary, Make make) {
  return {.name = std::move(name),
          .group = "normalisation",
          .summary = std::move(summary),
          .parameters = image_parameters(),
          .instances = kStages,
          .make = for_dtype(make),
          .batch = "n"};
}

template <typename Make>
Family mixed_family(std::string name, std::string summary, Make make) {
  return {.name = std::move(name),
          .group = "mixed sum",
          .summary = std::move(summary),
          .parameters = image_parameters({{"terms", 14}}),  // two edges of seven candidates
          .instances = kStages,
          .make = for_dtype(make),
          .batch = "n"};
}

}  // namespace

std::vector<Family> norm_families() {
  return {
      norm_family("batch_norm_statistics",
                  "mean and variance of each channel",
                  []<typename T>(const Arguments& a) { return statistics_case<T>(a); }),
      norm_family("batch_norm_forward",
                  "with given statistics, affine",
                  []<typename T>(const Arguments& a) { return forward_case<T>(a); }),
      norm_family("batch_norm_backward",
                  "through the batch statistics, affine",
                  []<typename T>(const Arguments& a) { return backward_case<T>(a); }),
      mixed_family("mixed_sum_forward",
                   "sum of weighted terms",
                   []<typename T>(const Arguments& a) { return mixed_forward_case<T>(a); }),
      mixed_family("mixed_sum_backward",
                   "gradients of the terms and of their weights",
                   []<typename T>(const Arguments& a) { return mixed_backward_case<T>(a); }),
  };
}

}  // namespace oche::bench
