// Bilevel problems with known answers.
#include "nas/toy_problems.h"

#include <cmath>
#include <functional>
#include <numbers>

#include "engine/op.h"
#include "engine/ops.h"
#include "engine/random.h"
#include "nas/named_parts.h"
#include "nas/relaxation.h"

namespace oche::nas {
namespace {

// Parameters that are leaves, under names, in two sets.
class Builder {
 public:
  Builder(std::string_view name, DType dtype) : dtype_(dtype) { problem_.name = name; }

  Parameter& weight(std::string name, const Tensor& value) { return add(weights_, name, value); }
  Parameter& alpha(std::string name, const Tensor& value) { return add(alphas_, name, value); }
  Tensor constant(const std::vector<double>& values, const Shape& shape) const {
    return cast(Tensor::from(values, shape), dtype_);
  }
  Tensor normal(const std::string& name, const Shape& shape, double deviation) const {
    const RandomKey key = random_key(0, module_id(name), Purpose::kPerturb);
    return cast(random_normal(shape, DType::kFloat64, {key, 0}), dtype_) * deviation;
  }
  ToyProblem finish(const std::function<Tensor()>& train,
                    const std::function<Tensor()>& validation,
                    double rate,
                    double decay) {
    problem_.bilevel = {Weights(weights_), Alphas(alphas_), train, validation};
    problem_.step = {.rate = Tensor::full({}, rate, dtype_), .weight_decay = decay};
    return std::move(problem_);
  }
  ToyProblem& problem() { return problem_; }

 private:
  Parameter& add(std::vector<NamedParameter>& set, const std::string& name, const Tensor& value) {
    problem_.parameters.push_back(std::make_unique<Parameter>());
    Parameter& p = *problem_.parameters.back();
    p.value = value.clone().set_requires_grad(true);
    set.push_back({name, &p});
    return p;
  }

  const DType dtype_;
  ToyProblem problem_;
  std::vector<NamedParameter> weights_, alphas_;
};

ToyProblem quadratic(DType dtype) {
  Builder b("quadratic", dtype);
  Parameter &w = b.weight("w", b.constant({0.5, 0.5, 0.5}, {3})),
            &a = b.alpha("a", b.constant({0, 0, 0}, {3}));
  const Tensor h = b.constant({10, 1, 0.1}, {3}), c = b.constant({1, 1, 1}, {3});
  b.problem().hypergradient = {-1, -1, -1};
  return b.finish(
      [&w, &a, h] {
        const Tensor d = w.value - a.value;
        return sum(h * d * d) * 0.5;
      },
      [&w, c] { return sum((w.value - c) * (w.value - c)) * 0.5; },
      0.1,
      0);
}

ToyProblem ridge(DType dtype) {
  Builder b("ridge", dtype);
  Parameter &w = b.weight("w", b.constant({0, 0}, {2, 1})),
            &a = b.alpha("a", b.constant({-1}, {1}));
  b.problem().hypergradient = {0.048485067719593815};  // -e^a w*^T H^-1 v, of 2x2
  const Tensor x = b.constant({1, 0.5, -0.3, 1.2, 0.7, -0.4, 0.2, 0.9}, {4, 2});
  const Tensor y = b.constant({1, 0.3, 0.5, -0.2}, {4, 1});
  const Tensor xv = b.constant({0.4, -1, 1.1, 0.6}, {2, 2}), yv = b.constant({0.2, 0.9}, {2, 1});
  const auto half_mean_square = [](const Tensor& d) {
    return sum(d * d) * (0.5 / static_cast<double>(d.numel()));
  };
  return b.finish(
      [&w, &a, x, y, half_mean_square] {
        return half_mean_square(matmul(x, w.value) - y) +
               sum(exp(a.value)) * sum(w.value * w.value) * 0.5;
      },
      [&w, xv, yv, half_mean_square] { return half_mean_square(matmul(xv, w.value) - yv); },
      0.1,
      0);
}

constexpr int64_t kImages = 32, kSide = 8, kClasses = 3, kChannels = 4, kEdges = 3;

// Waves of a frequency for each class, in noise.
struct ToyBatch {
  Tensor images, labels;
};
ToyBatch toy_batch(const Builder& b, const std::string& name) {
  std::vector<double> images;
  std::vector<int64_t> labels;
  for (int64_t n = 0; n < kImages; ++n) {
    labels.push_back(n % kClasses);
    for (int64_t i = 0; i < kSide * kSide; ++i)
      images.push_back(std::cos(2 * std::numbers::pi *
                                static_cast<double>((labels.back() + 1) * (i % kSide)) / kSide));
  }
  const Shape shape{kImages, kSide, kSide, 1};
  return {b.constant(images, shape) + b.normal(name, shape, 1.0), Tensor::from(labels, {kImages})};
}

ToyProblem supernet(DType dtype) {
  Builder b("toy", dtype);
  const double spread = 1 / std::sqrt(9.0 * kChannels);
  Parameter& stem = b.weight("stem", b.normal("stem", {3, 3, 1, kChannels}, 1.0 / 3));
  std::vector<Parameter*> convolutions;
  for (int64_t e = 0; e < kEdges; ++e) {
    const std::string name = "edge." + std::to_string(e);
    convolutions.push_back(&b.weight(name, b.normal(name, {3, 3, kChannels, kChannels}, spread)));
  }
  Parameter& classifier =
      b.weight("classifier",
               b.normal("classifier", {2 * kChannels, kClasses}, 1 / std::sqrt(2.0 * kChannels)));
  Parameter& alphas = b.alpha("alphas_normal", b.normal("alphas", {kEdges, 3}, 0.5));
  b.problem().candidates = {"skip_connect", "conv_3x3", "avg_pool_3x3"};

  const auto loss = [&stem, &classifier, &alphas, convolutions](const ToyBatch& batch) {
    const Tensor table = softmax(alphas.value, 1);
    const auto edge = [&](const Tensor& x, int64_t e) {
      const auto weight = [&](int64_t k) {
        return reshape(slice(slice(table, 0, e, e + 1), 1, k, k + 1), {});
      };
      return x * weight(0) + conv2d(tanh(x), convolutions[e]->value, {.padding = 1}) * weight(1) +
             avg_pool2d(x, {.kernel = 3, .padding = 1}) * weight(2);
    };
    const Tensor in = conv2d(batch.images, stem.value, {.padding = 1});
    const Tensor first = edge(in, 0), second = edge(in, 1) + edge(first, 2);
    return cross_entropy(
        matmul(global_avg_pool(tanh(concat({first, second}, 3))), classifier.value), batch.labels);
  };
  const ToyBatch train = toy_batch(b, "train"), validation = toy_batch(b, "validation");
  return b.finish([loss, train] { return loss(train); },
                  [loss, validation] { return loss(validation); },
                  0.1,
                  0.01);
}

struct Row {
  std::string_view name;
  ToyProblem (*make)(DType);
};
constexpr Row kRows[] = {{"quadratic", quadratic}, {"ridge", ridge}, {"toy", supernet}};
constexpr auto kNames = names_of(kRows);

}  // namespace

ToyProblem make_toy_problem(std::string_view name, DType dtype) {
  return find_named("problem", name, kRows).make(dtype);
}

std::span<const std::string_view> toy_problem_names() {
  return kNames;
}

}  // namespace oche::nas
