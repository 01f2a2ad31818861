// Fuzz target: a pair of idx files, images and labels. Two bytes, the length of the first, go
// before.
#include <algorithm>

#include "engine/error.h"
#include "nas/data/idx.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view pair = fuzz::text_of(data + 2, size - 2);
  const size_t images = std::min<size_t>(data[0] + 256 * data[1], pair.size());
  Dataset set{.classes = 10, .height = 3, .width = 2, .channels = 1};
  if (fuzz::accepts<DataError>([&] {
        append_idx({pair.substr(0, images), "images"}, {pair.substr(images), "labels"}, set);
      })) {
    fuzz::require(std::ssize(set.pixels) == 6 * std::ssize(set.labels), "a label has an image");
    for (const int64_t label : set.labels)
      fuzz::require(label >= 0 && label < set.classes, "labels are classes");
  }
  return 0;
}
