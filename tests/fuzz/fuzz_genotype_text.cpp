// Fuzz target: genotypes in any form that the command line takes: text, JSON or a published name.
#include "engine/error.h"
#include "nas/genotype.h"
#include "tests/fuzz/target.h"

using namespace oche;
using namespace oche::nas;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Genotype genotype;
  if (fuzz::accepts<FormatError>(
          [&] { genotype = parse_genotype(fuzz::text_of(data, size), "fuzz.txt"); })) {
    validate(genotype);
    if (has_text(genotype)) {
      Genotype again = parse_genotype_text(to_text(genotype));
      again.space = genotype.space;  // the text does not carry it
      fuzz::require(again == genotype, "text reads as written");
    }
  }
  return 0;
}
