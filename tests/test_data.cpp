// The generated patterns, channel statistics, augmentation, splits.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/random.h"
#include "nas/data/augment.h"
#include "nas/data/patterns.h"
#include "nas/data/split.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/images.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

std::vector<int64_t> class_counts(const Dataset& set, const std::vector<int64_t>& images) {
  std::vector<int64_t> counts(static_cast<size_t>(set.classes));
  for (const int64_t i : images) ++counts[static_cast<size_t>(set.labels[static_cast<size_t>(i)])];
  return counts;
}

template <typename T>
std::vector<T> augmented(const Dataset& set,
                         const AugmentOptions& options,
                         const Augmentation& a,
                         int64_t index = 0) {
  std::vector<T> out(static_cast<size_t>(set.image_size()), T(-1));
  ImageWriter<T>(set, options).write({&index, 1}, {&a, 1}, out.data());
  return out;
}

}  // namespace

TEST_CASE("patterns are balanced, seeded, and the same bytes everywhere") {
  const TrainTest sets = make_patterns({.seed = 0, .train = 60, .test = 20});
  CHECK(sets.train.size() == 60);
  CHECK(sets.test.size() == 20);
  CHECK(sets.train.image_size() == 3072);
  CHECK(class_counts(sets.train, range(60)) == std::vector<int64_t>(10, 6));
  CHECK(class_counts(sets.test, range(20)) == std::vector<int64_t>(10, 2));
  const auto hash = [](const Dataset& set) {
    return module_id({reinterpret_cast<const char*>(set.pixels.data()), set.pixels.size()});
  };
  CHECK(hash(sets.train) == 0xfffefc706202f896);
  CHECK(hash(sets.test) == 0x36b29b951a49da15);

  const TrainTest fewer = make_patterns({.seed = 0, .train = 10, .test = 0});
  CHECK(
      std::equal(fewer.train.pixels.begin(), fewer.train.pixels.end(), sets.train.pixels.begin()));
  CHECK(make_patterns({.seed = 1, .train = 10, .test = 0}).train.pixels != fewer.train.pixels);
  CHECK_THROWS_AS(make_patterns({.train = -1}), std::invalid_argument);

  double total = 0, squares = 0;
  for (size_t i = 1; i < sets.train.pixels.size(); i += 3) {
    const double v = sets.train.pixels[i] / 255.0;
    total += v, squares += v * v;
  }
  const double mean = total / (60 * 1024);
  CHECK(sets.train.mean[1] == Approx(mean));
  CHECK(sets.train.deviation[1] == Approx(std::sqrt(squares / (60 * 1024) - mean * mean)));
  CHECK(sets.test.mean == sets.train.mean);
}

TEST_CASE("normalisation alone keeps every pixel in place") {
  Dataset set = marked_images(2);
  set.mean = {0.5, 0.25};
  set.deviation = {0.2, 0.1};
  const auto out = augmented<double>(set, {.crop = false, .flip = false}, {}, 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const double byte = set.pixels[out.size() + i];
    CHECK(out[i] == Approx((byte / 255 - set.mean[i % 2]) / set.deviation[i % 2]));
  }
  const auto narrow = augmented<float>(set, {.crop = false, .flip = false}, {}, 1);
  for (size_t i = 0; i < out.size(); ++i) CHECK(narrow[i] == static_cast<float>(out[i]));
  CHECK_THROWS_AS(augmented<double>(set, {}, {}, 2), std::invalid_argument);
  CHECK_THROWS_AS(augmented<double>(set, {}, {}, -1), std::invalid_argument);
  CHECK_THROWS_AS(ImageWriter<double>(set, {.cutout = -1}), std::invalid_argument);
}

