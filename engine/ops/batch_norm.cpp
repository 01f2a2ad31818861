// Batch normalisation over all dimensions but the last, its fused backward, and the backward's own
// derivative.
#include "kernels/batch_norm.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"

namespace oche {
namespace {

int64_t channels(const Tensor& x) {
  return x.shape().back();
}
int64_t rows(const Tensor& x) {
  return channels(x) == 0 ? 0 : x.numel() / channels(x);
}

// Sum and mean over the rows, shape (C), recorded in the graph.
Tensor row_sum(const Tensor& x) {
  return sum(reshape(x, {rows(x), channels(x)}), 0);
}
Tensor row_mean(const Tensor& x) {
  return row_sum(x) * (1.0 / static_cast<double>(rows(x)));
}

// For the partial sums over the rows.
Tensor workspace_for(const Tensor& x) {
  const int64_t size = with_context(x.device(), [&](const auto& ctx) {
    return kernels::batch_norm_workspace(ctx, rows(x), channels(x));
  });
  return Tensor::empty({size}, DType::kFloat64, x.device());
}

template <typename T>
const T* optional_data(Inputs in, size_t i) {
  return i < in.size() ? in[i].data<T>() : nullptr;
}

void check(std::string_view op, const Tensor& x, Inputs per_channel) {
  if (x.rank() < 2 || rows(x) < 1) {
    throw std::invalid_argument(fmt::format(
        "{}: shape {}; expected (..., C) with at least one row", op, to_string(x.shape())));
  }
  for (const Tensor& t : per_channel) {
    if (t.shape() != Shape{channels(x)} || t.dtype() != x.dtype()) {
      throw std::invalid_argument(fmt::format(
          "{}: {} {} per channel for x {} {}; expected one value per channel, of x's dtype",
          op,
          to_string(t.dtype()),
          to_string(t.shape()),
          to_string(x.dtype()),
          to_string(x.shape())));
    }
  }
}

// (g, x, mean, var [, weight]) -> (dx, dweight, dbias). mean and var are those of x: constants as
// inputs, their dependence on x is part of the rules below.
struct BatchNormBackward final : Op {
  explicit BatchNormBackward(double eps, bool x_wanted) : eps(eps), x_wanted(x_wanted) {}
  double eps;
  bool x_wanted;

  std::string_view name() const override { return "batch_norm_backward"; }
  bool saves_input(size_t, const Needs&) const override { return true; }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    const Shape c{channels(in[1])};
    return {{x_wanted ? in[1].shape() : Shape{0}, in[1].dtype(), x_wanted},
            {c, in[1].dtype()},
            {c, in[1].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    const int64_t M = rows(in[1]), C = channels(in[1]);
    const Tensor partials = workspace_for(in[1]);
    dispatch(in[1], [&]<typename T>(auto& ctx) {
      kernels::batch_norm_backward<T>(ctx,
                                      M,
                                      C,
                                      eps,
                                      in[0].data<T>(),
                                      in[1].data<T>(),
                                      in[2].data<T>(),
                                      in[3].data<T>(),
                                      optional_data<T>(in, 4),
                                      x_wanted ? out[0].mutable_data<T>() : nullptr,
                                      out[1].mutable_data<T>(),
                                      out[2].mutable_data<T>(),
                                      partials.mutable_data<double>());
    });
  }

  // With cotangents u (of dx), p (of dweight), q (of dbias), r = rstd, s = weight (or 1) and the
  // projection
  //   P(g) = g - mean(g) - xhat mean(g xhat),  the differentiated scalar is
  //   L = <s u, r P(g)> + <p, sum g xhat> + <q, sum g>.
  // P is symmetric, d xhat = r P(dx) and d r = -r^2 mean(xhat dx). With a = mean(s u xhat), b =
  // mean(g xhat):
  //   dL/dg = s r P(u) + p xhat + q
  //   dL/ds = sum u r P(g)
  //   dL/dx = r P(p g - r (b s u + a g)) - r^2 xhat mean(s u P(g)),
  //   mean(s u P(g)) = mean(s u g) - mean(s u) mean(g) - a b.
  Gradients backward(Inputs in, Outputs, const Gradients& upq, const Needs& needs) const override {
    const Tensor &g = in[0], &x = in[1];
    const Tensor weight = in.size() > 4 ? in[4] : Tensor();
    const Tensor &u = upq[0], &p = upq[1], &q = upq[2];
    Gradients grads(in.size());

    const auto projected = [&](const Tensor& t, const Tensor& scale) {  // scale r P(t)
      std::vector<Tensor> inputs{t, x, in[2], in[3]};
      if (scale) inputs.push_back(scale);
      return apply_op<BatchNormBackward>(std::move(inputs), eps, true);
    };
    const auto add = [](const Tensor& a, const Tensor& b) { return a ? a + b : b; };
    const Tensor xhat = batch_norm(x, {}, {}, eps).y;

    if (needs[0]) {
      if (u) grads[0] = projected(u, weight);
      if (p) grads[0] = add(grads[0], xhat * p);
      if (q) grads[0] = add(grads[0], broadcast_to(q, x.shape()));
    }
    if (weight && needs[4] && u) grads[4] = row_sum(u * projected(g, {}));
    if (needs[1] && (u || p)) {
      Tensor inner;  // r P(inner) + outer
      if (p) inner = g * p;
      if (u) {
        // r as a function of x, so that the next order sees it
        const Tensor centred = x - row_mean(x);
        const Tensor r = reciprocal(sqrt(row_mean(centred * centred) + eps));
        const Tensor su = weight ? u * weight : u;
        const Tensor a = row_mean(su * xhat), b = row_mean(g * xhat);
        inner = add(inner, -(su * (b * r) + g * (a * r)));
        const Tensor spread = row_mean(su * g) - row_mean(su) * row_mean(g) - a * b;
        grads[1] = -(xhat * (r * r * spread));
      }
      grads[1] = add(grads[1], projected(inner, {}));
    }
    return grads;
  }
};

struct BatchNorm final : Op {  // (x [, weight, bias]) -> (y, mean, var)
  explicit BatchNorm(double eps) : eps(eps) {}
  double eps;

