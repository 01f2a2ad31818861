// The batch loader: what a batch holds, its independence of timing, its errors.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <set>
#include <thread>
#include <vector>

#include "engine/random.h"
#include "nas/data/augment.h"
#include "nas/data/loader.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/images.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

TEST_CASE("an epoch shows each image at most once and drops the short batch") {
  const Dataset set = marked_images(30);
  BatchLoader loader(
      set, range(23), {.batch = 5, .seed = 1, .augment = {.crop = false, .flip = false}});
  std::array<std::vector<int64_t>, 2> orders;
  for (size_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<int64_t>& order = orders[epoch];
    order.resize(20);
    for (size_t step = 0; step < 4; ++step) {
      const HostBatch batch = loader.next();
      CHECK(batch.epoch == static_cast<int64_t>(epoch));
      CHECK(batch.step == static_cast<int64_t>(step));
      CHECK(std::array{batch.n, batch.h, batch.w, batch.c} == std::array<int64_t, 4>{5, 5, 7, 2});
      const auto& images = std::get<std::vector<float>>(batch.images);
      REQUIRE(images.size() == size_t{5} * 70);
      for (size_t i = 0; i < 5; ++i) {
        const auto index = std::llround(images[i * 70 + 1]);
        CHECK(batch.labels[i] == index % 3);
        order[step * 5 + i] = index;
      }
    }
    CHECK(std::set(order.begin(), order.end()).size() == 20);
    CHECK(*std::max_element(order.begin(), order.end()) < 23);
  }
  CHECK(orders[0] != orders[1]);
}

TEST_CASE("batches depend on their address, not on timing or on where the loader started") {
  const Dataset set = marked_images(30);
  LoaderOptions options{
      .batch = 7, .seed = 1, .stream = 2, .augment = {.cutout = 3}, .dtype = DType::kFloat64};
  std::vector<HostBatch> reference(12);
  BatchLoader eager(set, range(30), options);
  for (HostBatch& batch : reference) batch = eager.next();

  for (int64_t start : {0, 1, 3, 5, 9}) {
    for (const bool carried : {false, true}) {
      options.epoch = carried ? 0 : start / 4;
      options.step = carried ? start : start % 4;
      BatchLoader loader(set, range(30), options);
      for (size_t i = static_cast<size_t>(start); i < reference.size(); ++i) {
        if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const HostBatch batch = loader.next();
        CAPTURE(start, i);
        CHECK(batch.images == reference[i].images);
        CHECK(batch.labels == reference[i].labels);
        CHECK(batch.epoch == reference[i].epoch);
        CHECK(batch.step == reference[i].step);
      }
    }
  }
  options.epoch = options.step = 0;
  for (const bool seed : {true, false}) {
    LoaderOptions other = options;
    ++(seed ? other.seed : other.stream);
    CHECK(BatchLoader(set, range(30), other).next().images != reference[0].images);
  }
}

TEST_CASE("a batch is what its address says") {
  const Dataset set = marked_images(30);
  const LoaderOptions options{
      .batch = 7, .seed = 1, .stream = 2, .augment = {.cutout = 3}, .epoch = 5, .step = 1};
  std::vector<int64_t> images = range(30);
  std::reverse(images.begin(), images.end());
  const HostBatch batch = BatchLoader(set, images, options).next();
  const auto order = shuffled_indices(1, Purpose::kShuffle, 5, 30, 2);
  const ImageWriter<float> writer(set, options.augment);
  std::vector<float> expected(size_t{7} * 70);
  for (size_t i = 0; i < 7; ++i) {
    const int64_t index = images[static_cast<size_t>(order[7 + i])];
    CHECK(batch.labels[i] == index % 3);
    const Augmentation a = draw_augmentation(1, 2, 5, index, set, options.augment);
    writer.write({&index, 1}, {&a, 1}, expected.data() + i * 70);
  }
  CHECK(std::get<std::vector<float>>(batch.images) == expected);
}

TEST_CASE("the loader refuses what it cannot serve and reports what fails later") {
  const Dataset set = marked_images(10);
  CHECK(contains(
      message_of<std::invalid_argument>([&] { BatchLoader(set, range(10), {.batch = 11}); }),
      "--batch: 11; expected 1 <= batch <= 10"));
  CHECK_THROWS_AS(BatchLoader(set, range(10), {.batch = 0}), std::invalid_argument);
  CHECK_THROWS_AS(BatchLoader(set, {}, {.batch = 1}), std::invalid_argument);
  CHECK_THROWS_AS(BatchLoader(set, range(10), {.batch = 1, .dtype = DType::kInt64}),
                  std::invalid_argument);
  CHECK_THROWS_AS(BatchLoader(set, range(10), {.batch = 1, .step = -1}), std::invalid_argument);

  BatchLoader broken(set, {10}, {.batch = 1});
  CHECK(contains(message_of<std::invalid_argument>([&] { broken.next(); }),
                 "index 10; expected 0 <= index < 10"));
  CHECK_THROWS_AS(broken.next(), std::invalid_argument);  // again, instead of waiting for ever
}

TEST_CASE("a plain batch keeps the order and augments nothing") {
  const Dataset set = marked_images(10);
  const HostBatch batch = plain_batch(set, std::vector<int64_t>{7, 2, 2}, DType::kFloat64);
  CHECK(batch.labels == std::vector<int64_t>{1, 2, 2});
  std::vector<double> expected;
  for (const size_t image : {7, 2, 2}) {
    const auto first = set.pixels.begin() + static_cast<int64_t>(image) * set.image_size();
    expected.insert(expected.end(), first, first + set.image_size());
  }
  const auto& images = std::get<std::vector<double>>(batch.images);
  REQUIRE(images.size() == expected.size());
  for (size_t i = 0; i < images.size(); ++i) CHECK(images[i] == Approx(expected[i]));
}
