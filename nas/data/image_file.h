// PNG and JPEG images, as far as the build has found libpng and libjpeg.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oche::nas {

struct Image {
  int64_t height = 0, width = 0;
  int64_t channels = 0;              // 1 (grey) or 3 (red, green, blue)
  std::vector<uint8_t> pixels = {};  // (height, width, channels)
};

inline constexpr int64_t kMaxImageSide = 4096;

// Of the libraries in use; empty: this build has none.
std::string libpng_version();
std::string libjpeg_version();

// The image in the contents of a file, whose first bytes tell its format. Palettes become colours,
// 16 bits 8, and what is transparent black. Throws DataError naming the source when it is damaged,
// larger than kMaxImageSide, in another colour space, or of a format that this build does not read.
Image decode_image(std::string_view bytes, std::string_view source);

}  // namespace oche::nas