TEST_CASE("crop and flip move pixels as a padded, mirrored image would") {
  const Dataset set = marked_images(1);
  const int64_t H = set.height, W = set.width;
  for (const bool flip : {false, true}) {
    for (const auto& [dy, dx] :
         {std::array<int64_t, 2>{0, 0}, {4, 4}, {-4, -4}, {-1, 3}, {2, -4}}) {
      CAPTURE(flip, dy, dx);
      const auto out = augmented<double>(set, {}, {.dy = dy, .dx = dx, .flip = flip});
      for (int64_t y = 0; y < H; ++y) {
        for (int64_t x = 0; x < W; ++x) {
          // Crop first, then mirror the crop.
          const int64_t cropped_x = flip ? W - 1 - x : x;
          const int64_t sy = y + dy, sx = cropped_x + dx;
          const double expected = sy < 0 || sy >= H || sx < 0 || sx >= W ? 0 : sy * W + sx + 1;
          CHECK(out[static_cast<size_t>((y * W + x) * 2)] == Approx(expected));
        }
      }
    }
  }
}

TEST_CASE("padding is black before normalisation, cutout is the mean after it") {
  Dataset set = marked_images(1, 8, 8);
  set.mean = {0.5, 0.5};
  CHECK(augmented<double>(set, {}, {.dy = -1})[0] == Approx(-0.5 * 255));
  struct Row {
    int64_t side, y, x, zeros;
  };
  for (const Row& row : std::vector<Row>{
           {4, 4, 4, 16}, {4, 0, 0, 4}, {4, 7, 7, 9}, {3, 0, 4, 6}, {1, 7, 0, 1}, {40, 3, 3, 64}}) {
    CAPTURE(row.side, row.y, row.x);
    const auto out = augmented<double>(set,
                                       {.crop = false, .flip = false, .cutout = row.side},
                                       {.cutout_y = row.y, .cutout_x = row.x});
    CHECK(std::count(out.begin(), out.end(), 0.0) == 2 * row.zeros);
    CHECK(out[static_cast<size_t>((row.y * 8 + row.x) * 2)] == 0);
  }
}

TEST_CASE("augmentation is drawn by address and covers its range") {
  const Dataset set = marked_images(1, 32, 32);
  const auto draw = [&](uint64_t seed,
                        uint64_t stream,
                        int64_t epoch,
                        int64_t index,
                        bool crop = true,
                        bool flip = true) {
    const Augmentation a = draw_augmentation(
        seed, stream, epoch, index, set, {.crop = crop, .flip = flip, .cutout = 16});
    return std::array<int64_t, 5>{a.dy, a.dx, a.flip, a.cutout_y, a.cutout_x};
  };
  CHECK(draw(1, 2, 3, 4) == draw(1, 2, 3, 4));
  CHECK(draw(1, 2, 3, 4) != draw(2, 2, 3, 4));
  CHECK(draw(1, 2, 3, 4) != draw(1, 3, 3, 4));
  CHECK(draw(1, 2, 3, 4) != draw(1, 2, 4, 4));
  CHECK(draw(1, 2, 3, 4) != draw(1, 2, 3, 5));
  int64_t flipped = 0;
  while (draw(1, 2, 3, flipped)[2] == 0) ++flipped;
  const auto full = draw(1, 2, 3, flipped);
  CHECK(draw(1, 2, 3, flipped, false, true) == std::array<int64_t, 5>{0, 0, 1, full[3], full[4]});
  CHECK(draw(1, 2, 3, flipped, true, false) ==
        std::array<int64_t, 5>{full[0], full[1], 0, full[3], full[4]});

  std::array<std::set<int64_t>, 5> values;
  int flips = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    const auto drawn = draw(1, 2, 3, i);
    for (size_t k = 0; k < 5; ++k) values[k].insert(drawn[k]);
    flips += static_cast<int>(drawn[2]);
  }
  const std::array<std::array<int64_t, 2>, 5> ends = {{{-4, 4}, {-4, 4}, {0, 1}, {0, 31}, {0, 31}}};
  for (size_t k = 0; k < 5; ++k) {
    CHECK(*values[k].begin() == ends[k][0]);
    CHECK(*values[k].rbegin() == ends[k][1]);
    CHECK(std::ssize(values[k]) == ends[k][1] - ends[k][0] + 1);
  }
  CHECK(flips == Approx(1000).margin(120));
}

