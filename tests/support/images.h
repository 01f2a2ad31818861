// Images whose pixels say where they came from.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::test {

// `size` images of (height, width, 2) in three classes; channel 0 counts the pixels of an image,
// channel 1 is the image.
inline nas::Dataset marked_images(int64_t size, int64_t height = 5, int64_t width = 7) {
  nas::Dataset set{.name = "marked", .classes = 3, .height = height, .width = width, .channels = 2};
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t p = 0; p < height * width; ++p) {
      set.pixels.push_back(static_cast<uint8_t>(p + 1));
      set.pixels.push_back(static_cast<uint8_t>(i));
    }
    set.labels.push_back(i % 3);
  }
  set.mean = {0, 0};
  set.deviation = {1 / 255.0, 1 / 255.0};  // so that the output is the byte
  return set;
}

inline std::vector<int64_t> range(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace oche::test
