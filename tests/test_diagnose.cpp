// Finding the first non-finite value.
#include <cmath>

#include "engine/autograd.h"
#include "engine/diagnose.h"
#include "engine/error.h"
#include "engine/ops.h"
#include "tests/support/catch.h"

using namespace oche;

namespace {

template <typename F>
std::string complaint(F&& f) {
  try {
    f();
  } catch (const NonFinite& e) {
    return e.what();
  }
  return "none";
}

Tensor leaf(double value) {
  return Tensor::full({2}, value, DType::kFloat64).set_requires_grad(true);
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

}  // namespace

TEST_CASE("labels nest and are restored") {
  CHECK(current_labels().empty());
  {
    const Label step("step 3");
    const Label cell("cell 2");
    CHECK(current_labels() == "step 3, cell 2");
    { const LabelsGuard all("elsewhere"); }
    CHECK(current_labels() == "step 3, cell 2");
  }
  CHECK(current_labels().empty());
}

TEST_CASE("every element counts, in any dtype and through strides") {
  const Tensor t = Tensor::ones({3, 5}, DType::kFloat32);
  CHECK(all_finite(t));
  t.mutable_data<float>()[14] = INFINITY;
  CHECK_FALSE(all_finite(t));
  CHECK(all_finite(slice(t, 1, 0, 4)));
  CHECK_FALSE(all_finite(slice(t, 1, 0, 5, 2)));
  CHECK(all_finite(Tensor::full({2}, 7, DType::kInt64)));
  CHECK(all_finite(Tensor::empty({0}, DType::kFloat64)));
  CHECK(starts_with(complaint([&] { check_finite(t, "epoch 1", "weight stem.0"); }),
                    "non-finite value in weight stem.0 at epoch 1"));
}

TEST_CASE("a NaN in the forward pass is named with its op and labels") {
  const auto work = [] {
    const Label step("step 3"), edge("edge 5");
    const Tensor x = leaf(-1);
    return log(x * 2.0) + 1.0;
  };
  CHECK(complaint(work) == "none");
  const FiniteChecks on;
  CHECK(starts_with(complaint(work), "non-finite value in log at step 3, edge 5;"));
}

TEST_CASE(
    "an infinity that only backward meets is named with the op and the labels of its forward "
    "pass") {
  const auto work = [] {
    const Tensor x = leaf(0);
    Tensor loss;
    {
      const Label cell("cell 2");
      loss = sum(sqrt(x));  // finite, with an infinite slope
    }
    const Label later("step 3");
    grad(loss, std::vector{x});
  };
  CHECK(complaint(work) == "none");
  const FiniteChecks on;
  CHECK(starts_with(complaint(work), "non-finite value in divide at cell 2, backward of sqrt;"));
}
