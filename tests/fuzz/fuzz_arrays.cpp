// Fuzz target: images and labels as arrays of a safetensors file.
#include "engine/error.h"
#include "nas/data/arrays.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Dataset set;
  const auto read = [&] {
    try {
      const SafetensorsFile file{std::string(fuzz::text_of(data, size)), "fuzz.safetensors"};
      set = read_arrays(file, Part::kTrain);
    } catch (const FormatError& error) {  // not even a file of arrays
      throw DataError(error.what());
    }
  };
  if (fuzz::accepts<DataError>(read)) {
    const size_t elements = static_cast<size_t>(set.size() * set.image_size());
    fuzz::require(set.pixels.size() + set.values.size() == elements, "every label has an image");
    fuzz::require(set.pixels.empty() || set.values.empty(), "images are bytes or floats");
    for (const int64_t label : set.labels)
      fuzz::require(label >= 0 && label < set.classes, "labels are classes");
  }
  return 0;
}
