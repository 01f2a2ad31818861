// Augmentation on the device: the bits of the CPU's.
#include <array>
#include <cmath>

#include "kernels/augment.h"
#include "tests/cuda/device.h"

namespace oche {
namespace {

using kernels::Augmentation;
using kernels::AugmentShape;
using kernels::CpuContext;

// Each of the switches, alone and together, to and past every border.
std::vector<Augmentation> augmentations(const AugmentShape& s, unsigned seed) {
  std::vector<Augmentation> all(static_cast<size_t>(s.n));
  std::minstd_rand random(seed);
  const auto within = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random()) % (high - low + 1);
  };
  for (Augmentation& a : all) {
    if (within(0, 3) > 0) {
      a.dy = within(-s.height - 1, s.height + 1);
      a.dx = within(-s.width / 2, s.width / 2);
    }
    a.flip = within(0, 1) == 1;
    a.cutout_y = within(-2, s.height + 1);
    a.cutout_x = within(-2, s.width + 1);
  }
  return all;
}

// Any float as an image has it: scaled, far from 0, tiny.
std::vector<float> values(int64_t n) {
  auto all = integers<float>(n, -100000, 100000, 3);
  for (size_t i = 0; i < all.size(); ++i) all[i] *= std::array{1e-5f, 0.37f, 1e12f}[i % 3];
  return all;
}

// What the device and the CPU make of the same images; `scale` is the levels or the scales. `shift`
// puts the device's arrays so many elements past an aligned place.
template <typename T, typename Source, typename Scale>
void check_same_bits(kernels::CudaContext& ctx,
                     const AugmentShape& s,
                     bool indexed,
                     const std::vector<Source>& images,
                     const std::vector<Scale>& scale,
                     int64_t shift) {
  CpuContext cpu(1);
  const std::vector<Augmentation> what = augmentations(s, 7);
  std::vector<int64_t> index;
  for (int64_t i = 0; i < s.n; ++i) index.push_back((5 * i + 2) % s.n);
  const int64_t size = s.n * s.image_size();
  std::vector<T> want(static_cast<size_t>(size), T(7));
  kernels::augment<T>(cpu,
                      s,
                      indexed ? index.data() : nullptr,
                      what.data(),
                      images.data(),
                      scale.data(),
                      want.data());
  std::vector<Source> shifted(static_cast<size_t>(shift));
  shifted.insert(shifted.end(), images.begin(), images.end());
  const std::vector<T> got = in_every_order([&] {
    const DeviceArray<int64_t> places(ctx, index);
    const DeviceArray<Augmentation> augmentation(ctx, what);
    const DeviceArray<Source> source(ctx, shifted);
    const DeviceArray<Scale> scaling(ctx, scale);
    DeviceArray<T> out(ctx, size + shift);
    kernels::augment<T>(ctx,
                        s,
                        indexed ? places.data() : nullptr,
                        augmentation.data(),
                        source.data() + shift,
                        scaling.data(),
                        out.data() + shift);
    std::vector<T> all = out.download();
    for (int64_t i = 0; i < shift; ++i)
      CHECK(std::isnan(all[static_cast<size_t>(i)]));  // untouched
    all.erase(all.begin(), all.begin() + shift);
    return all;
  });
  CHECK((size == 0 || std::memcmp(got.data(), want.data(), got.size() * sizeof(T)) == 0));
}

}  // namespace

TEMPLATE_TEST_CASE("cuda: augmentation has the CPU's bits", "[cuda]", float, double) {
  OCHE_CUDA_CONTEXT(ctx);
  const std::array<int64_t, 3> sizes[] = {{0, 5, 7}, {1, 1, 1}, {3, 5, 7}, {2, 8, 8}, {7, 3, 11}};
  for (const auto& [n, height, width] : sizes) {
    for (int64_t channels = 1; channels <= 5; ++channels) {
      std::vector<TestType> levels;
      for (int64_t i = 0; i < channels * 256; ++i) {
        levels.push_back(static_cast<TestType>((static_cast<double>(i % 256) / 255 - 0.47) / 0.21));
      }
      std::vector<double> scales;
      for (int64_t c = 0; c < channels; ++c) {
        scales.push_back(0.1 + static_cast<double>(c));
        scales.push_back(1.0 / 3 + static_cast<double>(c));
      }
      for (const int64_t cutout : {0, 1, 4, 40}) {
        const AugmentShape s{n, height, width, channels, cutout};
        const int64_t size = n * s.image_size(), shift = cutout == 1 ? 1 : 0;
        const bool indexed = cutout == 4;
        CAPTURE(n, height, width, channels, cutout);
        check_same_bits<TestType>(ctx, s, indexed, integers<uint8_t>(size, 0, 255), levels, shift);
        check_same_bits<TestType>(ctx, s, indexed, values(size), scales, shift);
      }
    }
  }
}

TEST_CASE("cuda: augmentation of more than one grid", "[cuda]") {
  OCHE_CUDA_CONTEXT(ctx);
  AugmentShape s{1, 37, 31, 5, 16};
  s.n = ctx.multiprocessors() * int64_t{2048} / s.image_size() + 2;
  std::vector<float> levels(size_t{5} * 256);
  for (size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<float>(i);
  const int64_t size = s.n * s.image_size();
  check_same_bits<float>(ctx, s, true, integers<uint8_t>(size, 0, 255), levels, 0);
}

}  // namespace oche
