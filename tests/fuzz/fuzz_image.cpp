// Fuzz target: PNG and JPEG images.
#include "engine/error.h"
#include "nas/data/image_file.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Image image;
  if (fuzz::accepts<DataError>(
          [&] { image = decode_image(fuzz::text_of(data, size), "fuzz.png"); })) {
    fuzz::require(image.height > 0 && image.height <= kMaxImageSide && image.width > 0 &&
                      image.width <= kMaxImageSide,
                  "an image has a size within the limits");
    fuzz::require(image.channels == 1 || image.channels == 3, "an image is grey or in colours");
    fuzz::require(std::ssize(image.pixels) == image.height * image.width * image.channels,
                  "an image has its pixels");
  }
  return 0;
}
