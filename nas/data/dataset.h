// Labelled images in host memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace oche::nas {

struct Dataset {
  std::string name = {};
  int64_t classes = 0;
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels = {};  // (size, height, width, channels)
  std::vector<int64_t> labels = {};  // (size), each in [0, classes)
  // (channels), of pixel / 255 over the training set
  std::vector<double> mean = {}, deviation = {};

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t image_size() const { return height * width * channels; }
};

struct TrainTest {
  Dataset train, test;
};

// Sets mean and deviation of both sets from the pixels of the training set.
void measure_channels(TrainTest& sets);

}  // namespace oche::nas
