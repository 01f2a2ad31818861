// Draws the patterns data set.
#include "nas/data/patterns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "engine/random.h"

namespace oche::nas {
namespace {

constexpr int kSide = 32, kChannels = 3, kClasses = 10;
constexpr int kTextures = 5, kPatches = 4;
using Colour = std::array<int, kChannels>;

enum Texture { kHorizontal, kVertical, kDiagonal, kChecks, kDots };

// Uniform in [low, high].
int draw(RandomWords& words, int low, int high) {
  return low + static_cast<int>(words.below(static_cast<uint32_t>(high - low + 1)));
}

int draw_sign(RandomWords& words) {
  return words.below(2) == 0 ? -1 : 1;
}

// A triangle wave of period 256: 64 at 0, -64 at 128.
int wave(int phase) {
  return std::abs((phase & 255) - 128) - 64;
}

// A texture with values in [-64, 64]: two waves, whose phases advance by (dx, dy) a pixel.
struct Waves {
  Texture texture;
  int dx[2], dy[2], phase[2];

  Waves(RandomWords& words, Texture kind) : texture(kind) {
    const int pitch = draw(words, 48, 80);  // periods of 3.2 to 5.3 pixels
    const int slant = draw(words, -8, 8);
    const int turn = draw_sign(words);
    const bool straight = kind != kDiagonal;
    dx[0] = straight ? slant : turn * pitch * 3 / 4, dy[0] = straight ? pitch : pitch * 3 / 4;
    dx[1] = pitch, dy[1] = slant;
    for (int& p : phase) p = draw(words, 0, 255);
  }

  int operator()(int y, int x) const {
    const int a = wave(phase[0] + y * dy[0] + x * dx[0]);
    const int b = wave(phase[1] + y * dy[1] + x * dx[1]);
    switch (texture) {
      case kHorizontal:
      case kDiagonal:
        return a;
      case kVertical:
        return b;
      case kChecks:
        return (a ^ b) < 0 ? -48 : 48;
      case kDots:
        return a > 0 && b > 0 ? 64 : -24;
    }
    return 0;
  }
};

// A disc around (y, x), over which colour is added.
struct Patch {
  int y, x, squared_radius;
  bool textured;
  Colour colour;
};

void draw_image(RandomWords words, int64_t label, uint8_t* pixels) {
  const auto texture = static_cast<Texture>(label % kTextures);
  const bool stacked = label >= kTextures;
  const int second = draw(words, 0, 1);  // which row, or which column, is textured

  Colour base;
  for (int& c : base) c = draw(words, 80, 176);
  const int shade_y = draw(words, -48, 48);  // 32nds of a grey level for each pixel
  const int shade_x = draw(words, -48, 48);

  const Waves waves(words, texture);
  std::array<Patch, kPatches> patches;
  for (int p = 0; p < kPatches; ++p) {
    const int row = p / 2, column = p % 2;
    Patch& patch = patches[p];
    patch.y = 8 + 16 * row + draw(words, -2, 2);
    patch.x = 8 + 16 * column + draw(words, -2, 2);
    patch.squared_radius = draw(words, 25, 49);
    patch.textured = (stacked ? column : row) == second;
    const int sign = draw_sign(words);
    for (int& c : patch.colour) c = sign * draw(words, 8, 36);
  }

  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      Colour value = base;
      const int shade = ((2 * y - kSide + 1) * shade_y + (2 * x - kSide + 1) * shade_x) / 64;
      for (const Patch& patch : patches) {
        const int dy = y - patch.y, dx = x - patch.x;
        if (dy * dy + dx * dx > patch.squared_radius) continue;
        const int level = patch.textured ? waves(y, x) : 32;
        for (int c = 0; c < kChannels; ++c) value[c] += patch.colour[c] * level / 64;
      }
      const uint32_t noise = words.next();
      for (int c = 0; c < kChannels; ++c) {
        const int n = static_cast<int>(noise >> (8 * c) & 15) +
                      static_cast<int>(noise >> (8 * c + 4) & 15) - 15;
        *pixels++ = static_cast<uint8_t>(std::clamp(value[c] + shade + 2 * n, 0, 255));
      }
    }
  }
}

Dataset make_set(uint64_t seed, std::string_view which, int64_t size) {
  if (size < 0)
    throw std::invalid_argument(fmt::format("patterns: {} size {}; expected >= 0", which, size));
  Dataset set{.name = "patterns",
              .classes = kClasses,
              .height = kSide,
              .width = kSide,
              .channels = kChannels};
  set.pixels.resize(static_cast<size_t>(size * set.image_size()));
  set.labels.resize(static_cast<size_t>(size));
  const RandomKey key = random_key(seed, module_id(which), Purpose::kPatterns);
  for (int64_t i = 0; i < size; ++i) {
    const int64_t label = i % kClasses;
    set.labels[static_cast<size_t>(i)] = label;
    draw_image(RandomWords(key, 0, i), label, set.pixels.data() + i * set.image_size());
  }
  return set;
}

}  // namespace

TrainTest make_patterns(const PatternsOptions& options) {
  TrainTest sets{make_set(options.seed, "train", options.train),
                 make_set(options.seed, "test", options.test)};
  measure_channels(sets.train);
  sets.test.mean = sets.train.mean;
  sets.test.deviation = sets.train.deviation;
  return sets;
}

}  // namespace oche::nas
