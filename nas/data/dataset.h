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
  // (size, height, width, channels): bytes, or for arrays of floats `values`. One of them is empty.
  std::vector<uint8_t> pixels = {};
  std::vector<float> values = {};
  std::vector<int64_t> labels = {};  // (size), each in [0, classes)
  // (channels), of pixel / 255 or of the values, over the training set
  std::vector<double> mean = {}, deviation = {};

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t image_size() const { return height * width * channels; }
};

// What decides the size of a search, known before the images are read.
struct DatasetShape {
  int64_t images = 0;  // for training
  int64_t height = 0, width = 0, channels = 0, classes = 0;
  int64_t element_bytes = 1;  // 4 where the images are floats

  int64_t bytes() const { return images * height * width * channels * element_bytes; }
};

enum class Part { kTrain, kTest };

// Sets mean and deviation from the images of the set, which must be the training set. A channel
// that does not vary has deviation 1.
void measure_channels(Dataset& set);

}  // namespace oche::nas
