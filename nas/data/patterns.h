// `patterns`: a generated data set that needs no download, made so that a network must see both
// local texture and global arrangement.
//
// An image (32x32, RGB) is a shaded background with four round patches, one in each quadrant. Two
// neighbouring patches carry the same texture, the other two are plain. The class is the texture
// (5 kinds: horizontal, vertical or diagonal stripes, checks, dots) and whether the textured pair
// lies side by side or one above the other: 5 x 2 = 10 classes, each unchanged by a horizontal
// flip. Colours, polarity, contrast, period, phase, slant, size, place and noise are random, so
// that the mean image says next to nothing about the class. Test accuracy at the default sizes,
// seed 0: a linear classifier on the pixels at most 14.5 %, a five-layer convolutional network of
// 42,906 parameters 96.7 % after 5 epochs (benchmarks/patterns_baselines.py).
#pragma once

#include <cstdint>

#include "nas/data/dataset.h"

namespace oche::nas {

struct TrainTest {
  Dataset train, test;
};

struct PatternsOptions {
  uint64_t seed = 0;
  int64_t train = 10'000;
  int64_t test = 2'000;
};

// The same bytes on every machine: integer arithmetic on addressed random words. Image i of a set
// has label i mod 10 and does not depend on the sizes.
TrainTest make_patterns(const PatternsOptions& options = {});

}  // namespace oche::nas
