// MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): 28x28 grey images in ten classes,
// idx files of the same names and sizes.
#pragma once

#include <filesystem>

#include "nas/data/dataset.h"

namespace oche::nas {

enum class Mnist { kDigits, kFashion };

inline constexpr DatasetShape kMnistShape{
    .images = 60'000, .height = 28, .width = 28, .channels = 1, .classes = 10};

// 60,000 training or 10,000 test images from the unpacked official files, which read_public_set()
// looks for in `directory`. Throws DataError when one is missing or malformed.
Dataset load_mnist(Mnist which, const std::filesystem::path& directory, Part part);

}  // namespace oche::nas
