// Fuzz target: genotypes as JSON. What is read is valid, and reads the same when written again.
#include "engine/error.h"
#include "nas/genotype.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Genotype genotype;
  if (fuzz::accepts<FormatError>(
          [&] { genotype = parse_genotype_json(fuzz::text_of(data, size), "fuzz.json"); })) {
    validate(genotype);
    fuzz::require(parse_genotype_json(to_json(genotype)) == genotype, "JSON reads as written");
  }
  return 0;
}