TEST_CASE("the margin of a crop goes with the side") {
  CHECK(crop_margin(28) == 4);
  CHECK(crop_margin(32) == 4);
  CHECK(crop_margin(64) == 8);
  CHECK(crop_margin(3) == 0);
  const Dataset set = marked_images(1, 3, 16);
  std::set<int64_t> rows, columns;
  for (int64_t i = 0; i < 200; ++i) {
    const Augmentation a = draw_augmentation(1, 2, 3, i, set, {});
    rows.insert(a.dy);
    columns.insert(a.dx);
  }
  CHECK(rows == std::set<int64_t>{0});
  CHECK(columns == std::set<int64_t>{-2, -1, 0, 1, 2});
}

TEST_CASE("images of floats are measured and normalised as they are") {
  Dataset set{.name = "floats", .classes = 2, .height = 1, .width = 2, .channels = 2};
  set.values = {-1, 5, 3, 5, 0, 5, 2, 5};
  set.labels = {0, 1};
  measure_channels(set);
  CHECK(set.mean == std::vector<double>{1, 5});
  CHECK(set.deviation[0] == Approx(std::sqrt(2.5)));
  CHECK(set.deviation[1] == 1);  // does not vary
  const auto out = augmented<double>(set, {}, {.dx = 1}, 1);
  CHECK(out[0] == Approx((2 - 1) / std::sqrt(2.5)));
  CHECK(out[1] == 0);
  CHECK(out[2] == Approx((0 - 1) / std::sqrt(2.5)));  // beyond the border: 0 before normalisation
  CHECK(out[3] == -5);
}

TEST_CASE("selection takes equal numbers of each class") {
  Dataset set = marked_images(90);
  for (const int64_t n : {1, 2, 3, 10, 89, 90}) {
    const auto chosen = select_images(set, n, 5);
    CAPTURE(n);
    CHECK(std::ssize(chosen) == n);
    CHECK(std::set(chosen.begin(), chosen.end()).size() == chosen.size());
    const auto counts = class_counts(set, chosen);
    CHECK(*std::max_element(counts.begin(), counts.end()) -
              *std::min_element(counts.begin(), counts.end()) <=
          1);
  }
  const auto ten = select_images(set, 10, 5), twenty = select_images(set, 20, 5);
  CHECK(std::equal(ten.begin(), ten.end(), twenty.begin()));
  CHECK(select_images(set, 10, 6) != ten);
  CHECK_THROWS_AS(select_images(set, 0, 5), std::invalid_argument);
  CHECK(contains(message_of<std::invalid_argument>([&] { select_images(set, 91, 5); }),
                 "--train-size: 91; expected 1 <= N <= 90"));

  for (int64_t i = 4; i < 90; ++i) set.labels[static_cast<size_t>(i)] = i % 2;  // class 2 runs out
  CHECK(class_counts(set, select_images(set, 31, 5))[2] == 1);
}

TEST_CASE("the split is a partition in proportion") {
  Dataset set = marked_images(90);
  std::fill(set.labels.begin(), set.labels.begin() + 45, 0);  // 60, 15, 15
  const std::vector<int64_t> images = range(90);
  for (const double fraction : {0.5, 0.8, 0.1, 1.0}) {
    CAPTURE(fraction);
    const Split split = split_images(set, images, fraction, 3);
    CHECK(std::ssize(split.train) == std::llround(90 * fraction));
    std::vector<int64_t> both = split.train;
    both.insert(both.end(), split.search.begin(), split.search.end());
    std::sort(both.begin(), both.end());
    CHECK(both == images);
    const auto counts = class_counts(set, split.train);
    CHECK(std::abs(counts[0] - 60 * fraction) <= 1);
    CHECK(std::abs(counts[1] - 15 * fraction) <= 1);
    CHECK(std::abs(counts[2] - 15 * fraction) <= 1);
  }
  CHECK(split_images(set, images, 0.5, 3).train == split_images(set, images, 0.5, 3).train);
  CHECK(split_images(set, images, 0.5, 3).train != split_images(set, images, 0.5, 4).train);
  for (const double fraction : {0.0, -0.5, 1.1, std::nan(""), 0.001, 0.999}) {
    CAPTURE(fraction);
    CHECK_THROWS_AS(split_images(set, images, fraction, 3), std::invalid_argument);
  }
}
