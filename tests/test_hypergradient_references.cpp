// The references for hypergradients, on a network small enough for both: minutes under sanitizers.
#include "tests/support/catch.h"
#include "tests/support/toys.h"

namespace oche::nas {

TEST_CASE("smooth supernet: both references agree, and the converging estimators with them") {
  const ToyProblem toy = solved("toy");
  const Vector exact = estimate(toy, "dense-implicit");
  CHECK(distance(estimate(toy, "bilevel-difference"), exact) < 1e-6);
  CHECK(distance(estimate(toy, "cg", {{"iterations", 500}}), exact) < 1e-8);
  CHECK(distance(estimate(toy, "minres", {{"iterations", 500}}), exact) < 1e-8);
  CHECK(distance(estimate(toy, "nystrom", {{"iterations", 492}, {"damping", 1e-8}}), exact) < 1e-4);
}

TEST_CASE(
    "a series of enough terms is the inverse, and one of too long steps says that it diverges") {
  const ToyProblem toy = solved("toy", 0.03);
  const Vector exact = estimate(toy, "dense-implicit");
  const auto neumann = [&](double terms) {
    return distance(estimate(toy, "neumann", {{"rate", 1}, {"terms", terms}}), exact);
  };
  const double few = neumann(250), more = neumann(1000);
  CHECK(few > 0.01);
  CHECK(more < 0.1 * few);
  std::string fault;
  estimate(toy, "neumann", {{"rate", 30}, {"terms", 50}}, &fault);
  CHECK(fault.find("diverges") == 0);
}

}  // namespace oche::nas
