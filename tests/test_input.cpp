// The input of a search on a CUDA device: the batches of the CPU, to the bit.
#include <cmath>
#include <string>
#include <vector>

#include "engine/device.h"
#include "engine/ops.h"
#include "nas/checkpoint.h"
#include "nas/data/feed.h"
#include "nas/data/patterns.h"
#include "nas/search.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/images.h"

using namespace oche;
using namespace oche::nas;
using namespace oche::test;

namespace {

constexpr Device kCpu{}, kCuda{DeviceType::kCuda, 0};

struct OnDevice {
  explicit OnDevice(Device device) { set_default_device(device); }
  ~OnDevice() { set_default_device(before); }
  Device before = default_device();
};

// Images of floats in as many classes as there are.
Dataset float_images(int64_t size, int64_t height, int64_t width, int64_t channels) {
  Dataset set{.name = "floats",
              .classes = size,
              .height = height,
              .width = width,
              .channels = channels,
              .labels = range(size)};
  for (int64_t i = 0; i < size * set.image_size(); ++i) {
    set.values.push_back(static_cast<float>(std::sin(0.7 * static_cast<double>(i)) * 1e3));
  }
  measure_channels(set);
  return set;
}

// A batch in the host's memory; the images as they are in single precision or double.
struct Downloaded {
  Shape shape;
  std::vector<double> images;
  std::vector<int64_t> labels;
  bool operator==(const Downloaded&) const = default;
};

Downloaded download(const Batch& batch) {
  CHECK(batch.images.device() == default_device());
  CHECK(batch.labels.device() == default_device());
  // Exact: a float is a double.
  return {batch.images.shape(),
          cast(batch.images.to(kCpu), DType::kFloat64).to_vector<double>(),
          batch.labels.to_vector<int64_t>()};
}

std::vector<Downloaded> batches(Device device,
                                const Dataset& set,
                                const LoaderOptions& options,
                                int64_t count) {
  const OnDevice scope(device);
  BatchFeed feed(set, range(set.size()), options);
  std::vector<Downloaded> all;
  for (int64_t i = 0; i < count; ++i) {
    const Batch batch = feed.next();
    REQUIRE(batch.images.dtype() == options.dtype);
    all.push_back(download(batch));
  }
  return all;
}

}  // namespace

TEST_CASE("batches on a CUDA device have the CPU's bits, from wherever they start") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const Dataset sets[] = {make_patterns({.train = 40, .test = 10}).train,
                          marked_images(23),
                          float_images(17, 9, 6, 3),
                          float_images(11, 5, 5, 1)};
  for (const Dataset& set : sets) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
      for (const AugmentOptions& augment : {AugmentOptions{.cutout = 4},
                                            AugmentOptions{.crop = false, .flip = false},
                                            AugmentOptions{.flip = false, .cutout = 1}}) {
        LoaderOptions options{
            .batch = 5, .seed = 3, .stream = 9, .augment = augment, .dtype = dtype};
        CAPTURE(set.name, set.channels, to_string(dtype), augment.crop, augment.cutout);
        const auto want = batches(kCpu, set, options, 10);  // more than an epoch
        CHECK(batches(kCuda, set, options, 10) == want);
        options.step = 4;
        CHECK(batches(kCuda, set, options, 6) == std::vector(want.begin() + 4, want.end()));
        CHECK(want[0] != want[1]);
      }
    }
  }
}

TEST_CASE("images for evaluation have the CPU's bits, and end with the short batch") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const std::vector<int64_t> indices = {7, 2, 2, 0, 9, 5, 1};
  for (const Dataset& set : {marked_images(10), float_images(10, 4, 7, 2)}) {
    for (const int64_t batch : {1, 3, 7, 20}) {
      CAPTURE(set.name, batch);
      std::vector<std::vector<float>> images[2];
      for (const bool on_device : {false, true}) {
        const OnDevice scope(on_device ? kCuda : kCpu);
        PlainFeed feed(set, indices, batch, DType::kFloat32);
        while (const Tensor part = feed.next()) {
          CHECK(part.device() == default_device());
          images[on_device].push_back(part.to_vector<float>());
        }
        CHECK_FALSE(feed.next().defined());
        CHECK_FALSE(PlainFeed(set, {}, batch, DType::kFloat32).next().defined());
      }
      CHECK(images[0].size() == static_cast<size_t>((7 + batch - 1) / batch));
      CHECK(images[0] == images[1]);
    }
  }
}

