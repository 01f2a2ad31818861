// Terms of the loss that trains the alphas, besides that of the task.
#include "nas/regulariser.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <stdexcept>

#include "engine/ops.h"

namespace oche::nas {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"none", "zero-one", "zero-one-abs"};

class None final : public Regulariser {
 public:
  std::string_view name() const override { return kNames[0]; }
  Tensor apply(const Tensor& task, const RegulariserInput&) const override { return task; }
};

class ZeroOne final : public Regulariser {
 public:
  enum class Distance { kSquare, kAbsolute };
  ZeroOne(Distance distance, double weight) : distance_(distance), weight_(weight) {}

  std::string_view name() const override { return kNames[distance_ == Distance::kSquare ? 1 : 2]; }
  Tensor apply(const Tensor& task, const RegulariserInput& in) const override {
    Tensor loss = task;
    double gates = 0;
    for (const Tensor& p : in.weights) gates += static_cast<double>(p.numel());
    for (const Tensor& p : in.weights) {
      const Tensor d = p - 0.5;
      loss = loss - sum(distance_ == Distance::kSquare ? d * d : abs(d)) * (weight_ / gates);
    }
    return loss;
  }

 private:
  const Distance distance_;
  const double weight_;
};

}  // namespace

std::unique_ptr<Regulariser> make_regulariser(std::string_view name, double weight) {
  if (name == kNames[0]) return std::make_unique<None>();
  if (name == kNames[1]) return std::make_unique<ZeroOne>(ZeroOne::Distance::kSquare, weight);
  if (name == kNames[2]) return std::make_unique<ZeroOne>(ZeroOne::Distance::kAbsolute, weight);
  throw std::invalid_argument(fmt::format(
      "regulariser '{}' is not known; expected one of {}", name, fmt::join(kNames, ", ")));
}

std::span<const std::string_view> regulariser_names() {
  return kNames;
}

}  // namespace oche::nas
