// CIFAR-10 and CIFAR-100 in their official binary layout (Krizhevsky 2009): files of fixed-size
// records, a record being its label bytes and three 32x32 planes (red, green, blue). CIFAR-10 has
// one label, 0-9; CIFAR-100 a coarse one, 0-19, and a fine one, 0-99. The last label is the class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "nas/data/dataset.h"

namespace oche::nas {

enum class Cifar { k10, k100 };

constexpr DatasetShape cifar_shape(Cifar which) {
  return {.images = 50'000,
          .height = 32,
          .width = 32,
          .channels = 3,
          .classes = which == Cifar::k10 ? 10 : 100};
}

// 50,000 training or 10,000 test images from the official files, which read_public_set() looks for
// in `directory`. Throws DataError when one is missing or malformed.
Dataset load_cifar(Cifar which, const std::filesystem::path& directory, Part part);

// Appends the images and labels of `bytes`, exactly `records` records, to `set`. Throws DataError
// naming the source and the byte at which it departs from the layout.
void append_cifar(
    Cifar which, std::string_view bytes, int64_t records, std::string_view source, Dataset& set);

}  // namespace oche::nas
