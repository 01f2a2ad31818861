// Runs side by side: edges, alphas, spread, and lines of genotypes.jsonl that are no such thing.
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/file.h"
#include "nas/run_comparison.h"
#include "nas/spread.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace oche;
using namespace oche::test;

TEST_CASE("edges are compared with how often they occur") {
  const GenotypeEdge a{"max_pool_3x3", 0, 2}, b{"skip_connect", 0, 2}, c{"max_pool_3x3", 1, 2};
  const CellGenotype first{.edges = {a, a, b}, .concat = {2}},
      second{.edges = {c, a}, .concat = {2}};
  const EdgeComparison result = compare_edges(first, second);
  CHECK(result.shared == std::vector{a});
  CHECK(result.only_first == std::vector{a, b});
  CHECK(result.only_second == std::vector{c});
}

TEST_CASE("the distance of alphas") {
  const Tensor first = Tensor::from(std::vector<double>{3, 0, 0, 4}, {2, 2}),
               second = Tensor::from(std::vector<double>{0, 0, 4, 4}, {2, 2});
  const std::optional<AlphaDistance> distance = alpha_distance(first, second);
  REQUIRE(distance);
  CHECK(distance->norm == 5);
  CHECK(distance->largest == 4);
  CHECK(distance->norm_first == 5);
  CHECK(distance->norm_second == std::sqrt(32.0));
  CHECK(!alpha_distance(first, Tensor::zeros({4, 1}, DType::kFloat64)));
}

TEST_CASE("the spread of a figure") {
  const std::vector<double> values = {2, 4, 9};
  const Spread up = spread_of(values, Better::kHigher);
  CHECK(up.mean == 5);
  CHECK(up.deviation == std::sqrt(13.0));  // (9 + 1 + 16) / 2
  CHECK(up.n == 3);
  CHECK(up.best == 9);
  CHECK(spread_of(values, Better::kLower).best == 2);
  const Spread one = spread_of(std::vector<double>{7}, Better::kLower);
  CHECK(one.mean == 7);
  CHECK(std::isnan(one.deviation));
  CHECK_THROWS_AS(spread_of(std::vector<double>{}, Better::kLower), std::invalid_argument);
}

TEST_CASE("the newest architecture is the one the search ended with") {
  const TinyRun& t = tiny();
  const std::optional<EpochArchitecture> newest = read_newest_architecture(t.run.path());
  REQUIRE(newest);
  CHECK(newest->epoch == 2);
  CHECK(newest->genotype == t.result.genotype);
  std::vector<double> expected;
  for (const float v : t.alphas.back().to_vector<float>()) expected.push_back(v);
  CHECK(newest->alphas.normal.to_vector<double>() == expected);
}

TEST_CASE("genotypes.jsonl: none yet, torn, malformed") {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "genotypes.jsonl";
  CHECK(!read_newest_architecture(directory.path()));
  write_file_atomically(path, R"({"epoch": 1)");  // its line has no end yet
  CHECK(!read_newest_architecture(directory.path()));

  const std::string genotype = read_file(tiny().file("genotype.json"));
  const auto refused = [&](const std::string& alphas,
                           const std::string& architecture,
                           const std::string& more = "") {
    std::string line =
        R"({"epoch": 1, "alphas": )" + alphas + more + R"(, "genotype": )" + architecture + "}\n";
    std::erase(line, '\n');
    write_file_atomically(path, line + "\n");
    return message_of<FormatError>([&] { read_newest_architecture(directory.path()); });
  };
  CHECK(refused(R"({"normal": [[1]], "reduce": [[1]]})", genotype) == "no error");
  for (const char* table :
       {"7", "[[]]", "[[], [1]]", "[[1], [1, 2]]", "[[null]]", "[7]", R"([["1"]])"}) {
    CAPTURE(table);
    const std::string alphas = std::string(R"({"normal": [[1]], "reduce": )") + table + "}";
    CHECK(contains(refused(alphas, genotype), "genotypes.jsonl: line 1: "));
  }
  // Of a space may only normal cells be searched.
  CHECK(refused(R"({"normal": [[1]], "reduce": []})", genotype) == "no error");
  CHECK_FALSE(read_newest_architecture(directory.path())->alphas.reduce);
  CHECK(contains(refused(R"({"normal": [], "reduce": [[1]]})", genotype), "normal: no edges"));
  CHECK(contains(refused(R"({"normal": [[1]]})", genotype), "reduce"));
  CHECK(
      contains(refused(R"({"normal": [[1]], "reduce": [[1]]})", "{}"), "genotypes.jsonl: line 1"));
  const auto betas = [&](const std::string& normal) {
    return refused(R"({"normal": [[1]], "reduce": [[1]]})",
                   genotype,
                   R"(, "betas": {"normal": )" + normal + R"(, "reduce": []})");
  };
  CHECK(betas("[0.5]") == "no error");
  CHECK_FALSE(read_newest_architecture(directory.path())->alphas.reduce_edges);
  for (const char* table : {"7", "[null]", "[[1]]", R"(["1"])"}) {
    CAPTURE(table);
    CHECK(contains(betas(table), "genotypes.jsonl: line 1: "));
  }
}