  std::string_view name() const override { return "batch_norm"; }
  bool saves_input(size_t i, const Needs&) const override { return i < 2; }   // x, weight
  bool saves_output(size_t i, const Needs&) const override { return i > 0; }  // mean, var
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check(name(), in[0], in.subspan(1));
    const Shape c{channels(in[0])};
    return {{in[0].shape(), in[0].dtype()}, {c, in[0].dtype(), false}, {c, in[0].dtype(), false}};
  }
  void forward(Inputs in, Outputs out) const override {
    const int64_t M = rows(in[0]), C = channels(in[0]);
    const Tensor partials = workspace_for(in[0]);
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      T *mean = out[1].mutable_data<T>(), *var = out[2].mutable_data<T>();
      kernels::batch_norm_statistics<T>(
          ctx, M, C, in[0].data<T>(), mean, var, partials.mutable_data<double>());
      kernels::batch_norm_forward<T>(ctx,
                                     M,
                                     C,
                                     eps,
                                     in[0].data<T>(),
                                     mean,
                                     var,
                                     optional_data<T>(in, 1),
                                     optional_data<T>(in, 2),
                                     out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in,
                     Outputs out,
                     const Gradients& g,
                     const Needs& needs) const override {
    std::vector<Tensor> inputs{g[0], in[0], out[1], out[2]};
    if (in.size() > 1) inputs.push_back(in[1]);
    std::vector<Tensor> d = apply_multi<BatchNormBackward>(std::move(inputs), eps, needs[0]);
    Gradients grads(in.size());
    if (needs[0]) grads[0] = d[0];
    if (in.size() > 1) {
      grads[1] = d[1];
      grads[2] = d[2];
    }
    return grads;
  }
};

struct BatchNormRunning final : Op {  // (x, mean, var [, weight, bias]) -> y
  explicit BatchNormRunning(double eps) : eps(eps) {}
  double eps;

  std::string_view name() const override { return "batch_norm_running"; }
  bool saves_input(size_t i, const Needs& needs) const override {
    return i == 1 || i == 2 || i == 3 || (i == 0 && needs.size() > 3 && needs[3]);
  }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    check(name(), in[0], in.subspan(1));
    return {{in[0].shape(), in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::batch_norm_forward<T>(ctx,
                                     rows(in[0]),
                                     channels(in[0]),
                                     eps,
                                     in[0].data<T>(),
                                     in[1].data<T>(),
                                     in[2].data<T>(),
                                     optional_data<T>(in, 3),
                                     optional_data<T>(in, 4),
                                     out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& gs, const Needs& needs) const override {
    const Tensor& g = gs[0];
    const bool affine = in.size() > 3;
    const Tensor rstd = reciprocal(sqrt(in[2] + eps));
    Gradients grads(in.size());
    if (needs[0]) grads[0] = g * (affine ? rstd * in[3] : rstd);
    if (affine && needs[3]) grads[3] = row_sum(g * ((in[0] - in[1]) * rstd));
    if (affine && needs[4]) grads[4] = row_sum(g);
    return grads;
  }
};

// Appends the affine part; both or neither.
std::vector<Tensor> with_affine(std::vector<Tensor> inputs,
                                const Tensor& weight,
                                const Tensor& bias) {
  if (weight.defined() != bias.defined()) {
    throw std::invalid_argument("batch_norm: weight and bias are given together or not at all");
  }
  if (weight) inputs.insert(inputs.end(), {weight, bias});
  return inputs;
}

}  // namespace

BatchNormResult batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const std::vector<Tensor> out = apply_multi<BatchNorm>(with_affine({x}, weight, bias), eps);
  return {out[0], out[1], out[2]};
}

Tensor batch_norm_running(const Tensor& x,
                          const Tensor& mean,
                          const Tensor& var,
                          const Tensor& weight,
                          const Tensor& bias,
                          double eps) {
  if (!mean || !var) throw std::invalid_argument("batch_norm_running: mean and var must be given");
  return apply_op<BatchNormRunning>(with_affine({x, mean.detach(), var.detach()}, weight, bias),
                                    eps);
}

}  // namespace oche
