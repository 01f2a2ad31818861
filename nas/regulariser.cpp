// Terms of the loss that trains the alphas, besides that of the task.
#include "nas/regulariser.h"

#include "engine/ops.h"
#include "nas/named_parts.h"

namespace oche::nas {
namespace {

class None final : public Regulariser {
 public:
  explicit None(double) {}
  std::string_view name() const override { return "none"; }
  Tensor apply(const Tensor& task, const RegulariserInput&) const override { return task; }
};

class ZeroOne : public Regulariser {
 public:
  explicit ZeroOne(double weight) : weight_(weight) {}
  std::string_view name() const override { return "zero-one"; }
  Tensor apply(const Tensor& task, const RegulariserInput& in) const override {
    Tensor loss = task;
    double gates = 0;
    for (const Tensor& p : in.weights) gates += static_cast<double>(p.numel());
    for (const Tensor& p : in.weights) loss = loss - sum(distance(p - 0.5)) * (weight_ / gates);
    return loss;
  }

 private:
  virtual Tensor distance(const Tensor& d) const { return d * d; }

  const double weight_;
};

class ZeroOneAbs final : public ZeroOne {
 public:
  using ZeroOne::ZeroOne;
  std::string_view name() const override { return "zero-one-abs"; }

 private:
  Tensor distance(const Tensor& d) const override { return abs(d); }
};

template <typename T>
std::unique_ptr<Regulariser> make(double weight) {
  return std::make_unique<T>(weight);
}
struct Row {
  std::string_view name;
  std::unique_ptr<Regulariser> (*make)(double weight);
};
constexpr Row kRows[] = {
    {"none", make<None>}, {"zero-one", make<ZeroOne>}, {"zero-one-abs", make<ZeroOneAbs>}};
constexpr auto kNames = names_of(kRows);

}  // namespace

std::unique_ptr<Regulariser> make_regulariser(std::string_view name, double weight) {
  return find_named("regulariser", name, kRows).make(weight);
}

std::span<const std::string_view> regulariser_names() {
  return kNames;
}

}  // namespace oche::nas