TEST_CASE("a feed gives back all it took of a device, with batches under way or not") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const OnDevice scope(kCuda);
  const Dataset set = marked_images(20);
  const int64_t before = memory_stats().live;
  for (const int64_t taken : {0, 1, 2, 5}) {
    CAPTURE(taken);
    {
      BatchFeed feed(set, range(20), {.batch = 4});
      for (int64_t i = 0; i < taken; ++i) feed.next();
      PlainFeed plain(set, {}, 4, DType::kFloat32);
      CHECK(memory_stats().live > before);
    }
    CHECK(memory_stats().live == before);
  }
}

TEST_CASE("a feed passes on what the loader finds wrong, after the batches before it") {
  Dataset set = marked_images(12);
  set.labels[7] = 3;
  for (const Device device : {kCpu, kCuda}) {
    if (device == kCuda && cuda_device_count() == 0) continue;
    CAPTURE(to_string(device));
    const OnDevice scope(device);
    BatchFeed feed(set, range(12), {.batch = 1, .seed = 5});
    int good = 0;
    const std::string said = message_of<std::invalid_argument>([&] {
      for (; good < 12; ++good) feed.next();
    });
    CHECK(said == "image 7 of marked: label 3 is outside [0, 3)");
    CHECK(good > 0);
    CHECK_THROWS_AS(feed.next(), std::invalid_argument);
    PlainFeed plain(set, std::vector<int64_t>{1}, 1, DType::kFloat32);
    CHECK_THROWS_AS(PlainFeed(set, std::vector<int64_t>{7}, 1, DType::kFloat32).next(),
                    std::invalid_argument);
  }
}

TEST_CASE("a search on a CUDA device sees the CPU's batches, and goes on with them") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const Dataset images = marked_images(48, 12, 10);
  SearchConfig config;
  config.layers = 3;
  config.channels = 4;
  config.steps = config.multiplier = 2;
  config.batch = 4;
  config.epochs = 1;
  config.train_size = 40;
  config.cutout = 8;
  config.dtype = DType::kFloat64;
  const TemporaryDirectory directory;
  const auto path = directory.path() / "checkpoint.safetensors";
  struct Losses : SearchObserver {
    int64_t left;
    std::vector<double> all;
    explicit Losses(int64_t steps) : left(steps) {}
    void on_step(const StepReport& r) override {
      all.push_back(r.train_loss);
      all.push_back(r.validation_loss);
    }
    bool keep_going() override { return --left > 0; }
  };
  Losses cpu(3), cuda(2), resumed(1);
  {
    const OnDevice scope(kCpu);
    Search(config, images).run(cpu);
  }
  const OnDevice scope(kCuda);
  int64_t peak = 0;
  {
    Search search(config, images);
    search.run(cuda);
    save_checkpoint(path, search, "");
    peak = search.progress().peak_bytes;
  }
  // What the feeds hold on the device is foretold with the rest.
  const DatasetShape shape{.images = 48, .height = 12, .width = 10, .channels = 2, .classes = 3};
  CHECK(estimate_cost(config, shape).tensor_bytes == peak);
  Search search(config, images);
  load_checkpoint(search, open_checkpoint(path));
  search.run(resumed);
  std::vector<double> all = cuda.all;
  all.insert(all.end(), resumed.all.begin(), resumed.all.end());
  REQUIRE(cpu.all.size() == 6);
  REQUIRE(all.size() == 6);
  for (size_t i = 0; i < 6; ++i) CHECK(all[i] == Approx(cpu.all[i]).epsilon(1e-8));
}

TEST_CASE("on a device a label out of range makes the loss a NaN, and moves nothing else") {
  if (cuda_device_count() == 0) SKIP(why_no_cuda());
  const Tensor logits = Tensor::zeros({2, 5}, DType::kFloat32, kCuda);
  for (const int64_t label : {-1, 5, 1 << 30}) {
    const Tensor labels = Tensor::from(std::vector<int64_t>{2, label}, {2}, kCuda);
    CHECK(std::isnan(cross_entropy(logits, labels).item()));
  }
  const Tensor labels = Tensor::from(std::vector<int64_t>{2, 4}, {2}, kCuda);
  CHECK(cross_entropy(logits, labels).item() == Approx(std::log(5)));
  const Tensor index = Tensor::from(std::vector<int64_t>{2, 3, -1}, {3}, kCuda);
  const Tensor ones = Tensor::ones({3}, DType::kFloat32, kCuda);
  CHECK(scatter_add(ones, 0, index, 3).to_vector<float>() == std::vector<float>{0, 0, 1});
}
