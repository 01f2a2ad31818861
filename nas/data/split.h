// Which images a search uses, and for what.
#pragma once

#include <cstdint>
#include <vector>

#include "nas/data/dataset.h"

namespace oche::nas {

// The first `count` of a seeded shuffle of `set`, one image of each class at a time: class counts
// differ by at most one unless a class runs out. 1 <= count <= size. (--train-size)
std::vector<int64_t> select_images(const Dataset& set, int64_t count, uint64_t seed);

struct Split {
  std::vector<int64_t> train, search;
};

// Cuts `images` into a training part of round(train_fraction * size) and a search part of the rest,
// 0 < train_fraction <= 1. Seeded, without overlap, each class in both parts in proportion. At 1
// the search part is empty; below 1 neither part may be.
Split split_images(const Dataset& set,
                   const std::vector<int64_t>& images,
                   double train_fraction,
                   uint64_t seed);

}  // namespace oche::nas
