// Parameter updates and clipping: the kernels over lists of tensors against the references, and the
// optimisers on top of them.
#include <array>
#include <cmath>

#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optim.h"
#include "kernels/optimizer.h"
#include "tests/support/kernel_check.h"

namespace oche {
namespace {

using kernels::CpuContext;
using ref::Values;

// Below, at and above the chunk of 16,384 elements that a parallel task takes.
const std::vector<int64_t> kSizes = {17, 0, 1, 16384, 20001, 3, 40000, 64};

// Several values for each of kSizes, and the same as T.
template <typename T>
struct List {
  std::vector<Values> want;
  std::vector<std::vector<T>> got;
  template <typename Make>
  explicit List(const Make& make) {
    for (int64_t n : kSizes) {
      want.push_back(make(n));
      got.push_back(as<T>(want.back()));
    }
  }
  double error() const {
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i) worst = std::max(worst, worst_error(got[i], want[i]));
    return worst;
  }
};

struct Holder : Module {
  using Module::add_parameter;
};

// The parameters of a small network: two convolutions, of which one is longer than a block of the
// sum, and a vector.
struct Parameters {
  Holder holder;
  Weights weights;
  std::vector<Tensor> gradients;

  explicit Parameters(DType dtype) {
    for (const Shape& shape : {Shape{3, 3, 40, 24}, Shape{5, 5, 1, 7}, Shape{11}}) {
      const Layout layout = shape.size() == 4 ? Layout::kConvWeight : Layout::kPlain;
      holder.add_parameter(to_string(shape), shape, dtype, {.constant = 1}, layout);
      gradients.push_back(cast(Tensor::from(random_values(numel(shape)), shape), dtype));
    }
    weights = Weights(holder.named_parameters());
  }
};

}  // namespace

