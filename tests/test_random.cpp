// Random numbers: the generator, our own logarithm and sine, the fills, shuffles.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/random.h"
#include "kernels/random.h"
#include "tests/support/catch.h"

using namespace oche;
using namespace oche::kernels;

namespace {

const RandomKey test_key = random_key(7, module_id("test"), Purpose::kInit);
const RandomCounterBase test_base = random_counter(3, Phase::kTrain);
constexpr RandomBlock kLowest = {{0, 0, 0, 0}};
constexpr RandomBlock kHighest = {{~0u, ~0u, ~0u, ~0u}};

double relative_error(double value, long double expected) {
  return static_cast<double>(std::abs((value - expected) / expected));
}

// The fills under test, by name.
template <typename T>
std::vector<T> fill(const std::string& what,
                    int64_t n,
                    int threads = 1,
                    RandomKey key = test_key,
                    RandomCounterBase base = test_base) {
  CpuContext ctx(threads);
  std::vector<T> y(static_cast<size_t>(n));
  if (what == "uniform") fill_uniform(ctx, key, base, n, -2, 3, y.data());
  if (what == "normal") fill_normal(ctx, key, base, n, 1, 2, y.data());
  if (what == "gumbel") fill_gumbel(ctx, key, base, n, y.data());
  if (what == "dropout") dropout_mask(ctx, key, base, n, 0.7, y.data());
  return y;
}

uint64_t hash_of(const std::vector<double>& values) {
  return module_id({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)});
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  struct Row {
    RandomKey key;
    RandomBlock counter, expected;
  };
  const std::vector<Row> rows = {
      {{{0, 0}}, kLowest, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {{{~0u, ~0u}}, kHighest, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {{{0xa4093822, 0x299f31d0}},
       {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}};
  for (const Row& row : rows) {
    const RandomBlock block = philox(row.key, row.counter);
    for (int i = 0; i < 4; ++i) CHECK(block.word[i] == row.expected.word[i]);
  }
  // The element comes first in the counter, low word before high word, then step and phase.
  const RandomBlock addressed =
      random_block(rows[2].key, {0x13198a2e, 0x03707344}, 0x85a308d3243f6a88);
  CHECK(addressed.word[0] == 0xd16cfe09);
  CHECK(splitmix64(0) == 0xe220a8397b1dcdaf);
}

TEST_CASE("module ids are FNV-1a") {
  CHECK(module_id("") == 0xcbf29ce484222325);
  CHECK(module_id("a") == 0xaf63dc4c8601ec8c);
  CHECK(module_id("foobar") == 0x85944171f73967e8);
}

TEST_CASE("the portable logarithm is accurate") {
  std::vector<double> points = {0x1p-53,
                                1 - 0x1p-53,
                                1 + 0x1p-52,
                                2,
                                36.7,
                                1e300,
                                0x1p-1022,
                                0.70710678118654746,
                                0.70710678118654757};
  for (uint64_t i = 0; i < 100'000; ++i) {
    const double u = uniform_open(random_block(test_key, test_base, i));
    points.insert(points.end(), {u, 40 * u, 1 - u * 0x1p-20});
  }
  double worst = 0;
  for (const double x : points)
    worst = std::max(worst, relative_error(portable_log(x), std::log(static_cast<long double>(x))));
  CHECK(worst < 1e-15);
  CHECK(portable_log(1) == 0);
}

TEST_CASE("the portable sine and cosine are accurate") {
  constexpr long double kTwoPi = 6.283185307179586476925286766559L;
  double worst = 0;
  for (uint64_t i = 0; i < 100'000; ++i) {
    const RandomBlock b = random_block(test_key, test_base, i);
    const double turns = 4 * uniform<double>(b) - 2;
    const SinCos got = portable_sincos(turns);
    // An exact reduction, so that the reference is accurate near its zeros too.
    const long double quarters = std::round(4.0L * turns);
    const long double rest = kTwoPi * (turns - quarters / 4);
    const long double s = std::sin(rest), c = std::cos(rest);
    const long double sines[] = {s, c, -s, -c};
    const auto q = static_cast<size_t>(static_cast<int64_t>(quarters) & 3);
    worst = std::max(
        {worst, relative_error(got.sin, sines[q]), relative_error(got.cos, sines[(q + 1) % 4])});
  }
  CHECK(worst < 1e-15);
  for (int quarter = -4; quarter <= 4; ++quarter) {
    const SinCos exact = portable_sincos(0.25 * quarter);
    CAPTURE(quarter);
    CHECK(exact.sin == std::array{0, 1, 0, -1}[static_cast<size_t>(quarter & 3)]);
    CHECK(exact.cos == std::array{1, 0, -1, 0}[static_cast<size_t>(quarter & 3)]);
  }
}

TEST_CASE("draws stay in range at both ends of the words") {
  CHECK(uniform<double>(kLowest) == 0);
  CHECK(uniform<double>(kHighest) == 1 - 0x1p-53);
  CHECK(uniform<float>(kHighest) == 1 - 0x1p-24f);
  CHECK(uniform_open(kLowest) == 0x1p-53);
  CHECK(uniform_open(kHighest) == 1 - 0x1p-53);
  for (const RandomBlock& b : {kLowest, kHighest}) {
    CHECK(std::isfinite(normal(b)));
    CHECK(std::isfinite(gumbel(b)));
  }
  const RandomBlock b = random_block(test_key, test_base, 0);
  CHECK(uniform<float>(b) == std::floor(uniform<double>(b) * 0x1p24) * 0x1p-24);
}

TEST_CASE("fills have the moments of their distribution") {
  struct Row {
    std::string what;
    double mean, variance, skewness, kurtosis;
  };
  const double pi2 = std::acos(-1) * std::acos(-1);
  const std::vector<Row> rows = {
      {"uniform", 0.5, 25.0 / 12, 0, 1.8},
      {"normal", 1, 4, 0, 3},
      {"gumbel", 0.5772156649, pi2 / 6, 1.1395470994, 5.4},
      {"dropout", 1, 0.3 / 0.7, -0.4 / std::sqrt(0.21), 1 + 0.16 / 0.21}};
  constexpr int64_t kCount = 400'000;
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const std::vector<double> y = fill<double>(row.what, kCount);
    const auto moment = [&](double centre, int power) {
      double total = 0;
      for (const double v : y) total += std::pow(v - centre, power);
      return total / kCount;
    };
    const double mean = moment(0, 1), variance = moment(mean, 2);
    const double error =
        5 / std::sqrt(kCount);  // five standard errors, where the fourth moment is that of a normal
    CHECK(mean == Approx(row.mean).margin(error * std::sqrt(row.variance)));
    CHECK(variance == Approx(row.variance).epsilon(2 * error));
    CHECK(moment(mean, 3) / std::pow(variance, 1.5) == Approx(row.skewness).margin(8 * error));
    CHECK(moment(mean, 4) / (variance * variance) == Approx(row.kurtosis).margin(40 * error));
    // Neighbours are uncorrelated.
    double product = 0;
    for (size_t i = 1; i < y.size(); ++i) product += (y[i] - mean) * (y[i - 1] - mean);
    CHECK(product / kCount / variance == Approx(0).margin(error));
  }
}

TEST_CASE("an element's number depends on its address alone") {
  const std::string what = GENERATE("uniform", "normal", "gumbel", "dropout");
  CAPTURE(what);
  const std::vector<double> all = fill<double>(what, 10'001);
  CHECK(fill<double>(what, 10'001, 3) == all);
  CHECK(fill<double>(what, 0).empty());
  const std::vector<double> few = fill<double>(what, 100);
  CHECK(std::equal(few.begin(), few.end(), all.begin()));

  const std::vector<float> narrow = fill<float>(what, 10'001);
  const double tolerance = what == "uniform" ? 5 * 0x1p-23 : 0;  // truncated, not rounded
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::abs(narrow[i] - static_cast<float>(all[i])) > tolerance)
      FAIL("element " << i << " differs between float and double");
  }
}

TEST_CASE("every part of the address counts") {
  const std::vector<std::pair<RandomKey, RandomCounterBase>> addresses = {
      {test_key, test_base},
      {random_key(8, module_id("test"), Purpose::kInit), test_base},
      {random_key(7, module_id("tess"), Purpose::kInit), test_base},
      {random_key(7, module_id("test"), Purpose::kAlphaInit), test_base},
      {test_key, random_counter(4, Phase::kTrain)},
      {test_key, random_counter(3, Phase::kValidation)}};
  std::set<double> seen;
  for (const auto& [key, base] : addresses) {
    for (const double v : fill<double>("normal", 100, 1, key, base)) seen.insert(v);
  }
  CHECK(seen.size() == 100 * addresses.size());
}

// Anything that moves a last bit (libm, contraction, another instruction set) moves these.
TEST_CASE("draws have the same bits everywhere") {
  std::vector<double> normals, gumbels;
  for (uint64_t i = 0; i < 10'000; ++i) {
    const RandomBlock b = random_block(test_key, test_base, i);
    normals.push_back(normal(b));
    gumbels.push_back(gumbel(b));
  }
  CHECK(hash_of(normals) == 0xeae2be76e2688048);
  CHECK(hash_of(gumbels) == 0x6dda72324a4eb30d);
}

TEST_CASE("bounded words are in range and uniform") {
  RandomWords words(test_key, 0);
  for (int i = 0; i < 10; ++i) CHECK(words.below(1) == 0);
  // Of 2^32 words, every third of 3 * 2^30 results would get two and the others one.
  constexpr uint32_t kBound = 3u << 30;
  constexpr int kDraws = 30'000;
  int thirds = 0, low = 0;
  bool inside = true;
  for (int i = 0; i < kDraws; ++i) {
    const uint32_t v = words.below(kBound);
    inside = inside && v < kBound;
    thirds += v % 3 == 0;
    low += v < kBound / 3;
  }
  CHECK(inside);
  CHECK(thirds == Approx(kDraws / 3).margin(400));
  CHECK(low == Approx(kDraws / 3).margin(400));
}

TEST_CASE("word streams of one key do not overlap") {
  std::set<uint32_t> seen;
  for (const int64_t stream : {0, 1, 2}) {
    for (const int64_t step : {0, 1}) {
      RandomWords words(test_key, step, stream);
      for (int i = 0; i < 50; ++i) seen.insert(words.next());
    }
  }
  CHECK(seen.size() == 300);
}

TEST_CASE("shuffles are permutations, each as likely as another") {
  for (const int64_t n : {0, 1, 2, 1000}) {
    std::vector<int64_t> order = shuffled_indices(1, Purpose::kShuffle, 0, n);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> expected(static_cast<size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(order == expected);
  }
  std::map<std::vector<int64_t>, int> counts;
  constexpr int kEpochs = 24'000;
  for (int epoch = 0; epoch < kEpochs; ++epoch)
    ++counts[shuffled_indices(1, Purpose::kShuffle, epoch, 4)];
  CHECK(counts.size() == 24);
  double chi2 = 0;
  for (const auto& [order, count] : counts) chi2 += (count - 1000.0) * (count - 1000.0) / 1000;
  CHECK(chi2 < 58.6);  // 23 degrees of freedom, p = 6e-5

  const auto order = shuffled_indices(1, Purpose::kShuffle, 5, 100, 2);
  CHECK(order == shuffled_indices(1, Purpose::kShuffle, 5, 100, 2));
  CHECK(order != shuffled_indices(2, Purpose::kShuffle, 5, 100, 2));
  CHECK(order != shuffled_indices(1, Purpose::kStratify, 5, 100, 2));
  CHECK(order != shuffled_indices(1, Purpose::kShuffle, 6, 100, 2));
  CHECK(order != shuffled_indices(1, Purpose::kShuffle, 5, 100, 3));
  CHECK_THROWS_AS(shuffled_indices(1, Purpose::kShuffle, 0, -1), std::invalid_argument);
  CHECK_THROWS_AS(shuffled_indices(1, Purpose::kShuffle, 0, int64_t{1} << 32),
                  std::invalid_argument);
}
