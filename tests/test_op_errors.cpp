// Error inputs: every public op refuses unfit arguments with std::invalid_argument, naming itself
// and the values.
#include <functional>
#include <string>

#include "engine/ops.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

struct Refusal {
  std::string said;  // must appear in the message
  std::function<void()> call;
  bool of_values = false;  // seen on the CPU only; a device would have to be waited for
};

Tensor f32(const Shape& s) {
  return Tensor::ones(s, DType::kFloat32);
}
Tensor f64(const Shape& s) {
  return Tensor::ones(s, DType::kFloat64);
}
Tensor i64(const Shape& s, double value = 0) {
  return Tensor::full(s, value, DType::kInt64);
}

const Tensor kNone;

std::vector<Refusal> refusals() {
  return {
      {"add: shapes (2, 3) and (2, 4)",
       [] {
         f32({2, 3}) + f32({2, 4});
       }},
      {"add: dtypes f32 and f64", [] { f32({2}) + f64({2}); }},
      {"add: dtype i64", [] { i64({2}) + i64({2}); }},
      {"add: input 1 is undefined", [] { f32({2}) + kNone; }},
      {"subtract: shapes (2) and (3)", [] { f32({2}) - f32({3}); }},
      {"multiply: shapes (2) and (3)", [] { f32({2}) * f32({3}); }},
      {"divide: dtypes f64 and f32", [] { f64({2}) / f32({2}); }},
      {"gate: shapes (2) and (3)", [] { gate(f32({2}), f32({3})); }},
      {"affine: dtype i64", [] { i64({2}) * 2.0; }},
      {"negate: input 0 is undefined", [] { -kNone; }},
      {"exp: dtype i64", [] { exp(i64({2})); }},
      {"log: dtype i64", [] { log(i64({2})); }},
      {"sqrt: dtype i64", [] { sqrt(i64({2})); }},
      {"abs: dtype i64", [] { abs(i64({2})); }},
      {"sign: dtype i64", [] { sign(i64({2})); }},
      {"reciprocal: dtype i64", [] { reciprocal(i64({2})); }},
      {"sigmoid: dtype i64", [] { sigmoid(i64({2})); }},
      {"tanh: dtype i64", [] { tanh(i64({2})); }},
      {"gate: dtype i64", [] { relu(i64({2})); }},
      {"undefined tensor has no shape", [] { cast(kNone, DType::kFloat32); }},
      {"undefined tensor has no shape", [] { contiguous(kNone); }},
      {"reshape: (2, 3) has 6 elements, (4) has 4",
       [] {
         reshape(f32({2, 3}), {4});
       }},
      {"reshape: (2, 3)",
       [] {
         reshape(f32({2, 3}), {-2, -3});
       }},
      {"permute: expected each of the 2 dims",
       [] {
         permute(f32({2, 3}), {0, 0});
       }},
      {"transpose: shape (2, 3, 4)",
       [] {
         transpose(f32({2, 3, 4}));
       }},
      {"broadcast_to: shapes (2) and (3)", [] { broadcast_to(f32({2}), {3}); }},
      {"broadcast_to: (2, 1) does not broadcast to (2)",
       [] {
         broadcast_to(f32({2, 1}), {2});
       }},
      {"slice: dim 1 is out of range for shape (2)", [] { slice(f32({2}), 1, 0, 1); }},
      {"slice: [1:3:1]", [] { slice(f32({2}), 0, 1, 3); }},
      {"slice: [0:2:0]", [] { slice(f32({2}), 0, 0, 2, 0); }},
      {"embed: 2 elements from 2", [] { embed(f32({2}), 0, 3, 2); }},
      {"embed: 0 elements from 4", [] { embed(f32({0}), 0, 3, 4); }},
      {"pad: -1 before", [] { pad(f32({2}), 0, -1, 0); }},
      {"shift: dim 3", [] { shift(f32({2}), 3, 1); }},
      {"concat: no tensors", [] { concat({}, 0); }},
      {"concat: f32 (2, 3) and f32 (3, 2)",
       [] {
         concat({f32({2, 3}), f32({3, 2})}, 0);
       }},
      {"concat: f32 (2) and f32 (2, 1)",
       [] {
         concat({f32({2}), f32({2, 1})}, 0);
       }},
      {"concat: f32 (2) and f64 (2)",
       [] {
         concat({f32({2}), f64({2})}, 0);
       }},
      {"sum: dim 2",
       [] {
         sum(f32({2, 3}), 2);
       }},
      {"sum: dtype i64", [] { sum(i64({2}), 0); }},
      {"mean: dim -3",
       [] {
         mean(f32({2, 3}), -3);
       }},
      {"sum_to: shapes (4) and (2, 3)",
       [] {
         sum_to(f32({2, 3}), {4});
       }},
      {"sum_to: (2, 3, 1) does not broadcast to (2, 3)",
       [] {
         sum_to(f32({2, 3}), {2, 3, 1});
       }},
      {"dot: f32 (2) and f32 (3)", [] { dot(f32({2}), f32({3})); }},
      {"max: dim 1 of (2, 0) is empty",
       [] {
         max(f32({2, 0}), 1);
       }},
      {"max: dim 2",
       [] {
         max(f32({2, 1}), 2);
       }},
      {"gather: index f32", [] { gather(f32({2}), 0, f32({2})); }},
      {"gather: index i64 (2, 3)",
       [] {
         gather(f32({4, 2}), 0, i64({2, 3}));
       }},
      {"gather: index 2 is outside [0, 2)", [] { gather(f32({2}), 0, i64({1}, 2)); }, true},
      {"scatter_add: index -1 is outside [0, 3)",
       [] { scatter_add(f32({2}), 0, i64({2}, -1), 3); },
       true},
      {"scatter_add: size -1", [] { scatter_add(f32({0}), 0, i64({0}), -1); }},
      {"scatter_add: x (3) and index (2) differ", [] { scatter_add(f32({3}), 0, i64({2}), 3); }},
      {"global_avg_pool: shape (2, 3)",
       [] {
         global_avg_pool(f32({2, 3}));
       }},
      {"matmul: f32 (2, 3) and f32 (2, 3)",
       [] {
         matmul(f32({2, 3}), f32({2, 3}));
       }},
      {"matmul: f32 (2, 3)^T and f32 (3, 2)",
       [] {
         matmul(f32({2, 3}), f32({3, 2}), {.transpose_a = true});
       }},
      {"matmul: f32 (2, 3) and f64 (3, 2)",
       [] {
         matmul(f32({2, 3}), f64({3, 2}));
       }},
      {"matmul: dtype i64",
       [] {
         matmul(i64({2, 3}), i64({3, 2}));
       }},
      {"softmax: dim 2 is out of range for shape (2, 5); expected -2 <= dim < 2",
       [] {
         softmax(f32({2, 5}), 2);
       }},
      {"log_softmax: dim -3",
       [] {
         log_softmax(f32({2, 5}), -3);
       }},
      {"cross_entropy: logits (2, 5) and labels i64 (3)",
       [] {
         cross_entropy(f32({2, 5}), i64({3}));
       }},
      {"cross_entropy: logits (2, 5) and labels f32 (2)",
       [] {
         cross_entropy(f32({2, 5}), f32({2}));
       }},
      {"cross_entropy: label 5 is outside [0, 5)",
       [] {
         cross_entropy(f32({2, 5}), i64({2}, 5));
       },
       true},
      {"cross_entropy: logits (0, 5)",
       [] {
         cross_entropy(f32({0, 5}), i64({0}));
       }},
      {"conv2d: x (2, 3), weight",
       [] {
         conv2d(f32({2, 3}), f32({1, 1, 3, 4}));
       }},
      {"conv2d: x (1, 3, 3, 2), weight (1, 1, 2, 4), stride 0",
       [] {
         conv2d(f32({1, 3, 3, 2}), f32({1, 1, 2, 4}), {.stride = 0});
       }},
      {"conv2d: weight (1, 1, 3, 4) with 1 groups",
       [] {
         conv2d(f32({1, 3, 3, 2}), f32({1, 1, 3, 4}));
       }},
      {"conv2d: weight (1, 1, 1, 3) with 2 groups",
       [] {
         conv2d(f32({1, 3, 3, 2}), f32({1, 1, 1, 3}), {.groups = 2});
       }},
      {"conv2d: the kernel (3, 3, 2, 4) with dilation 2 exceeds",
       [] {
         conv2d(f32({1, 4, 4, 2}), f32({3, 3, 2, 4}), {.dilation = 2});
       }},
      {"conv2d: x (1, 4, 4, 2), weight (0, 3, 2, 4)",
       [] {
         conv2d(f32({1, 4, 4, 2}), f32({0, 3, 2, 4}));
       }},
      {"conv2d: gate has shape (1, 3, 3, 1)",
       [] {
         conv2d(f32({1, 3, 3, 2}), f32({1, 1, 2, 4}), {}, f32({1, 3, 3, 1}));
       }},
      {"conv2d: dtypes f32 and f64",
       [] {
         conv2d(f32({1, 3, 3, 2}), f64({1, 1, 2, 4}));
       }},
      {"conv2d_input_grad: grad_output has shape (1, 2, 2, 4)",
       [] {
         conv2d_input_grad(f32({1, 2, 2, 4}), f32({1, 1, 2, 4}), {1, 3, 3, 2});
       }},
      {"conv2d_weight_grad: grad_output has shape (1, 2, 2, 4)",
       [] {
         conv2d_weight_grad(f32({1, 3, 3, 2}), f32({1, 2, 2, 4}), {1, 1, 2, 4});
       }},
      {"max_pool2d: x (2, 3)",
       [] {
         max_pool2d(f32({2, 3}));
       }},
      {"max_pool2d: x (1, 2, 2, 1), kernel 5",
       [] {
         max_pool2d(f32({1, 2, 2, 1}), {.kernel = 5, .padding = 1});
       }},
      {"max_pool2d: x (1, 9, 9, 1), kernel 2, stride 1, padding 2",
       [] {
         max_pool2d(f32({1, 9, 9, 1}), {.kernel = 2, .padding = 2});
       }},
      {"avg_pool2d: x (1, 9, 9, 1), kernel 3, stride 0",
       [] {
         avg_pool2d(f32({1, 9, 9, 1}), {.stride = 0});
       }},
      {"avg_pool2d: dtype i64",
       [] {
         avg_pool2d(i64({1, 9, 9, 1}));
       }},
      {"batch_norm: shape (0, 3)",
       [] {
         batch_norm(f32({0, 3}));
       }},
      {"batch_norm: weight and bias",
       [] {
         batch_norm(f32({2, 3}), f32({3}));
       }},
      {"batch_norm: f32 (2) per channel",
       [] {
         batch_norm(f32({2, 3}), f32({2}), f32({2}));
       }},
      {"batch_norm: f64 (3) per channel",
       [] {
         batch_norm(f32({2, 3}), f64({3}), f64({3}));
       }},
      {"batch_norm_running: mean and var",
       [] {
         batch_norm_running(f32({2, 3}), f32({3}), kNone);
       }},
      {"batch_norm_running: f32 (2) per channel",
       [] {
         batch_norm_running(f32({2, 3}), f32({2}), f32({3}));
       }},
      {"mixed_sum: 2 terms with 1 weights",
       [] {
         mixed_sum(f32({3}), {0}, {f32({2}), f32({2})});
       }},
      {"mixed_sum: 0 terms", [] { mixed_sum(f32({3}), {}, {}); }},
      {"mixed_sum: weight 3 of a tensor of 3", [] { mixed_sum(f32({3}), {3}, {f32({2})}); }},
      {"mixed_sum: term 1 is f32 (3)",
       [] {
         mixed_sum(f32({3}), {0, 1}, {f32({2}), f32({3})});
       }},
      {"mixed_sum: term 0 is f64 (2)", [] { mixed_sum(f32({3}), {0}, {f64({2})}); }},
      {"dropout: p = 1", [] { dropout(f32({2}), 1, {}); }},
      {"dropout: dtype i64", [] { dropout(i64({2}), 0.5, {}); }},
  };
}

}  // namespace

TEST_CASE("every op refuses unfit arguments, and says which and why") {
  for (const Refusal& r : refusals()) {
    if (r.of_values && default_device() != Device()) continue;
    std::string said = "nothing";
    try {
      r.call();
    } catch (const std::invalid_argument& e) {
      said = e.what();
    }
    CAPTURE(said, r.said);
    CHECK(said.find(r.said) != std::string::npos);
    CHECK(said.find('\n') == std::string::npos);
  }
}
