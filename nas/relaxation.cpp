// From architecture parameters to the weights of the candidates.
#include "nas/relaxation.h"

#include "engine/dispatch.h"
#include "engine/ops.h"
#include "kernels/random.h"
#include "nas/named_parts.h"

namespace oche::nas {
namespace {

std::vector<bool> all_of(const Tensor& alpha) {
  return std::vector<bool>(alpha.numel(), true);
}

Tensor gumbel_noise(const Tensor& like, const RandomAddress& at) {
  Tensor noise = Tensor::empty(like.shape(), like.dtype(), like.device());
  if (DryRun::active()) return noise;
  const auto counter = random_counter(at.step, at.phase, at.step_at);
  dispatch(noise, [&]<typename T>(auto& ctx) {
    kernels::fill_gumbel<T>(ctx, at.key, counter, noise.numel(), noise.mutable_data<T>());
  });
  return noise;
}

class Softmax final : public Relaxation {
 public:
  std::string_view name() const override { return "softmax"; }
  Mixture mix(const Tensor& alpha, const MixtureInput&) const override {
    return softmax_mixture(alpha);
  }
  Tensor scores(const Tensor& alpha) const override { return softmax(alpha, 1); }
};

class Sigmoid final : public Relaxation {
 public:
  std::string_view name() const override { return "sigmoid"; }
  Mixture mix(const Tensor& alpha, const MixtureInput&) const override {
    return {sigmoid(alpha), all_of(alpha)};
  }
  Tensor scores(const Tensor& alpha) const override { return sigmoid(alpha); }
  bool simplex_rows() const override { return false; }
};

class GumbelSoft : public Relaxation {
 public:
  std::string_view name() const override { return "gumbel-soft"; }
  bool has_temperature() const override { return true; }
  Mixture mix(const Tensor& alpha, const MixtureInput& in) const override {
    return {gumbel_softmax(alpha, gumbel_noise(alpha, in.noise), in.temperature), all_of(alpha)};
  }
  Tensor scores(const Tensor& alpha) const override { return softmax(alpha, 1); }
};

class GumbelHard final : public GumbelSoft {
 public:
  std::string_view name() const override { return "gumbel-hard"; }
  Mixture mix(const Tensor& alpha, const MixtureInput& in) const override {
    const Tensor soft = GumbelSoft::mix(alpha, in).weights;
    RowMaxima hard = row_maxima(soft, in.costliest);
    return {nas::straight_through(hard.one_hot, soft), std::move(hard.where)};
  }
  bool straight_through() const override { return true; }
  bool draws_mask() const override { return true; }
};

template <typename T>
std::unique_ptr<Relaxation> make() {
  return std::make_unique<T>();
}
struct Row {
  std::string_view name;
  std::unique_ptr<Relaxation> (*make)();
};
constexpr Row kRows[] = {
    {"softmax", make<Softmax>},
    {"sigmoid", make<Sigmoid>},
    {"gumbel-soft", make<GumbelSoft>},
    {"gumbel-hard", make<GumbelHard>},
};
constexpr auto kNames = names_of(kRows);

}  // namespace

std::unique_ptr<Relaxation> make_relaxation(std::string_view name) {
  return find_named("relaxation", name, kRows).make();
}

std::span<const std::string_view> relaxation_names() {
  return kNames;
}

Tensor gumbel_softmax(const Tensor& alpha, const Tensor& noise, const Tensor& temperature) {
  const Tensor logits = alpha + noise;
  return softmax(temperature ? logits / temperature : logits, 1);
}

Tensor straight_through(const Tensor& hard, const Tensor& soft) {
  return hard + (soft - soft.detach());
}

RowMaxima row_maxima(const Tensor& x, const std::vector<int64_t>& in_dry_run) {
  const int64_t rows = x.size(0), columns = x.size(1);
  std::vector<int64_t> largest = in_dry_run;
  largest.resize(rows);
  if (!DryRun::active()) largest = max(x.detach(), 1).indices.to_vector<int64_t>();
  std::vector<double> ones(rows * columns, 0);
  std::vector<bool> where(rows * columns, false);
  for (int64_t i = 0; i < rows; ++i) {
    ones[i * columns + largest[i]] = 1;
    where[i * columns + largest[i]] = true;
  }
  return {cast(Tensor::from(ones, {rows, columns}), x.dtype()).detach(), std::move(where)};
}

Mixture softmax_mixture(const Tensor& alpha) {
  return {softmax(alpha, 1), all_of(alpha)};
}

Tensor random_normal(const Shape& shape, DType dtype, const RandomAddress& at) {
  Tensor numbers = Tensor::empty(shape, dtype);
  if (DryRun::active()) return numbers;
  const auto counter = random_counter(at.step, at.phase, at.step_at);
  dispatch(numbers, [&]<typename T>(auto& ctx) {
    kernels::fill_normal<T>(ctx, at.key, counter, numbers.numel(), 0, 1, numbers.mutable_data<T>());
  });
  return numbers;
}

}  // namespace oche::nas
