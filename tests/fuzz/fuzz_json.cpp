// Fuzz target: the JSON reader. What it accepts survives being written and read again.
#include "engine/error.h"
#include "engine/json.h"
#include "tests/fuzz/target.h"

using namespace oche;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nlohmann::json document;
  if (fuzz::accepts<FormatError>(
          [&] { document = parse_json(fuzz::text_of(data, size), "fuzz.json"); })) {
    fuzz::require(parse_json(document.dump(), "again") == document, "a document reads as written");
  }
  return 0;
}
