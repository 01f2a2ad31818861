// Fuzz target: files of CIFAR-10 records. The first byte says how many records are expected.
#include "engine/error.h"
#include "nas/data/cifar10.h"
#include "tests/fuzz/memory_file.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const int64_t records = data[0] % 4;
  const fuzz::MemoryFile file(fuzz::text_of(data + 1, size - 1));
  Dataset set;
  if (fuzz::accepts<DataError>([&] { append_cifar10_file(file.path(), records, set); })) {
    fuzz::require(std::ssize(set.labels) == records && std::ssize(set.pixels) == records * 3072,
                  "an accepted file has its records");
    for (const int64_t label : set.labels) fuzz::require(label >= 0 && label < 10, "labels are 0-9");
  }
  return 0;
}
