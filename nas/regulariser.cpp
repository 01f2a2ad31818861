// Terms of the loss that trains the alphas, besides that of the task.
#include "nas/regulariser.h"

#include <algorithm>

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
    double count = 0;
    for (const Tensor& p : {in.normal, in.reduce}) count += p ? static_cast<double>(p.numel()) : 0;
    Tensor loss = task;
    for (const Tensor& p : {in.normal, in.reduce}) {
      if (p) loss = loss - sum(distance(p - 0.5)) * (weight_ / count);
    }
    return loss;
  }
  bool gates() const override { return true; }

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

// A sum over cells of what a mixture of their candidates costs.
class Cost : public Regulariser {
 public:
  explicit Cost(double weight) : weight_(weight) {}
  bool costs() const override { return true; }
  Tensor apply(const Tensor& task, const RegulariserInput& in) const override {
    const auto reductions =
        static_cast<double>(std::ranges::count_if(in.costs, &CellCosts::reduction));
    const double normals = static_cast<double>(in.costs.size()) - reductions;
    Tensor loss = task;
    for (const CellCosts& cell : in.costs) {
      const Tensor cost = of_cell(cell, cell.reduction ? in.reduce : in.normal);
      loss = loss + cost * (weight_ * scale(cell.reduction ? reductions : normals));
    }
    return loss;
  }

 private:
  virtual Tensor of_cell(const CellCosts& cell, const Tensor& weights) const = 0;
  virtual double scale(double cells) const = 0;  // of one of so many cells of its type

  const double weight_;
};

class Parameters : public Cost {
 public:
  using Cost::Cost;
  std::string_view name() const override { return "parameters"; }

 private:
  Tensor of_cell(const CellCosts& cell, const Tensor& weights) const override {
    return dot(weights, cell.parameters);
  }
  double scale(double) const override { return 1e-6; }
};

class Operations final : public Parameters {
 public:
  using Parameters::Parameters;
  std::string_view name() const override { return "operations"; }

 private:
  Tensor of_cell(const CellCosts& cell, const Tensor& weights) const override {
    return dot(weights, cell.operations);
  }
};

class Resource final : public Cost {
 public:
  using Cost::Cost;
  std::string_view name() const override { return "resource"; }

 private:
  Tensor of_cell(const CellCosts& cell, const Tensor& weights) const override {
    const auto logarithms = [&](const Tensor& costs) {
      const Tensor expected = sum(weights * costs, 1);
      return sum(log(relu(expected - 1.0) + 1.0));  // without gradient below 1
    };
    return (logarithms(cell.parameters) + logarithms(cell.operations) + logarithms(cell.memory)) *
           (1.0 / 3);
  }
  double scale(double cells) const override { return 1 / cells; }
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
    {"none", make<None>},
    {"zero-one", make<ZeroOne>},
    {"zero-one-abs", make<ZeroOneAbs>},
    {"parameters", make<Parameters>},
    {"operations", make<Operations>},
    {"resource", make<Resource>},
};
constexpr auto kNames = names_of(kRows);

}  // namespace

std::unique_ptr<Regulariser> make_regulariser(std::string_view name, double weight) {
  return find_named("regulariser", name, kRows).make(weight);
}

std::span<const std::string_view> regulariser_names() {
  return kNames;
}

}  // namespace oche::nas
