// Estimates of the architecture gradient beside a reference.
#include <cmath>

#include "nas/gradient_error.h"
#include "tests/support/catch.h"

namespace oche::nas {
namespace {

std::vector<AlphaEntry> table(int64_t edges, int64_t candidates) {
  std::vector<AlphaEntry> entries;
  for (int64_t e = 0; e < edges; ++e)
    for (int64_t c = 0; c < candidates; ++c)
      entries.push_back({"alphas_normal", std::to_string(e), std::to_string(c)});
  return entries;
}

std::vector<GroupAgreement> by(std::string_view name,
                               const Vector& estimate,
                               const Vector& reference,
                               const std::vector<AlphaEntry>& entries) {
  std::vector<GroupAgreement> groups = group_agreement(estimate, reference, entries);
  std::erase_if(groups, [&](const GroupAgreement& g) { return g.by != name; });
  return groups;
}

}  // namespace

TEST_CASE("agreement of two vectors, by hand") {
  const Agreement a = agreement({3, 0, -4, 1}, {3, 0, 4, 0});
  CHECK(a.cosine == Approx((9 - 16) / (5 * std::sqrt(26.0))));
  CHECK(a.error == Approx(std::sqrt(65.0) / 5));
  CHECK(a.norm_ratio == Approx(std::sqrt(26.0) / 5));
  CHECK(a.bias == Approx(0 - 7.0 / 4 / 2.5));
}

TEST_CASE("signs count where the reference has one") {
  CHECK(agreement({1, -1, 0, 5}, {2, 2, -3, 0}).signs == Approx(1.0 / 3));
  CHECK(agreement({0, 0}, {0, 1}).signs == 0);
  CHECK(std::isnan(agreement({1, 2}, {0, 0}).signs));
}

TEST_CASE("arg-max counts the edges on which the reference does not vanish") {
  const std::vector<AlphaEntry> entries = table(3, 2);
  CHECK(argmax_agreement({-1, 0, 0, -1, 0, 1}, {-2, 0, -1, 0, 0, 0}, entries) == 0.5);
  CHECK(argmax_agreement({0, 0, 0, 0, 0, 0}, {-2, 0, 0, -1, 0, 0}, entries) == 0.5);
  CHECK(std::isnan(argmax_agreement({1, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, entries)));
  CHECK(std::isnan(argmax_agreement({1}, {1}, {{"alpha", "", "entry 0"}})));
}

TEST_CASE("groups are in order of appearance, each with its own figures") {
  const std::vector<GroupAgreement> groups =
      by(kByCandidate, {1, 2, 3, 4}, {1, -2, 3, -4}, table(2, 2));
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].group == "0");
  CHECK(groups[0].agreement.error == 0);
  CHECK(groups[1].agreement.cosine == Approx(-1));
}

TEST_CASE("groups are tables, edges, candidates and candidates of a table") {
  std::vector<AlphaEntry> entries = table(1, 2);
  entries.push_back({"alphas_reduce", "0", "1"});
  entries.push_back({"betas_normal", "0", ""});
  std::string names;
  for (const GroupAgreement& g : group_agreement({1, 2, 3, 4}, {1, 2, 3, 4}, entries))
    names += std::string(g.by) + " " + g.group + ", ";
  CHECK(names ==
        "table alphas_normal, table alphas_reduce, table betas_normal, "
        "edge alphas_normal 0, edge alphas_reduce 0, edge betas_normal 0, "
        "candidate 0, candidate 1, candidate edge, "
        "candidate of a table alphas_normal 0, candidate of a table alphas_normal 1, "
        "candidate of a table alphas_reduce 1, candidate of a table betas_normal edge, ");
  CHECK(group_agreement({1, 2}, {1, 2}, {{"a", "", "x"}, {"a", "", "y"}}).size() == 3);
}

TEST_CASE("the bias of groups is on one scale, and a common factor is none") {
  // root mean squares 10 and 1
  const std::vector<GroupAgreement> groups =
      by(kByCandidate, {14, 2, 14, -2}, {1, 1, -1, -1}, table(2, 2));
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].agreement.bias == Approx(1.4));
  CHECK(groups[1].agreement.bias == Approx(0).margin(1e-12));
  for (const GroupAgreement& g : by(kByCandidate, {3, -6, 9, 0}, {1, -2, 3, 0}, table(2, 2)))
    CHECK(g.agreement.bias == Approx(0).margin(1e-12));
  CHECK(std::isnan(agreement({1, 2}, {0, 0}).bias));
}

}  // namespace oche::nas
