// Floats with fewer bits: known values, and the vectors of the CPU's kernels against single ones.
#include <cmath>
#include <limits>
#include <random>

#include "kernels/cpu/narrow.h"
#include "tests/support/catch.h"

namespace oche::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// Around ties, at the ends of the range, and anywhere.
std::vector<float> floats() {
  std::vector<float> all = {0.0f,
                            -0.0f,
                            kInfinity,
                            -kInfinity,
                            kNaN,
                            -kNaN,
                            kLargest,
                            -kLargest,
                            std::bit_cast<float>(0x7f800001u),
                            std::bit_cast<float>(0xffffffffu),
                            std::numeric_limits<float>::denorm_min()};
  for (float step : {0x1p-8f, 0x1p-7f, 0x1p-11f, 0x1p-10f, 0x1p-23f}) {
    for (float from : {1.0f, 1 + 0x1p-7f, 1 + 0x1p-10f, -3.0f}) {
      all.insert(all.end(), {from + step, from - step, from + step + 0x1p-23f});
    }
  }
  std::mt19937 bits(1);
  while (all.size() < 1000) all.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits())));
  return all;
}

bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

}  // namespace

TEST_CASE("rounding: bfloat16 to nearest, ties to even", "[kernels]") {
  CHECK(round_to_bfloat16(1 + 0x1p-8f) == 1);
  CHECK(round_to_bfloat16(1 + 3 * 0x1p-8f) == 1 + 0x1p-6f);
  CHECK(round_to_bfloat16(1 + 0x1p-8f + 0x1p-20f) == 1 + 0x1p-7f);
  CHECK(round_to_bfloat16(-1 - 0x1p-8f - 0x1p-20f) == -1 - 0x1p-7f);
  CHECK(round_to_bfloat16(kLargest) == kInfinity);
  CHECK(std::isnan(round_to_bfloat16(std::bit_cast<float>(0x7f800001u))));
  CHECK(std::isnan(round_to_bfloat16(std::bit_cast<float>(0xffffffffu))));
}

TEST_CASE("rounding: TF32 to nearest, ties away from zero", "[kernels]") {
  CHECK(round_to_tf32(1 + 0x1p-11f) == 1 + 0x1p-10f);
  CHECK(round_to_tf32(-1 - 0x1p-11f) == -1 - 0x1p-10f);
  CHECK(round_to_tf32(1 + 0x1p-11f - 0x1p-23f) == 1);
  CHECK(round_to_tf32(kInfinity) == kInfinity);
  CHECK(std::isnan(round_to_tf32(std::bit_cast<float>(0x7fffffffu))));
}

TEST_CASE("rounding: vectors as single numbers", "[kernels]") {
  const std::vector<float> x = floats();
  const auto n = static_cast<int64_t>(x.size());
  for (int64_t first : {0, 1, 5}) {  // and what no vector fits
    for (CellProducts products : {CellProducts::kTensorFloat32, CellProducts::kBFloat16}) {
      std::vector<float> rounded = x;
      round_factors(products, n - first, rounded.data() + first);
      int64_t wrong = 0;
      for (int64_t i = first; i < n; ++i) {
        const bool tf32 = products == CellProducts::kTensorFloat32;
        wrong += !same(rounded[i], tf32 ? round_to_tf32(x[i]) : round_to_bfloat16(x[i]));
      }
      CHECK(wrong == 0);
    }
    std::vector<BFloat16> kept(n);
    std::vector<float> back(n);
    for_channels<float>(first, n, [&](auto tag, int64_t i) {
      using V = typename decltype(tag)::type;
      store_kept(V::load(x.data() + i), kept.data() + i);
      load_kept<V>(kept.data() + i).store(back.data() + i);
    });
    int64_t wrong = 0;
    for (int64_t i = first; i < n; ++i) wrong += !same(back[i], round_to_bfloat16(x[i]));
    CHECK(wrong == 0);
  }
}

}  // namespace oche::kernels