TEMPLATE_TEST_CASE("optimiser kernels follow the formulas over a list of tensors",
                   "[optim]",
                   float,
                   double) {
  const bool nesterov = GENERATE(false, true);
  CpuContext ctx(2);
  const auto zeros = [](int64_t n) { return Values(n); };
  const auto random = [](int64_t n) { return random_values(n); };
  List<TestType> w(random), buf(zeros), u(random), m(zeros), v(zeros);
  for (int64_t step = 1; step <= 3; ++step) {
    const List<TestType> g([&](int64_t n) { return small_integers(n, step); });
    const kernels::SgdStep sgd{.lr = 0.025,
                               .momentum = 0.9,
                               .weight_decay = 3e-4,
                               .grad_scale = 0.5,
                               .nesterov = nesterov};
    const kernels::AdamStep adam{
        .lr = 3e-4, .beta1 = 0.5, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 1e-3, .step = step};
    std::vector<kernels::SgdTensor<TestType>> sgd_list;
    std::vector<kernels::AdamTensor<TestType>> adam_list;
    for (size_t i = 0; i < kSizes.size(); ++i) {
      const bool absent = i == 4;  // counts as zeros
      const Values slope = absent ? Values(kSizes[i]) : g.want[i];
      const TestType* slope_data = absent ? nullptr : g.got[i].data();
      ref::sgd(sgd, slope, w.want[i], buf.want[i]);
      ref::adam(adam, slope, u.want[i], m.want[i], v.want[i]);
      sgd_list.push_back({kSizes[i], slope_data, w.got[i].data(), buf.got[i].data()});
      adam_list.push_back(
          {kSizes[i], slope_data, u.got[i].data(), m.got[i].data(), v.got[i].data()});
    }
    kernels::sgd<TestType>(ctx, sgd, sgd_list);
    kernels::adam<TestType>(ctx, adam, adam_list);
    CAPTURE(step);
    for (double error : {w.error(), buf.error(), u.error(), m.error(), v.error()}) {
      CHECK(error <= 8 * kEpsilon<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("squares are summed over a list of tensors, to the same bits on any threads",
                   "[optim]",
                   float,
                   double) {
  const std::vector<std::array<int64_t, 3>> extents = {
      {9, 40, 24}, {0, 3, 4}, {1, 64, 70}, {25, 1, 7}, {20001, 1, 1}, {1, 1, 1}, {4, 32, 32}};
  const auto sum = [&](CpuContext& ctx, const auto& make) {
    std::vector<std::vector<TestType>> values;
    std::vector<kernels::NormTensor<TestType>> list;
    for (const auto& [a, b, c] : extents) {
      values.push_back(as<TestType>(make(a * b * c)));
      list.push_back({a, b, c, values.back().data()});
    }
    auto workspace = poison<double>(kernels::squares_workspace<TestType>(list));
    auto sum = poison<double>(1);
    kernels::sum_squares<TestType>(ctx, list, sum.data(), workspace.data());
    return sum;
  };
  CpuContext ctx(2);
  double want = 0;
  for (const auto& [a, b, c] : extents) {
    for (double x : small_integers(a * b * c)) want += x * x;
  }
  CHECK(sum(ctx, [](int64_t n) { return small_integers(n); }).front() == want);
  check_thread_counts(
      [&](CpuContext& c) { return sum(c, [](int64_t n) { return random_values(n); }); });
}

TEST_CASE("the norm of gradients is that of the file layout, to the bit") {
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    Parameters p(dtype);
    double squares = 0;
    for (size_t i = 0; i < p.gradients.size(); ++i) {
      const Tensor t =
          cast(contiguous(to_file_layout(p.gradients[i], p.weights[i].layout)), DType::kFloat64);
      squares += dot(t, t).item();
    }
    CHECK(global_norm(p.weights, p.gradients) == std::sqrt(squares));
    // A gradient that is a view is read as what it shows.
    std::vector<Tensor> views = p.gradients;
    views[0] = permute(contiguous(permute(views[0], {3, 2, 1, 0})), {3, 2, 1, 0});
    CHECK(global_norm(p.weights, views) == std::sqrt(squares));
    // An undefined one counts as zeros.
    const double all = std::sqrt(squares);
    p.gradients[1] = Tensor();
    CHECK(global_norm(p.weights, p.gradients) < all);
  }
  CHECK(clip_factor(10, 5) == 5 / (10 + 1e-6));
  CHECK(clip_factor(1, 5) == 1);
  CHECK(clip_factor(10, 0) == 1);
}

TEST_CASE("a step without a gradient decays a weight, and keeps the momentum of the others apart") {
  Parameters p(DType::kFloat64);
  Sgd sgd(p.weights, {.momentum = 0.5, .weight_decay = 0.1});
  p.gradients[2] = Tensor();
  const double g = p.gradients[0].to_vector<double>()[0];
  sgd.step(p.gradients, 0.1, 0.5);
  CHECK(p.weights[0].value.to_vector<double>()[0] == 1 - 0.1 * (0.5 * g + 0.1));
  CHECK(p.weights[2].value.to_vector<double>()[10] == 1 - 0.1 * 0.1);
  sgd.step({Tensor(), Tensor(), Tensor()}, 0.1);
  const double w = 1 - 0.1 * 0.1;
  CHECK(p.weights[2].value.to_vector<double>()[10] == w - 0.1 * (0.5 * 0.1 + 0.1 * w));
}

TEST_CASE("gradients that do not fit their parameters are refused") {
  Parameters p(DType::kFloat32);
  Sgd sgd(p.weights, {});
  const auto with = [&](const Tensor& last) {
    std::vector<Tensor> g = p.gradients;
    g.back() = last;
    return g;
  };
  const auto few = std::vector<Tensor>(2);
  const auto long_one = with(Tensor::zeros({12}, DType::kFloat32));
  const auto wide_one = with(Tensor::zeros({11}, DType::kFloat64));
  CHECK_THROWS_WITH(sgd.step(few, 0.1), "sgd: 2 gradients for 3 parameters");
  CHECK_THROWS_WITH(sgd.step(long_one, 0.1), "sgd: gradient f32 (12) for a parameter f32 (11)");
  CHECK_THROWS_WITH(global_norm(p.weights, wide_one),
                    "global_norm: gradient f64 (11) for a parameter f32 (11)");
  CHECK_NOTHROW(Sgd(Weights(), {}).step({}, 0.1));
}

}  // namespace oche
