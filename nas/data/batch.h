// Images and labels as a network takes them.
#pragma once

#include "engine/tensor.h"

namespace oche::nas {

struct Batch {
  Tensor images;  // (N, H, W, C)
  Tensor labels;  // (N), i64
};

}  // namespace oche::nas
