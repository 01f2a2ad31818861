// Rows of the random fills.
#include "kernels/random.h"

#include "benchmarks/families.h"
#include "benchmarks/kernel_case.h"

namespace oche::bench {
namespace {

constexpr kernels::RandomKey kKey = {{1, 2}};
constexpr kernels::RandomCounterBase kCounter = {3, 4};
constexpr double kKeep = 0.7;

// fill(context, n, y) writes; draw(block) says what element i is, block being its own.
template <typename T, typename Fill, typename Draw>
Case fill_case(const Arguments& a, const Fill& fill, const Draw& draw) {
  const int64_t n = image_size(a);
  const auto y = output<T>(n);
  return {.run = launch([=](auto& ctx) { fill(ctx, n, y.data()); }),
          .check =
              [=] {
                ref::Values want;
                for (int64_t i = 0; i < n; ++i) {
                  want.push_back(draw(kernels::random_block(kKey, kCounter, i)));
                }
                Check c = compare(y, want, tolerance<T>(1));
                c.against = "each element drawn alone";
                return c;
              },
          .bytes = y.bytes()};
}

template <typename Make>
Family random_family(std::string name, std::string summary, Make make) {
  return {.name = std::move(name),
          .group = "random",
          .summary = std::move(summary),
          .parameters = image_parameters(),
          .instances = kStages,
          .make = for_dtype(make),
          .batch = "n"};
}

}  // namespace

std::vector<Family> random_families() {
  using namespace kernels;
  return {
      random_family("fill_uniform",
                    "uniform numbers",
                    []<typename T>(const Arguments& a) {
                      return fill_case<T>(
                          a,
                          [](auto& ctx, int64_t n, T* y) {
                            fill_uniform<T>(ctx, kKey, kCounter, n, -1, 1, y);
                          },
                          [](const RandomBlock& b) { return 2.0 * double(uniform<T>(b)) - 1; });
                    }),
      random_family("fill_normal",
                    "normal numbers",
                    []<typename T>(const Arguments& a) {
                      return fill_case<T>(
                          a,
                          [](auto& ctx, int64_t n, T* y) {
                            fill_normal<T>(ctx, kKey, kCounter, n, 1, 2, y);
                          },
                          [](const RandomBlock& b) { return 1 + 2 * normal(b); });
                    }),
      random_family("fill_gumbel",
                    "Gumbel numbers",
                    []<typename T>(const Arguments& a) {
                      return fill_case<T>(
                          a,
                          [](auto& ctx, int64_t n, T* y) {
                            fill_gumbel<T>(ctx, kKey, kCounter, n, y);
                          },
                          [](const RandomBlock& b) { return gumbel(b); });
                    }),
      random_family("dropout_mask",
                    "zeros and scaled ones",
                    []<typename T>(const Arguments& a) {
                      return fill_case<T>(
                          a,
                          [](auto& ctx, int64_t n, T* y) {
                            dropout_mask<T>(ctx, kKey, kCounter, n, kKeep, y);
                          },
                          [](const RandomBlock& b) {
                            return uniform<double>(b) < kKeep ? 1 / kKeep : 0.0;
                          });
                    }),
  };
}

}  // namespace oche::bench
