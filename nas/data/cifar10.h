// CIFAR-10 in its official binary layout (Krizhevsky 2009): files of 10,000 records, a record being
// a label byte 0-9 and three 32x32 planes (red, green, blue).
#pragma once

#include <cstdint>
#include <filesystem>

#include "nas/data/dataset.h"

namespace oche::nas {

// 50,000 training and 10,000 test images from `directory`, which holds the six files or the folder
// cifar-10-batches-bin with them. Throws DataError when one is missing or malformed.
TrainTest load_cifar10(const std::filesystem::path& directory);

// Appends the images and labels of one file of exactly `records` records to `set`. Throws DataError
// naming the file and the byte at which it departs from the layout.
void append_cifar10_file(const std::filesystem::path& file, int64_t records, Dataset& set);

}  // namespace oche::nas
