// Reverse-mode differentiation of any order.
#pragma once

#include <span>
#include <vector>

#include "engine/op.h"

namespace oche {

struct GradOptions {
  // The gradients are recorded themselves, so that they can be differentiated again.
  bool create_graph = false;
  // Keeps what the graph saved, for another pass over it. create_graph implies it.
  bool retain_graph = false;
};

// d sum_i <outputs[i], grad_outputs[i]> / d inputs. An empty `grad_outputs` stands for ones
// (outputs must then have one element each). Inputs may be leaves or intermediate results; one that
// the outputs do not depend on gets an undefined gradient; the others are contiguous. Only the
// paths that lead to `inputs` are followed, and only they are released. The leaves' grad() is left
// alone.
std::vector<Tensor> grad(std::span<const Tensor> outputs,
                         std::span<const Tensor> inputs,
                         std::span<const Tensor> grad_outputs = {},
                         GradOptions options = {});
std::vector<Tensor> grad(const Tensor& output,
                         std::span<const Tensor> inputs,
                         GradOptions options = {});

// Adds d output / d leaf to the grad() of every leaf that requires one.
void backward(const Tensor& output, GradOptions options = {});

// d/d second of <d output / d first, v>: an exact product of v with the mixed second derivative.
// `first` and `v` pair up. first == second gives a Hessian-vector product. Entries that do not
// depend on `second` come as zeros.
std::vector<Tensor> mixed_product(const Tensor& output,
                                  std::span<const Tensor> first,
                                  std::span<const Tensor> v,
                                  std::span<const Tensor> second,
                                  GradOptions options = {});
std::vector<Tensor> hessian_vector_product(const Tensor& output,
                                           std::span<const Tensor> inputs,
                                           std::span<const Tensor> v,
                                           GradOptions options = {});

// zeros_like for every undefined gradient.
std::vector<Tensor> defined_or_zeros(std::vector<Tensor> gradients, std::span<const Tensor> like);

}  // namespace oche
