// Matrix products; the gradients are matrix products again.
#include <fmt/format.h>

#include <stdexcept>

#include "engine/dispatch.h"
#include "engine/op.h"
#include "engine/ops.h"
#include "kernels/gemm.h"

namespace oche {
namespace {

struct Matmul final : Op {
  explicit Matmul(MatmulOptions options) : o(options) {}
  MatmulOptions o;

  std::string_view name() const override { return "matmul"; }
  bool saves_input(size_t i, const Needs& needs) const override { return needs[1 - i]; }

  kernels::GemmShape shape(Inputs in) const {
    const Shape &a = in[0].shape(), &b = in[1].shape();
    return {.M = a[o.transpose_a ? 1 : 0],
            .N = b[o.transpose_b ? 0 : 1],
            .K = a[o.transpose_a ? 0 : 1],
            .transpose_a = o.transpose_a,
            .transpose_b = o.transpose_b};
  }
  std::vector<TensorSpec> infer_outputs(Inputs in) const override {
    const bool fits = in[0].rank() == 2 && in[1].rank() == 2 && in[0].dtype() == in[1].dtype() &&
                      in[1].shape()[o.transpose_b ? 1 : 0] == in[0].shape()[o.transpose_a ? 0 : 1];
    if (!fits) {
      throw std::invalid_argument(fmt::format("matmul: {} {}{} and {} {}{} do not multiply",
                                              to_string(in[0].dtype()),
                                              to_string(in[0].shape()),
                                              o.transpose_a ? "^T" : "",
                                              to_string(in[1].dtype()),
                                              to_string(in[1].shape()),
                                              o.transpose_b ? "^T" : ""));
    }
    const kernels::GemmShape s = shape(in);
    return {{{s.M, s.N}, in[0].dtype()}};
  }
  void forward(Inputs in, Outputs out) const override {
    dispatch(in[0], [&]<typename T>(auto& ctx) {
      kernels::gemm<T>(ctx, shape(in), in[0].data<T>(), in[1].data<T>(), out[0].mutable_data<T>());
    });
  }
  Gradients backward(Inputs in, Outputs, const Gradients& gs, const Needs& needs) const override {
    const Tensor &a = in[0], &b = in[1], &g = gs[0];
    Gradients grads(2);
    if (needs[0]) {  // dA' = g B'^T with A' = op(A), B' = op(B)
      grads[0] = o.transpose_a ? matmul(b, g, {.transpose_a = o.transpose_b, .transpose_b = true})
                               : matmul(g, b, {.transpose_b = !o.transpose_b});
    }
    if (needs[1]) {  // dB' = A'^T g
      grads[1] = o.transpose_b ? matmul(g, a, {.transpose_a = true, .transpose_b = o.transpose_a})
                               : matmul(a, g, {.transpose_a = !o.transpose_a});
    }
    return grads;
  }
  int64_t macs(Inputs in, Outputs) const override {
    const kernels::GemmShape s = shape(in);
    return s.M * s.N * s.K;
  }
};

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, MatmulOptions options) {
  return apply_op<Matmul>({a, b}, options);
}

}  // namespace oche
