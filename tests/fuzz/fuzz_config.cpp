// Fuzz target: configuration files. A valid configuration is the same when written and read again.
#include <stdexcept>

#include "tests/fuzz/target.h"
#include "tools/config_file.h"
#include "tools/exit_code.h"

using namespace oche;
using namespace oche::tools;

namespace {

SearchConfig read(const std::string& text) {
  try {
    return resolve(parse_config(text, "fuzz.toml"));
  } catch (const std::invalid_argument& error) {  // settings that exclude each other
    throw UsageError(error.what());
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  SearchConfig config;
  if (fuzz::accepts<UsageError>([&] { config = read(std::string(fuzz::text_of(data, size))); })) {
    const std::string toml = to_toml(config);
    fuzz::require(to_toml(read(toml)) == toml, "a configuration reads as written");
  }
  return 0;
}
