// Fuzz target: files of CIFAR records. The first byte says of which set they are and how many.
#include "engine/error.h"
#include "nas/data/cifar.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Cifar which = data[0] < 128 ? Cifar::k10 : Cifar::k100;
  const int64_t records = data[0] % 4;
  Dataset set;
  if (fuzz::accepts<DataError>([&] {
        append_cifar(which, fuzz::text_of(data + 1, size - 1), records, "fuzz.bin", set);
      })) {
    fuzz::require(std::ssize(set.labels) == records && std::ssize(set.pixels) == records * 3072,
                  "an accepted file has its records");
    for (const int64_t label : set.labels)
      fuzz::require(label >= 0 && label < cifar_shape(which).classes, "labels are classes");
  }
  return 0;
}
